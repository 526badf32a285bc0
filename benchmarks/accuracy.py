"""Top-1 and top-5 accuracy of the embedded classifiers: python -m benchmarks.accuracy DIR

DIR holds ImageNet validation pictures and boxes.csv (file, class_index, orig_w, orig_h, ...). The pictures may be squashed
to a square; boxes.csv gives their original sizes. Three ways to place a picture on the canvas are compared:

- squashed: on a square canvas, without its aspect ratio;
- followed: in its own aspect ratio, on a canvas that follows it (what Thumbscope does);
- letterboxed: in its own aspect ratio, on a square canvas with bars.
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
from core.images import read, resize
from models import Classifier, geometry, load
from models.embedded import ARCHITECTURES


@dataclass(frozen=True)
class Labelled:
    """A picture, its class, and its original height and width, before it was squashed."""

    pixels: np.ndarray
    class_index: int
    original: tuple[int, int]


def restore_aspect(picture: Labelled) -> np.ndarray:
    """The picture in its original aspect ratio. One side keeps its length and the other is stretched, so no detail is lost."""
    height, width = picture.original
    scale = max(picture.pixels.shape[0] / height, picture.pixels.shape[1] / width)
    return resize(picture.pixels, (round(height * scale), round(width * scale)))


def place_squashed(classifier: Classifier, picture: Labelled) -> np.ndarray:
    """On a square canvas, without its aspect ratio."""
    return resize(picture.pixels, (classifier.side, classifier.side)).astype(np.float32)


def place_following(classifier: Classifier, picture: Labelled) -> np.ndarray:
    """On the classifier's own canvas, which follows the picture."""
    pixels = restore_aspect(picture)
    return classifier.geometry(pixels.shape[:2]).place(pixels)


def place_letterboxed(classifier: Classifier, picture: Labelled) -> np.ndarray:
    """On a square canvas with bars."""
    pixels = restore_aspect(picture)
    return geometry.letterboxed(pixels.shape[:2], (classifier.side, classifier.side)).place(pixels)


PLACEMENTS: dict[str, Callable[[Classifier, Labelled], np.ndarray]] = {
    "squashed": place_squashed,
    "followed": place_following,
    "letterboxed": place_letterboxed,
}


def read_folder(folder: Path) -> list[Labelled]:
    """Every picture in boxes.csv, once."""
    with (folder / "boxes.csv").open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    return [
        Labelled(read(folder / name).pixels, int(row["class_index"]), (int(row["orig_h"]), int(row["orig_w"])))
        for name, row in rows.items()
    ]


def measure_accuracy(classifier: Classifier, pictures: list[Labelled], placement: str) -> tuple[float, float]:
    """Top-1 and top-5 accuracy in per cent. `placement`: one of PLACEMENTS."""
    ranks = []
    for picture in pictures:
        logits = classifier.forward(PLACEMENTS[placement](classifier, picture)[None])[1][0]
        ranks.append(int((logits > logits[picture.class_index]).sum()))
    return 100 * float(np.mean(np.array(ranks) < 1)), 100 * float(np.mean(np.array(ranks) < 5))


def main() -> None:
    """Measure every classifier and every placement, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="ImageNet validation pictures with boxes.csv")
    folder = parser.parse_args().folder
    if not (folder / "boxes.csv").exists():
        sys.exit(f"There is no boxes.csv in {folder}.")
    pictures = read_folder(folder)
    print(f"{machine.describe()}\n{len(pictures)} pictures; standard error of top-1 about 2.4 points at 300\n")
    print(f"{'model':20} {'canvas':12} {'top-1 %':>8} {'top-5 %':>8}")
    for name in ARCHITECTURES:
        for placement in PLACEMENTS:
            top1, top5 = measure_accuracy(load(name), pictures, placement)
            print(f"{name:20} {placement:12} {top1:8.1f} {top5:8.1f}")


if __name__ == "__main__":
    main()
