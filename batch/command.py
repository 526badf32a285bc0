"""The part of `python -m explain` that explains folders: its options, its bar and its summary."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from batch.inputs import find_pictures
from batch.journal import FILE
from batch.run import BatchRecipe, run_batch
from core.cli import Parser, print_error
from core.errors import UserError
from core.folders import describe_excluded
from explain.api import ExplainSettings
from models import Classifier
from models.cli import file_options


def add_batch_options(parser: Parser) -> None:
    """Add the options for folders of pictures."""
    add = parser.add_argument
    add("--workers", type=int, default=0, metavar="N", help="for folders: processes; by default 0, only this process")
    add(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="for folders: run on Ray, here or at ADDRESS; writes Parquet files with top classes and maps, no pictures",
    )
    add("--verbose", action="store_true", help="for folders: list every file that is left out, with the reason")


def explain_batch(
    program: str, options: argparse.Namespace, settings: Sequence[ExplainSettings], classifier: Classifier
) -> int:
    """Explain folders and patterns as the options of `python -m explain` say. Returns 2 if a picture has a problem, else 0."""
    from tqdm import tqdm

    if options.trust or options.rectify != "off":
        raise UserError(
            "--trust and --rectify are for single pictures; leave them out, or give files in place of folders."
        )
    if options.workers < 0:
        raise UserError("--workers must be 0 or more.")
    entries, excluded = find_pictures(options.pictures, options.out)
    opening = tuple(file_options(options).items())
    recipe = BatchRecipe(
        options.model, tuple(settings), str(options.out), opening, options.colormap, options.opacity, options.npy
    )
    try:
        with tqdm(total=len(entries), unit="picture", disable=None) as bar:
            result = run_batch(
                recipe, entries, classifier, workers=options.workers, ray=options.ray, advance=bar.update
            )
    except KeyboardInterrupt:
        print_error(program, "Stopped; run the same command again to explain the rest.")
        raise
    for line in describe_excluded(excluded, options.verbose):
        print_error(program, line)
    where = "part-*.parquet" if options.ray is not None else FILE
    finished = f", {result.before} were finished before" if result.before else ""
    sys.stdout.write(
        f"{result.explained} pictures in {result.seconds:.1f} s{finished}, {result.failed} with a problem; see "
        f"{Path(options.out) / where}\n"
    )
    return 2 if result.failed else 0
