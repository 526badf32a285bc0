"""`python -m training DIR`: train a classifier on a folder of class folders or a zip. Results go to stdout."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np

import models
from core import errors
from core.cli import Parser, check_file, print_error, run_command, write_file
from core.files import encode_png
from core.folders import describe_excluded
from models import embedded, trained_head
from models.classifier import Classifier
from models.trained_head import CanvasShape
from training import classification_metrics, dataset, report
from training.classification_metrics import Interval
from training.cross_validation import DEFAULTS, TrainingResult, train_and_validate
from training.dataset import Dataset
from training.embeddings import cache_folder, embed_views
from training.listing import SPLITS, Split
from training.settings import TrainingSettings
from training.trainer import Head, head_logits

PROGRAM = "training"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the arguments say and return the exit status, see `core.cli.run_command`."""
    return run_command(PROGRAM, lambda: _train(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        PROGRAM,
        "Train a classifier. DIR has one folder of pictures per class, or train/ and test/ with such folders; docs/DATA.md.",
        (
            ("data/ --out mine.npz", "one folder per class; five folds of cross-validation"),
            ("data.zip --head linear --augment 0 --folds 0", "a quick training, without cross-validation"),
        ),
    )
    parser.add_argument(
        "data", metavar="DIR", help="folder, zip, or table (CSV, JSON) with a path and a label in each row"
    )
    parser.add_argument(
        "--head", choices=get_args(Head), default=DEFAULTS.head, help="linear: CAM is exact; mlp: with a hidden layer"
    )
    parser.add_argument(
        "--backbone", default=models.DEFAULT, metavar="NAME", help=f"frozen network, by default {models.DEFAULT}"
    )
    parser.add_argument(
        "--folds",
        type=int,
        default=DEFAULTS.folds,
        metavar="N",
        help=f"folds of the cross-validation, 0 for none; by default {DEFAULTS.folds}",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=DEFAULTS.epochs,
        metavar="N",
        help=f"largest number of epochs, by default {DEFAULTS.epochs}",
    )
    parser.add_argument(
        "--augment",
        type=int,
        default=DEFAULTS.augmentations,
        metavar="N",
        help=f"augmentations per picture, 0 for none; by default {DEFAULTS.augmentations}",
    )
    parser.add_argument(
        "--flip", action="store_true", help="mirror half of the augmentations; not for pictures with text"
    )
    parser.add_argument(
        "--canvas",
        choices=get_args(CanvasShape),
        default=DEFAULTS.canvas_shape,
        help="wide: shape of the picture; square: with padding; by default wide",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random choices, by default 0")
    parser.add_argument("--verbose", action="store_true", help="list every file that is left out, with the reason")
    parser.add_argument("--no-cache", action="store_true", help="do not use the cache of embeddings")
    parser.add_argument("--name", default="my model", help='name of the model, by default "my model"')
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="also write an overview of the classes, a PNG")
    parser.add_argument(
        "--out", type=Path, default=Path("model.npz"), metavar="FILE", help="file for the head, by default model.npz"
    )
    return parser


def _train(options: argparse.Namespace) -> int:
    settings = TrainingSettings(
        head=options.head,
        folds=options.folds,
        epochs=options.epochs,
        augmentations=options.augment,
        flip=options.flip,
        canvas_shape=options.canvas,
        seed=options.seed,
    )
    _check_backbone_and_out(options)
    cache = None if options.no_cache else cache_folder()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="thumbscope-") as unpack_folder:
        everything = dataset.load_dataset(options.data, unpack_folder)
        _print_dataset(everything, options.verbose)
        if options.sheet:
            write_file(options.sheet, encode_png(report.contact_sheet(everything)))
        data = everything.only("train")
        backbone = models.load(options.backbone)
        result = _train_with_progress_bar(backbone, data, settings, options.name, cache)
        write_file(
            options.out, trained_head.to_bytes(result.model)
        )  # first: nothing that follows may lose the training
        _print_result(result, data)
        for split in ("validation", "test"):
            if (held_out := everything.only(split)).items:
                _test(backbone, held_out, split, result, settings, cache)
                write_file(options.out, trained_head.to_bytes(result.model))
    print(f"wrote {options.out} after {time.perf_counter() - start:.1f} s in all")
    return 0


def _check_backbone_and_out(options: argparse.Namespace) -> None:
    """Raise UserError for an unknown backbone and for a file that cannot be written."""
    if not models.MODELS.get(options.backbone) or not models.MODELS[options.backbone].embedded:
        raise errors.unknown("backbone", options.backbone, embedded.ARCHITECTURES)
    check_file(options.out)
    if options.sheet:
        check_file(options.sheet, "--sheet")


def _train_with_progress_bar(
    backbone: Classifier, data: Dataset, settings: TrainingSettings, name: str, cache: Path | None
) -> TrainingResult:
    """Train with a progress bar on stderr."""
    from tqdm import tqdm

    result = None
    layout = "{desc} {bar} {n:.0f} % {elapsed}<{remaining}"
    try:
        with tqdm(total=100, desc="training", unit="%", bar_format=layout) as bar:
            for progress in train_and_validate(backbone, data, settings, cache=cache, name=name):
                bar.update(100 * progress.share - bar.n)
                result = progress.result
    except KeyboardInterrupt:
        print_error(PROGRAM, "Stopped; no head was written.")
        raise
    assert result is not None
    return result


def _test(
    backbone: Classifier,
    test: Dataset,
    split: Split,
    result: TrainingResult,
    settings: TrainingSettings,
    cache: Path | None,
) -> None:
    """Print the figures on a split that was not used for training, and add them to the model."""
    rows = embed_views(
        backbone, test.items, lambda pixels, _: [pixels], "plain", cache=cache, canvas_shape=settings.canvas_shape
    )
    predicted = head_logits(result.model.layers, np.concatenate(list(rows))).argmax(-1)
    scores = classification_metrics.bootstrap_intervals(predicted, test.class_indices, len(test.labels))
    result.model.figures[split] = classification_metrics.intervals_to_dict(scores, len(test.items))
    print(f"{split} set of {len(test.items)}: accuracy {scores['accuracy']}, macro F1 {scores['macro_f1']}")


def _print_dataset(data: Dataset, verbose: bool) -> None:
    for split in SPLITS:
        if counts := data.only(split).items and data.counts(split):
            print(f"{split}: {len(data.only(split).items)} pictures")
            print(report.histogram(counts))
    for line in (*describe_excluded(data.excluded, verbose), *data.notes):
        print(line)


def _print_result(result: TrainingResult, data: Dataset) -> None:
    if result.curves:
        print(report.curve_table(result.curves))
        scores = result.macro_f1_by_fold(data.class_indices)
        by_fold = ", ".join(f"{f1:.3f}" for f1 in scores)
        print(f"macro F1 by fold: {by_fold}; mean {np.mean(scores):.3f} ± {np.std(scores):.3f}")
        figures = result.model.figures["held_out"]
        for key, title in (("accuracy", "accuracy"), ("macro_f1", "macro F1")):
            print(f"held out, all folds: {title} {Interval(**figures[key])}")
    for note in result.notes:
        print(note)
    print(", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in result.seconds.items()))


if __name__ == "__main__":
    sys.exit(main())
