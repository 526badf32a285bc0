"""Time a training, compare it with the study's way, and measure what augmentation gains: python -m benchmarks.training DIR

DIR contains one folder per class. The project's training is timed as a whole, with nothing cached: embeddings with
augmentation, folds and final fit. The study's way is `fit` through the frozen network, for the same epochs and folds, with
letterboxed pictures and the augmentation layers of Keras. It is timed for one epoch on some of the pictures, after one
epoch to warm up, and extrapolated. The benchmark then prints the accuracy on held-out pictures under corruptions, with and
without augmentation, and the share of the heatmap that lies on padding.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import machine
from core.errors import UserError
from models import DEFAULT, embedded, load
from models.trained_head import TrainedClassifier
from training.classification_metrics import Interval
from training.cross_validation import TrainingResult, train_and_validate
from training.dataset import Dataset, load_dataset
from training.embeddings import canvas_geometry, embed_views
from training.evaluation import CORRUPTION_TITLES, corrupted_views, evaluate
from training.settings import TrainingSettings
from training.trainer import head_logits

TIMED = 64  # pictures that the study's way is timed on


def time_training(data: Dataset, settings: TrainingSettings, cache: Path) -> tuple[TrainingResult, float]:
    """A whole training, and its seconds."""
    start = time.perf_counter()
    *_, last = train_and_validate(load(DEFAULT), data, settings, cache=cache)
    assert last.result is not None
    return last.result, time.perf_counter() - start


def estimate_study(data: Dataset, settings: TrainingSettings) -> float:
    """Seconds of `fit` through the frozen network for all epochs of all folds and the final fit, extrapolated."""
    import keras

    layers = keras.layers
    backbone = embedded.load_network(DEFAULT)
    backbone.trainable = False
    network = keras.Sequential(
        [
            keras.Input((224, 224, 3)),
            layers.RandomRotation(45 / 360),
            layers.RandomZoom((-0.2, 0.5)),
            keras.Model(backbone.inputs[0], backbone.outputs[0]),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.3),
            layers.Dense(100, "relu"),
            layers.Dropout(0.3),
            layers.Dense(len(data.labels), "softmax"),
        ]
    )
    network.compile("rmsprop", "sparse_categorical_crossentropy", metrics=["accuracy"])
    step = max(1, len(data.items) // TIMED)
    chosen = data.items[::step][:TIMED]
    pictures = [item.pixels() for item in chosen]
    x = np.stack([canvas_geometry(load(DEFAULT), pixels.shape[:2], "square", 224).place(pixels) for pixels in pictures])
    y = np.array([item.class_index for item in chosen])
    network.fit(x, y, batch_size=32, validation_data=(x, y), verbose=0)
    start = time.perf_counter()
    network.fit(x, y, batch_size=32, verbose=0)
    training = (time.perf_counter() - start) / len(x)
    start = time.perf_counter()
    network.evaluate(x, y, batch_size=32, verbose=0)
    validating = (time.perf_counter() - start) / len(x)
    count, folds = len(data.items), settings.folds
    epoch = training * count * (folds - 1) + validating * count + training * count  # of all folds and the final fit
    return settings.epochs * epoch


def accuracy_of_views(data: Dataset, result: TrainingResult, views: np.ndarray) -> list[float]:
    """Held-out accuracy for each view, from embeddings (N, views, channels)."""
    correct = [
        head_logits(result.heads[fold], rows).argmax(-1) == label
        for fold, rows, label in zip(result.fold_of_picture, views, data.class_indices, strict=True)
    ]
    return np.mean(correct, axis=0).tolist()


def print_training(data: Dataset, settings: TrainingSettings, result: TrainingResult, seconds: float) -> None:
    """Print the time and the accuracy of a training."""
    folds = result.macro_f1_by_fold(data.class_indices)
    stages = ", ".join(f"{stage} {value:.1f} s" for stage, value in result.seconds.items())
    print(
        f"{len(data.items)} pictures, {settings.augmentations} augmentations each, {settings.folds} folds, {settings.head}"
    )
    print(f"this project, in all: {seconds:.1f} s ({stages})")
    print(f"macro F1 by fold {', '.join(f'{f1:.3f}' for f1 in folds)}; mean {np.mean(folds):.3f}")
    print(f"held out, all folds: macro F1 {Interval(**result.model.figures['held_out']['macro_f1'])}")


def print_corruptions(data: Dataset, settings: TrainingSettings, augmented: TrainingResult, cache: Path) -> None:
    """Print the accuracy under each corruption, with and without augmentation."""
    rows = embed_views(
        load(DEFAULT), data.items, lambda pixels, rng: [pixels, *corrupted_views(pixels, rng)], "photographed",
        cache=cache,
    )  # fmt: skip
    views = np.stack(list(rows))
    plain, _ = time_training(data, replace(settings, augmentations=0), cache)
    columns = [accuracy_of_views(data, result, views) for result in (augmented, plain)]
    print(f"{'held-out accuracy, %':22} {'augmented':>18} {'not augmented':>18}")
    for index, name in enumerate(("no corruption", *CORRUPTION_TITLES)):
        cells = [f"{100 * column[index]:6.1f} ({100 * (column[index] - column[0]):+5.1f})" for column in columns]
        print(f"{name:22} {cells[0]:>18} {cells[1]:>18}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description="Time and check training.")
    parser.add_argument("data", nargs="?", default="../shared/data/thumbnails", help="folder of class folders")
    parser.add_argument("--skip-study", action="store_true", help="do not time the study's way")
    options = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory(prefix="thumbscope-") as scratch:
        try:
            data = load_dataset(options.data, scratch)
        except UserError as error:
            print(f"{error} Nothing was measured.")
            return 1
        settings, cache = TrainingSettings(), Path(scratch) / "cache"
        result, seconds = time_training(data, settings, cache)
        print_training(data, settings, result, seconds)
        if not options.skip_study:
            study = estimate_study(data, settings)
            print(f"the study's way: {study:.0f} s, extrapolated from one epoch on {TIMED} pictures")
            print(f"ratio: {study / seconds:.0f}")
        print_corruptions(data, settings, result, cache)
        model = result.model
        for canvas_shape in ("wide", "square"):
            classifier = TrainedClassifier(load(DEFAULT), model.layers, data.labels, canvas_shape, model.side)
            padding = evaluate(classifier, data, corrupt=False).padding.mean()
            print(f"heat on padding, {canvas_shape} canvas: {padding:.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
