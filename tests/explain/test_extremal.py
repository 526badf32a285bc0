"""The extremal mask: of the area asked for, and near the best there is where that can be worked out."""

from __future__ import annotations

import numpy as np
import pytest

from explain import explain
from explain.baseline import baseline
from explain.extremal import _spread
from explain.masks import grid
from explain.view import View
from tests.explain.nets import SIDE, detector, linear, picture, unit


@pytest.mark.parametrize("area", [0.05, 0.2, 0.6])
def test_it_keeps_the_area_asked_for(area: float) -> None:
    pixels = np.full((64, 64, 3), 90, np.uint8)
    pixels[16:32, 32:48] = (230, 10, 10)
    assert explain(pixels, detector(), "extremal", "red", area=area, steps=20).raw.mean() == pytest.approx(
        area, abs=0.005
    )
    padded = explain(picture(32, 24), linear((32, 48)), "extremal", 1, area=area, steps=20, cells=6)
    top, left, height, width = padded.parameters["box"]
    kept = padded.raw[top : top + height, left : left + width]
    assert kept.mean() == pytest.approx(area, abs=0.005)
    assert padded.raw.sum() == pytest.approx(kept.sum())  # nothing of the bars


def test_on_the_photograph_too(mobilenet, cat_pixels: np.ndarray) -> None:
    found = explain(cat_pixels, mobilenet, "extremal", 285, steps=10)
    assert found.raw.mean() == pytest.approx(0.2, abs=0.005)
    assert found.notes[-1].startswith("With 20% of the picture kept")


def test_on_a_linear_score_it_is_near_the_best_mask() -> None:
    """There the best is known: cells in the order of what they add for the area they take, the last in part."""
    classifier, pixels, area, cells = linear(), picture(), 0.25, 4
    view = View(classifier, classifier.geometry((SIDE, SIDE)), pixels)
    found = explain(pixels, classifier, "extremal", 1, area=area, cells=cells, steps=150).raw
    adds = ((view.canvas - baseline(view, "blur")) * (classifier.head.weights @ unit(3, 1))).sum(-1)
    rows, columns = _spread(grid(view, cells, soft=True))
    gain, share = (rows @ adds @ columns.T).ravel(), np.outer(rows.mean(1), columns.mean(1)).ravel()
    best, left = 0.0, area
    for cell in np.argsort(-gain / share):
        part = min(1.0, left / share[cell])
        best, left = best + part * gain[cell], left - part * share[cell]
    assert (found * adds).sum() > 0.85 * best
