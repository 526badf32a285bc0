"""Compare our maps with the package of the papers' authors: python -m benchmarks.pair

The package is saliency (PAIR, Google), see requirements-bench.txt. The tables give the rank correlation of our map with theirs
over all pixels, for the photographs of samples/, with MobileNetV2 and the predicted class. Gap: how far the sum of a map is
from the difference of the score between picture and baseline.

- guided-ig: the package gets the gradients of our engine, because the path amplifies rounding: "TensorFlow" is the rank
  correlation of our map with our map from TensorFlow's gradients. The package multiplies each step by the gradient at its
  start, we by the mean of the gradients at both ends. "same path" compares our map with this sum over the package's path.
- xrai: "same regions" gives the package our attribution and our regions, "own regions" only our attribution. The package
  makes the picture a square before it looks for regions, we keep its aspect ratio.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks import machine
from core.images import read
from explain import METHODS, ExplainSettings, explain
from explain.methods.masks import picture_box
from explain.methods.regions import segment
from explain.metrics.similarity import spearman
from explain.view import View
from models import DEFAULT, load

PHOTOS = Path(__file__).parents[1] / "samples" / "photos"


@contextmanager
def _old_quantile() -> Iterator[None]:
    """The package calls np.quantile with an argument that NumPy has renamed."""
    quantile = np.quantile
    np.quantile = lambda values, share, interpolation: quantile(values, share, method=interpolation)  # type: ignore
    try:
        yield
    finally:
        np.quantile = quantile


def compare_guided_ig(photo: Path) -> str:
    """One row of the table of guided-ig."""
    from saliency.core.guided_ig import guided_ig_impl

    classifier, pixels = load(DEFAULT), read(photo).pixels
    ours = explain(pixels, classifier, "guided-ig")
    view = View(classifier, classifier.geometry(pixels.shape[:2]), pixels)
    objective = classifier.objective(ours.class_index)
    points: list[np.ndarray] = []
    gradients: list[np.ndarray] = []

    def differentiate(point: np.ndarray) -> np.ndarray:
        points.append(point.copy())
        gradients.append(view.gradient(point[None].astype(np.float32), objective)[0].astype(np.float64))
        return gradients[-1]

    black, options = np.zeros_like(view.canvas), METHODS["guided-ig"].options
    with _old_quantile():
        theirs = guided_ig_impl(
            view.canvas, black, differentiate, options["steps"], options["fraction"], options["distance"]
        ).sum(-1)
    differentiate(view.canvas)
    steps = zip(itertools.pairwise(points), itertools.pairwise(gradients), strict=True)
    same_path = sum((b - a) * (p + q) / 2 for (a, b), (p, q) in steps).sum(-1)
    tensorflow = copy.copy(classifier)
    tensorflow.backward = None
    other = ExplainSettings("guided-ig", ours.class_index).explain(pixels, tensorflow).raw
    change = float(view.logits @ objective) - float(view.scores(black[None], objective)[0])
    gaps = [f"{abs(float(raw.sum()) / change - 1):.0%}" for raw in (ours.raw, theirs)]
    correlations = [f"{spearman(ours.raw, raw):.4f}" for raw in (same_path, theirs, other)]
    return f"| guided-ig | {photo.stem} | {' | '.join(correlations + gaps)} |"


def compare_xrai(photo: Path) -> str:
    """One row of the table of xrai."""
    from saliency.core.xrai import XRAI

    classifier, pixels = load(DEFAULT), read(photo).pixels
    start = time.perf_counter()
    ours = explain(pixels, classifier, "xrai")
    seconds = [time.perf_counter() - start]
    options = {name: ours.parameters[name] for name in ("steps", "baseline")}
    attribution = explain(pixels, classifier, "integrated-gradients", ours.class_index, **options).raw
    view = View(classifier, classifier.geometry(pixels.shape[:2]), pixels)
    box = picture_box(view)
    picture, channels = view.canvas[box], np.repeat(attribution[box][..., None], 3, -1)
    masks = [row.reshape(picture.shape[:2]) > 0 for row in segment(picture).toarray()]
    correlations = []
    for regions in (masks, None):
        start = time.perf_counter()
        theirs = XRAI().GetMask(picture, None, base_attribution=channels, segments=regions)
        seconds.append(time.perf_counter() - start)
        correlations.append(f"{spearman(ours.raw[box], theirs):.4f}")
    return f"| xrai | {photo.stem} | {' | '.join(correlations)} | {seconds[0]:.1f} | {seconds[2]:.1f} |"


def main() -> None:
    """Print the tables."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if not importlib.util.find_spec("saliency"):
        sys.exit("The package saliency is not installed; pip install --no-deps -r requirements-bench.txt.")
    print(f"{machine.describe()}, saliency {version('saliency')}\n")
    print("| method | photograph | same path | saliency | TensorFlow | gap, ours | gap, saliency |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for photo in sorted(PHOTOS.glob("*.jpg")):
        print(compare_guided_ig(photo), flush=True)
    print(
        "\n| method | photograph | same regions | own regions | seconds, with gradients | saliency, without gradients |"
    )
    print("|---|---|--:|--:|--:|--:|")
    for photo in sorted(PHOTOS.glob("*.jpg")):
        print(compare_xrai(photo), flush=True)


if __name__ == "__main__":
    main()
