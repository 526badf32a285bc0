"""The command `python -m audit MODEL DIR --report out/`: has a classifier learned its subjects, or a shortcut?"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from audit.auditor import DEFAULTS, AuditSettings
from audit.report import VERDICT_MARKS, describe_probe, render_report
from audit.results import Audit
from audit.run import run_audit
from audit.shards import recipe_from_folder, to_arrow_table
from core.cli import Parser, check_file, hide_info_lines, make_folder, print_error, run_command, write_file
from core.errors import UserError
from core.folders import Excluded, describe_excluded
from core.html import encode_html
from models.cli import add_model_options, file_options
from training.listing import UNKNOWN_CLASS

PROGRAM = "audit"
UNREADABLE = "damaged or unusable pictures"
SHOWN = 5  # unreadable pictures that are named without --verbose
REPORT_FILES = ("report.html", "audit.json", "maps.npz")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments and return the exit status, see `core.cli.run_command`."""
    return run_command(PROGRAM, lambda: _run_and_report(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        PROGRAM,
        "Test whether a classifier learned its subjects or a shortcut.",
        (
            ("my_model.npz pictures/ --report out/", "one folder per class; writes report.html"),
            ("my_model.npz pictures/ --subjects masks/ --workers 2", "with masks of the subjects, in two processes"),
        ),
    )
    add_model_options(parser, positional=True)
    parser.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help="a folder with one folder per class, named like the class, at any depth; a zip of it, or a table (docs/DATA.md)",
    )
    parser.add_argument(
        "--subjects", type=Path, metavar="DIR", help="masks with the layout of DIR: PNG files, bright on the subject"
    )
    parser.add_argument(
        "--method",
        metavar="NAME",
        help="attribution method of the heatmaps; by default grad-cam, or occlusion without a map",
    )
    parser.add_argument(
        "--sample",
        type=int,
        default=DEFAULTS.sample,
        metavar="N",
        help=f"pictures per class whose cues are exchanged (default: {DEFAULTS.sample})",
    )
    parser.add_argument("--verbose", action="store_true", help="list every file that is left out, with the reason")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random choices (default: 0)")
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help="number of worker processes (default: 0, only this process)"
    )
    parser.add_argument(
        "--ray", nargs="?", const="local", metavar="ADDRESS", help="run on Ray: start it here, or join it at ADDRESS"
    )
    parser.add_argument(
        "--report",
        type=Path,
        default=Path("out"),
        metavar="DIR",
        help='folder for the report and figures (default: "out")',
    )
    return parser


def _run_and_report(options: argparse.Namespace) -> int:
    if options.sample < 2 or options.workers < 0:
        raise UserError("--sample must be 2 or more, and --workers 0 or more.")
    with tempfile.TemporaryDirectory(prefix="thumbscope-") as unpack_folder:
        return _audit_data(options, Path(unpack_folder))


def _audit_data(options: argparse.Namespace, unpack_folder: Path) -> int:
    """Audit the data and write the report. `unpack_folder`: for a zip; it is needed until the report is written."""
    start = time.perf_counter()
    with hide_info_lines():
        recipe, listing = recipe_from_folder(
            options.model,
            options.folder,
            options.subjects,
            AuditSettings(options.method, options.sample, options.seed),
            opening=tuple(file_options(options).items()),
            unpack_folder=unpack_folder,
        )
        make_folder(options.report, "--report")
        for name in REPORT_FILES:
            check_file(options.report / name, "--report")
        auditor = recipe.auditor()
        shards = options.report / "shards"
        interactive = sys.stderr.isatty()

        def progress(done: int, total: int) -> None:
            if interactive:
                sys.stderr.write(f"\r{done} of {total} pictures" + ("\n" if done == total else ""))

        audit = run_audit(recipe, keep=shards, workers=options.workers, ray=options.ray, progress=progress)
    unreadable = [Excluded(recipe.pictures[index], reason, UNREADABLE) for index, reason in audit.excluded]
    left_out = [*listing.excluded, *unreadable]
    _print_left_out(left_out, options)
    for note in (*auditor.classifier.notes, *listing.notes):
        print_error(PROGRAM, note)
    seconds = time.perf_counter() - start
    facts = audit.to_dict() | {"seconds": seconds, "files": list(recipe.pictures)}
    facts["left_out"] = [[entry.name, entry.reason] for entry in left_out]
    files = [
        write_file(options.report / name, content)
        for name, content in zip(
            REPORT_FILES,
            (
                encode_html(render_report(audit, auditor, listing.excluded)),
                json.dumps(facts, indent=1).encode(),
                _encode_maps(audit),
            ),
            strict=True,
        )
    ]
    if options.ray is not None:
        import pyarrow.parquet as parquet

        file = io.BytesIO()
        parquet.write_table(to_arrow_table(recipe, shards), file)
        files.append(write_file(options.report / "pictures.parquet", file.getvalue()))
    _print_summary(audit, seconds, files)
    return 0


def _print_left_out(left_out: list[Excluded], options: argparse.Namespace) -> None:
    """What is not audited, on stderr: counts, unknown folders and the first unreadable pictures; with --verbose all."""
    folders = {Path(entry.name).parent.name for entry in left_out if entry.kind == UNKNOWN_CLASS}
    for name in sorted(folders):
        print_error(PROGRAM, f"The folder '{name}' was left out: {options.model} has no class with this name.")
    for line in describe_excluded(left_out, options.verbose):
        print_error(PROGRAM, line)
    if not options.verbose:
        for entry in [entry for entry in left_out if entry.kind == UNREADABLE][:SHOWN]:
            print_error(PROGRAM, entry.reason)


def _print_summary(audit: Audit, seconds: float, files: list[str]) -> None:
    width = max(len(result.label) for result in audit.classes)
    for result in audit.classes:
        mark = VERDICT_MARKS[result.verdict]
        sys.stdout.write(f"{result.label:<{width}}  {mark:<11}  {result.pictures:6}  {result.sentence}\n")
    sys.stdout.write(f"\n{audit.sentence}\n{describe_probe(audit)}\n")
    excluded = f", {len(audit.excluded)} could not be read" if audit.excluded else ""
    sys.stdout.write(f"{audit.pictures} pictures in {seconds:.0f} s{excluded}: {' '.join(files)}\n")


def _encode_maps(audit: Audit) -> bytes:
    """Means and standard deviations of the heatmaps (classes, rows, columns), and the labels, as an .npz file."""
    file = io.BytesIO()
    np.savez_compressed(
        file,
        labels=np.array([result.label for result in audit.classes]),
        mean=np.stack([result.heat for result in audit.classes]),
        spread=np.stack([result.standard_deviation for result in audit.classes]),
    )
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
