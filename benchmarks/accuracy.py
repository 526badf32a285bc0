"""Top-1 and top-5 of the embedded classifiers: python -m benchmarks.accuracy DIR

DIR holds ImageNet validation pictures and boxes.csv (file, class_index, orig_w, orig_h, ...). If the pictures were
squashed to a square, as their sizes in boxes.csv tell, three ways of laying a picture on the canvas are compared:
squashed as they are, in their own shape on a canvas that follows it (what Thumbscope does), and in their own shape
letterboxed on a square.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import machine
from models import Classifier, load
from models.embedded import ARCHITECTURES
from models.geometry import fixed
from models.picture import read, resize


@dataclass(frozen=True)
class Labelled:
    """A picture, its class, and its height and width before it was squashed."""

    pixels: np.ndarray
    index: int
    original: tuple[int, int]


def own_shape(picture: Labelled) -> np.ndarray:
    """The picture stretched back to its own aspect, so that no detail is added or lost."""
    height, width = picture.original
    scale = max(picture.pixels.shape[0] / height, picture.pixels.shape[1] / width)
    return resize(picture.pixels, (round(height * scale), round(width * scale)))


def squashed(classifier: Classifier, picture: Labelled) -> np.ndarray:
    """A square canvas, whatever the shape was."""
    return resize(picture.pixels, (classifier.side, classifier.side)).astype(np.float32)


def followed(classifier: Classifier, picture: Labelled) -> np.ndarray:
    """The classifier's own geometry."""
    pixels = own_shape(picture)
    return classifier.geometry(pixels.shape[:2]).place(pixels)


def letterboxed(classifier: Classifier, picture: Labelled) -> np.ndarray:
    """A square canvas with bars."""
    pixels = own_shape(picture)
    return fixed(pixels.shape[:2], (classifier.side, classifier.side)).place(pixels)


WAYS: dict[str, Callable[[Classifier, Labelled], np.ndarray]] = {
    "squashed": squashed,
    "followed": followed,
    "letterboxed": letterboxed,
}


def read_folder(folder: Path) -> list[Labelled]:
    """Every picture in boxes.csv once."""
    with (folder / "boxes.csv").open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    return [
        Labelled(read(folder / name).pixels, int(row["class_index"]), (int(row["orig_h"]), int(row["orig_w"])))
        for name, row in rows.items()
    ]


def score(classifier: Classifier, pictures: list[Labelled], way: str) -> tuple[float, float]:
    """Top-1 and top-5 in per cent."""
    ranks = []
    for picture in pictures:
        logits = classifier.forward(WAYS[way](classifier, picture)[None])[1][0]
        ranks.append(int((logits > logits[picture.index]).sum()))
    return 100 * float(np.mean(np.array(ranks) < 1)), 100 * float(np.mean(np.array(ranks) < 5))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    if not (folder / "boxes.csv").exists():
        sys.exit(f"There is no boxes.csv in {folder}.")
    pictures = read_folder(folder)
    print(f"{machine.describe()}\n{len(pictures)} pictures; standard error of top-1 about 2.4 points at 300\n")
    print(f"{'model':20} {'canvas':12} {'top-1 %':>8} {'top-5 %':>8}")
    for name in ARCHITECTURES:
        for way in WAYS:
            top1, top5 = score(load(name), pictures, way)
            print(f"{name:20} {way:12} {top1:8.1f} {top5:8.1f}")


if __name__ == "__main__":
    main()
