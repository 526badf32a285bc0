"""What the commands that load a model share: their options, and the preparation of the classifier."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.cli import Parser, hide_info_lines, make_folder, print_error
from models.catalogue import DEFAULT, load
from models.classifier import Classifier
from models.geometry import FITS
from models.outputs import ACTIVATIONS
from models.preprocessing import WAYS


def parse_class(text: str, classifier: Classifier) -> int:
    """The index of a class, given as a label or as an index.

    If a label is itself a number, the label counts. Raises UnknownNameError with suggestions if there is no such class.
    """
    if text.strip().isdecimal() and text.strip() not in classifier.labels:
        return classifier.index(int(text))
    return classifier.index(text)


def warm_up(classifier: Classifier) -> None:
    """Run a first forward pass and hide the line that LiteRT prints then; LiteRT has no setting for this."""
    side = classifier.stride
    with hide_info_lines():
        classifier.forward(np.zeros((1, *(classifier.canvas or (side, side)), 3), np.float32))


def model_parser(program: str, description: str, examples: Sequence[tuple[str, str]]) -> Parser:
    """A parser with the options of every command that loads a model, changes pictures and writes files.

    Args:
        program: Name of the program as typed after `python -m`.
        description: What the program does, in one sentence.
        examples: Pairs of arguments and what they do; see `core.cli.Parser`.

    Returns:
        A parser with the options of `add_model_options`, --steps, --seed, --out and --json.
    """
    parser = Parser(program, description, examples)
    add_model_options(parser)
    parser.add_argument("--steps", type=int, metavar="N", help="number of steps, by default the method's own")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random choices, by default 0")
    parser.add_argument(
        "--out", type=Path, default=Path("out"), metavar="DIR", help='folder for files, by default "out"'
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    return parser


def add_model_options(parser: Parser, positional: bool = False) -> None:
    """Add --model and the options of model files to a parser. `positional`: MODEL has no option of its own."""
    add = parser.add_argument
    what = "a name (see python -m explain --list), or a file: .keras, .h5, .tflite, .onnx, .npz, SavedModel, Teachable Machine"
    if positional:
        add("model", metavar="MODEL", help=what)
    else:
        add("--model", default=DEFAULT, metavar="MODEL", help=f"{what}; by default {DEFAULT}")
    add("--weights", metavar="FILE", help="weights file (.h5) for a model of keras.applications")
    add("--labels", metavar="FILE", help="labels of a model file: one per line, or JSON")
    add("--preprocess", metavar="NAME", help=f"how a model file scales pixels: {', '.join(WAYS)}; by default found out")
    add("--fit", metavar="NAME", help=f"how pictures are fitted to a model file: {', '.join(FITS)}")
    add("--output", metavar="NAME", help="the output with the classes, of a model file with several")
    add("--activation", metavar="NAME", help=f"of a model file that gives logits: {' or '.join(ACTIVATIONS)}")
    # argparse would take "-1..1" for an option: to it, only whole numbers and decimals are values that begin with a minus.
    parser._negative_number_matcher = re.compile(r"-\d")


def file_options(options: argparse.Namespace) -> dict[str, str]:
    """The options for a model file that were given, as keyword arguments of `models.load`."""
    given = {
        name: getattr(options, name) for name in ("weights", "labels", "preprocess", "fit", "output", "activation")
    }
    return {name: value for name, value in given.items() if value is not None}


def load_model(program: str, options: argparse.Namespace) -> Classifier:
    """Load the classifier of a command, and print what the user should know about it on stderr.

    Args:
        program: Name of the program as typed after `python -m`.
        options: As parsed by a parser with `add_model_options`.

    Raises:
        UserError: In one sentence, if the model cannot be used.
    """
    with hide_info_lines():
        classifier = load(options.model, **file_options(options))  # type: ignore[arg-type]
    for note in classifier.notes:
        print_error(program, note)
    return classifier


def prepare(program: str, options: argparse.Namespace) -> Classifier:
    """Load the classifier of a command, test that its output folder is writable, and warm the classifier up.

    Args:
        program: Name of the program as typed after `python -m`.
        options: As parsed by a `model_parser`.

    Raises:
        UserError: In one sentence, if the model or the folder cannot be used.
    """
    classifier = load_model(program, options)
    make_folder(options.out)
    warm_up(classifier)
    return classifier
