"""Training beside the way of the study it grew from, and what augmentation is worth: python -m benchmarks.training DIR

DIR holds a folder a class. Ours is timed whole, nothing cached: embeddings with augmentation, folds, final fit. The study's
way is `fit` through the frozen network for the same epochs and folds, letterboxed and augmented by Keras' layers as it
did; it is timed for one epoch on a part of the pictures, after one to warm up, and extrapolated. Then, from the same
embeddings: accuracy on held-out pictures as photographed from a screen, with augmentation and without, and the share of
the evidence that lies on padding.
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
from models import DEFAULT, UserError, dataset, embedded, evaluate, load, metrics, train
from models.dataset import Dataset
from models.embeddings import embed_views, lay
from models.evaluate import TITLES, photographed
from models.train import Outcome, Settings

PART = 64  # pictures that the study's way is timed on


def ours(data: Dataset, settings: Settings, cache: Path) -> tuple[Outcome, float]:
    """A whole training and its seconds."""
    begun = time.perf_counter()
    *_, last = train.run(load(DEFAULT), data, settings, cache=cache)
    assert last.outcome is not None
    return last.outcome, time.perf_counter() - begun


def studys(data: Dataset, settings: Settings) -> float:
    """Seconds of `fit` through the frozen network for all epochs and folds and the final fit, extrapolated."""
    import keras

    layers = keras.layers
    below = embedded.network(DEFAULT)
    below.trainable = False
    network = keras.Sequential(
        [
            keras.Input((224, 224, 3)),
            layers.RandomRotation(45 / 360),
            layers.RandomZoom((-0.2, 0.5)),
            keras.Model(below.inputs[0], below.outputs[0]),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.3),
            layers.Dense(100, "relu"),
            layers.Dropout(0.3),
            layers.Dense(len(data.labels), "softmax"),
        ]
    )
    network.compile("rmsprop", "sparse_categorical_crossentropy", metrics=["accuracy"])
    step = max(1, len(data.items) // PART)
    chosen = data.items[::step][:PART]
    geometry = [(item, item.pixels()) for item in chosen]
    x = np.stack([lay(load(DEFAULT), pixels.shape[:2], "square", 224).place(pixels) for _, pixels in geometry])
    y = np.array([item.label for item in chosen])
    network.fit(x, y, batch_size=32, validation_data=(x, y), verbose=0)
    begun = time.perf_counter()
    network.fit(x, y, batch_size=32, verbose=0)
    learning = (time.perf_counter() - begun) / len(x)
    begun = time.perf_counter()
    network.evaluate(x, y, batch_size=32, verbose=0)
    checking = (time.perf_counter() - begun) / len(x)
    count, folds = len(data.items), settings.folds
    an_epoch = learning * count * (folds - 1) + checking * count + learning * count  # of all folds, and the final fit
    return settings.epochs * an_epoch


def robustness(data: Dataset, outcome: Outcome, views: np.ndarray) -> list[float]:
    """Held-out accuracy on the pictures themselves, then under each of TITLES: `views` (N, 1 + len(TITLES), channels)."""
    right = [
        train.logits(outcome.heads[fold], rows).argmax(-1) == label
        for fold, rows, label in zip(outcome.fold, views, data.targets, strict=True)
    ]
    return np.mean(right, axis=0).tolist()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description="Training, timed and checked.")
    parser.add_argument("data", nargs="?", default="../shared/data/thumbnails", help="a folder a class")
    parser.add_argument("--skip-study", action="store_true", help="do not time the study's way")
    options = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory(prefix="thumbscope-") as scratch:
        try:
            data = dataset.load(options.data, scratch)
        except UserError as error:
            print(f"{error} Nothing was measured.")
            return 1
        settings = Settings()
        outcome, seconds = ours(data, settings, Path(scratch) / "cache")
        folds = train.by_fold(outcome, data.targets)
        parts = ", ".join(f"{stage} {value:.1f} s" for stage, value in outcome.seconds.items())
        print(
            f"{len(data.items)} pictures, {settings.views} augmentations each, {settings.folds} folds, {settings.head}"
        )
        print(f"ours, whole: {seconds:.1f} s ({parts})")
        print(f"macro F1 by fold {', '.join(f'{f1:.3f}' for f1 in folds)}; mean {np.mean(folds):.3f}")
        found = outcome.model.figures["held_out"]
        print(f"held out, all folds: macro F1 {metrics.Interval(**found['macro_f1'])}")
        if not options.skip_study:
            theirs = studys(data, settings)
            print(f"the study's way: {theirs:.0f} s, extrapolated from {PART} pictures and an epoch")
            print(f"ratio: {theirs / seconds:.0f}")

        made = embed_views(
            load(DEFAULT), data.items, lambda pixels, rng: [pixels, *photographed(pixels, rng)], "photographed",
            cache=Path(scratch) / "cache",
        )  # fmt: skip
        views = np.stack(list(made))
        plain, _ = ours(data, replace(settings, views=0), Path(scratch) / "cache")
        with_it, without = robustness(data, outcome, views), robustness(data, plain, views)
        print(f"{'held-out accuracy, %':22} {'augmented':>18} {'not augmented':>18}")
        for index, name in enumerate(("the picture itself", *TITLES)):
            cells = [f"{100 * row[index]:6.1f} ({100 * (row[index] - row[0]):+5.1f})" for row in (with_it, without)]
            print(f"{name:22} {cells[0]:>18} {cells[1]:>18}")
        for spread in ("wide", "square"):
            model = outcome.model
            seen = evaluate.evaluate(
                train.Trained(load(DEFAULT), model.layers, data.labels, spread, model.side), data, distort=False
            )
            print(f"heat on padding, {spread} canvas: {seen.padding.mean():.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
