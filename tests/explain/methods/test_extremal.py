"""The extremal mask: it has the area asked for, holds the planted object, and is near the best mask where that is known."""

from __future__ import annotations

import numpy as np
import pytest

from explain import explain, stream
from explain.baselines import make_baseline
from explain.methods.extremal import separable_weights
from explain.methods.masks import Grid, blend, make_grid
from explain.view import View
from tests.networks import SIDE, detector, linear, picture, unit

COLOURS = {"red": (230, 10, 10), "blue": (10, 10, 230)}
CELLS = 12


def _scene(top: int, left: int, colour: str) -> np.ndarray:
    """A square of 16 pixels a side on grey: 6 % of the picture."""
    pixels = np.full((64, 64, 3), 90, np.uint8)
    pixels[top : top + 16, left : left + 16] = COLOURS[colour]
    return pixels


def _score(view: View, mask: np.ndarray, class_index: int) -> float:
    """The logit when only the masked part is kept and the rest is blurred."""
    empty = make_baseline(view, "blur")
    kept = blend(empty, view.canvas - empty, mask.astype(np.float32))
    return float(view.classifier.forward(kept[None])[1][0, class_index])


def _random_scores(view: View, area: float, class_index: int, shape: tuple[int, int], count: int = 20) -> list[float]:
    """Scores of random masks of the same cells that keep at least that area."""
    rng = np.random.default_rng(0)
    grid = Grid(view.canvas.shape[:2], *shape, soft=True)
    scores = []
    for _ in range(count):
        cells = (rng.permutation(grid.count) < np.ceil(area * grid.count) + 2).astype(np.float32)
        mask = grid.to_pixels(cells[None])[0]
        assert mask.mean() > area - 0.01
        scores.append(_score(view, mask, class_index))
    return scores


@pytest.mark.parametrize("area", [0.05, 0.2, 0.6])
def test_it_keeps_the_area_asked_for(area: float) -> None:
    explanation = explain(_scene(16, 32, "red"), detector(), "extremal", "red", area=area, steps=20)
    assert explanation.raw.mean() == pytest.approx(area, abs=0.005)
    padded = explain(picture(32, 24), linear((32, 48)), "extremal", 1, area=area, steps=20, cells=6)
    top, left, height, width = padded.parameters["box"]
    kept = padded.raw[top : top + height, left : left + width]
    assert kept.mean() == pytest.approx(area, abs=0.005)
    assert padded.raw.sum() == pytest.approx(kept.sum())  # nothing of the padding


@pytest.mark.parametrize(
    ("top", "left", "colour", "area"), [(16, 32, "red", 0.15), (30, 20, "red", 0.1), (4, 8, "blue", 0.2)]
)
def test_it_keeps_the_planted_object(top: int, left: int, colour: str, area: float) -> None:
    pixels, index = _scene(top, left, colour), list(COLOURS).index(colour)
    view = View(detector(), detector().geometry((64, 64)), pixels)
    maps = [step.raw for step in stream(pixels, detector(), "extremal", colour, area=area)]
    mask = maps[-1]
    assert mask.mean() == pytest.approx(area, abs=0.005)
    assert 0 <= mask.min() <= mask.max() <= 1
    assert (mask[top : top + 16, left : left + 16] >= 0.5).mean() >= 0.9
    scores = [_score(view, step, index) for step in maps]
    assert scores[-1] > 1.5 * scores[0]
    assert min(np.diff(scores)) > -0.02  # it rises, up to what the growing pull to zero and one costs
    assert scores[-1] > 0.7 * float(view.logits[index])
    assert scores[-1] > 1.5 * max(_random_scores(view, area, index, (CELLS, CELLS)))


def test_on_the_photograph_too(mobilenet, cat_pixels: np.ndarray) -> None:
    explanation = explain(cat_pixels, mobilenet, "extremal", 285, steps=20)
    assert explanation.raw.mean() == pytest.approx(0.2, abs=0.005)
    assert "20%" in explanation.notes[-1]
    view = View(mobilenet, mobilenet.geometry(cat_pixels.shape[:2]), cat_pixels)
    grid = make_grid(view, CELLS, soft=True)
    best = max(_random_scores(view, 0.2, 285, (grid.rows, grid.columns), count=8))
    assert _score(view, explanation.raw, 285) > best + 2


def test_on_a_linear_score_it_is_near_the_best_mask() -> None:
    """There the best is known: cells in the order of what they add for the area they take, the last in part."""
    classifier, pixels, area, cells = linear(), picture(), 0.25, 4
    view = View(classifier, classifier.geometry((SIDE, SIDE)), pixels)
    found = explain(pixels, classifier, "extremal", 1, area=area, cells=cells, steps=150).raw
    adds = ((view.canvas - make_baseline(view, "blur")) * (classifier.head.weights @ unit(3, 1))).sum(-1)
    rows, columns = separable_weights(make_grid(view, cells, soft=True))
    gain, share = (rows @ adds @ columns.T).ravel(), np.outer(rows.mean(1), columns.mean(1)).ravel()
    best, left = 0.0, area
    for cell in np.argsort(-gain / share):
        part = min(1.0, left / share[cell])
        best, left = best + part * gain[cell], left - part * share[cell]
    assert (found * adds).sum() > 0.85 * best


def test_separable_weights_are_those_of_the_grid() -> None:
    grid = Grid((9, 14), 3, 4, soft=True)
    values = np.random.default_rng(0).random(12)
    rows, columns = separable_weights(grid)
    np.testing.assert_allclose(rows.T @ values.reshape(3, 4) @ columns, grid.to_pixels(values[None])[0], atol=1e-6)
