"""`python -m training.evaluate MODEL DIR --report OUT`: evaluate a classifier on labelled pictures."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.cli import Parser, check_file, make_folder, run_command, write_file
from core.folders import describe_excluded
from core.html import encode_html
from models.classifier import Classifier
from models.cli import add_model_options, load_model
from models.trained_head import TrainedClassifier
from training import dataset
from training.classification_metrics import Interval
from training.dataset import Dataset
from training.evaluation import Evaluation, evaluate
from training.listing import SPLITS, Split
from training.report import render_report

PROGRAM = "training.evaluate"
REPORT_FILES = ("report.html", "report.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate as the arguments say and return the exit status, see `core.cli.run_command`."""
    return run_command(PROGRAM, lambda: _evaluate(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        PROGRAM,
        "Evaluate a classifier. DIR has one folder of pictures per class, or test/ with such folders; docs/DATA.md.",
        (
            ("mine.npz data/", "accuracy, confusion matrix, calibration and corruptions as text"),
            ("mine.npz data/ --report out/", "also as report.html and report.json"),
        ),
    )
    add_model_options(parser, positional=True)
    parser.add_argument("data", metavar="DIR", help="folder, zip or table; of several splits, test is used")
    parser.add_argument("--report", type=Path, metavar="OUT", help="write OUT/report.html and OUT/report.json")
    parser.add_argument("--verbose", action="store_true", help="list every file that is left out, with the reason")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random choices, by default 0")
    return parser


def _evaluate(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    classifier = load_model(PROGRAM, options)
    if options.report:
        make_folder(options.report, "--report")
        for name in REPORT_FILES:
            check_file(options.report / name, "--report")
    with tempfile.TemporaryDirectory(prefix="thumbscope-") as unpack_folder:
        data = dataset.load_dataset(options.data, unpack_folder, labels=classifier.labels, least=1)
        data, note = _choose_split(data)
        for line in (*describe_excluded(data.excluded, options.verbose), *data.notes, *note):
            print(line)
        with tqdm(total=len(data.items), unit="picture", disable=None) as bar:
            evaluation = evaluate(classifier, data, seed=options.seed, advance=bar.update)
        files = _write_report(options.report, evaluation, classifier) if options.report else []
    for line in evaluation_table(evaluation):
        print(line)
    if files:
        print(f"wrote {' and '.join(files)}")
    return 0


def _choose_split(data: Dataset) -> tuple[Dataset, list[str]]:
    """The split to evaluate on, and what else there is: test, without it validation, without both all pictures."""
    sizes = {split: len(data.only(split).items) for split in SPLITS}
    chosen: Split = next(split for split in ("test", "validation", "train") if sizes[split])
    others = [f"{split} ({size})" for split, size in sizes.items() if size and split != chosen]
    note = (
        [f"Of the splits, {chosen} is evaluated ({sizes[chosen]} pictures), not {' and '.join(others)}."]
        if others
        else []
    )
    return data.only(chosen), note


def _write_report(folder: Path, evaluation: Evaluation, classifier: Classifier) -> list[str]:
    """Write report.html and report.json; their paths."""
    curves = classifier.figures.get("curves") if isinstance(classifier, TrainedClassifier) else None
    facts = json.dumps(evaluation.to_dict(), indent=2)
    html = render_report(evaluation, lambda _: classifier, curves)
    return [
        write_file(folder / name, content)
        for name, content in zip(REPORT_FILES, (encode_html(html), facts.encode()), strict=True)
    ]


def evaluation_table(evaluation: Evaluation) -> Iterator[str]:
    """The figures as lines of text."""
    figures = evaluation.to_dict()
    yield f"{evaluation.model}: {figures['pictures']} pictures"
    for name in ("accuracy", "macro_f1"):
        yield f"{name.replace('_', ' ')}: {Interval(**figures[name])} (95 % bootstrap)"
    width = max(map(len, evaluation.labels))
    yield f"{'class':<{width}}  {'pictures':>8}  {'precision':>9}  {'recall':>6}  {'F1':>6}"
    for label, row in figures["classes"].items():
        yield (
            f"{label:<{width}}  {row['pictures']:>8}  {row['precision']:>9.3f}  {row['recall']:>6.3f}  {row['f1']:>6.3f}"
        )
    yield "confusion matrix (one row per true class, one column per predicted class):"
    for label, row in zip(evaluation.labels, figures["confusion"], strict=True):
        yield f"{label:<{width}}  {'  '.join(f'{count:>5}' for count in row)}"
    calibration = figures["calibration"]
    yield (
        f"calibration error {calibration['ece']:.3f}; with the logits divided by {calibration['temperature']:.2f}: "
        f"{calibration['ece_after_temperature']:.3f}"
    )
    if figures["heat_on_padding"] is not None:
        yield f"heat on padding: {figures['heat_on_padding']:.1%}"
    for name, accuracy in evaluation.accuracy_by_corruption().items():
        yield f"accuracy under {name:<15} {accuracy:.3f}"
    yield from evaluation.notes


if __name__ == "__main__":
    sys.exit(main())
