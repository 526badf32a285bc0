"""Whether the page is a public server, and what the options --model and --public of `python app.py` do."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from core.cli import Parser, run_command
from models import MODELS, Classifier
from models.catalogue import add
from models.cli import add_model_options, file_options, load_model

PROGRAM = "app"
PUBLIC = "THUMBSCOPE_PUBLIC"
_OWN_MACHINE = {"127.0.0.1", "localhost", "::1"}


def is_public() -> bool:
    """Whether strangers may see the page: on a Hugging Face Space, with --public, or at any address but the own machine's."""
    named = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")
    return "SPACE_ID" in os.environ or os.environ.get(PUBLIC) == "1" or named not in _OWN_MACHINE


def add_own_model(classifier: Classifier) -> str:
    """Put a classifier into the list of models that every visitor sees. Returns its name there."""
    name = unique_name(classifier.name, MODELS)
    height, width = classifier.canvas or (classifier.side, classifier.side)
    size = f"{width} x {height}" if classifier.canvas else f"about {width} x {height}, any aspect"
    add(name, classifier, size)
    return name


def unique_name(name: str, taken: object) -> str:
    """The name, at most 60 letters, with a number behind it if it is taken.

    >>> unique_name("cat", {"cat", "cat 2"})
    'cat 3'
    """
    name = " ".join(name.split())[:60] or "model"
    number, free = 1, name
    while free in taken:  # type: ignore[operator]
        number += 1
        free = f"{name} {number}"
    return free


def add_options(parser: Parser) -> None:
    """Add --model, the options of model files, and --public to a parser."""
    add_model_options(parser)
    parser.add_argument("--public", action="store_true", help="the page is for strangers: their model files run apart")


def prepare(make_parser: Callable[[], Parser], arguments: Sequence[str]) -> None:
    """Do what --model and --public say, before the page is built. Ends the program for wrong arguments, and for --help."""
    status = run_command(PROGRAM, lambda: _prepare(make_parser().parse_args(arguments)))
    if status:
        sys.exit(status)


def _prepare(options: argparse.Namespace) -> int:
    if options.public:
        os.environ[PUBLIC] = "1"
    if options.model not in MODELS or file_options(options):
        add_own_model(load_model(PROGRAM, options))
    return 0
