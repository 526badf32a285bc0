"""RISE, LIME, Kernel SHAP, Sobol and HSIC on networks whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from explain import explain, stream
from explain.baseline import BASELINES, baseline
from explain.masks import Grid, Segments, grid, scores
from explain.view import View
from models.errors import UserError
from tests.explain.nets import SIDE, CountingEngine, blank, detector, linear, picture, unit

SAMPLED = {
    "rise": {"samples": 300, "cells": 4},
    "lime": {"samples": 300, "segments": 16},
    "kernel-shap": {"samples": 300, "cells": 4},
    "sobol": {"rows": 16, "cells": 4},
    "hsic": {"samples": 300, "cells": 4},
}
METHODS = sorted(SAMPLED)


def view_of(classifier, pixels: np.ndarray) -> View:
    return View(classifier, classifier.geometry(pixels.shape[:2]), pixels)


def patches() -> np.ndarray:
    """Sixteen patches of one colour each, (64, 64, 3)."""
    return picture(4, 4).repeat(16, 0).repeat(16, 1)


def contributions(view: View, target: int, rows: int, columns: int) -> np.ndarray:
    """What each cell adds to the logit of a linear network over the mean colour: (rows, columns)."""
    gradient = view.gradient(view.canvas[None], unit(3, target))[0]
    each = (gradient * (view.canvas - baseline(view, "mean"))).sum(-1)
    return each.reshape(rows, SIDE // rows, columns, SIDE // columns).sum((1, 3))


def test_hard_cells_are_painted_whole() -> None:
    cells = Grid((8, 12), 2, 3, soft=False)
    values = np.arange(12.0).reshape(2, 6)
    expected = np.repeat(np.repeat(values.reshape(2, 2, 3), 4, 1), 4, 2)
    np.testing.assert_array_equal(cells.paint(values), expected)


def test_soft_cells_keep_their_value_in_the_middle_and_their_mean() -> None:
    cells = Grid((9, 15), 3, 5, soft=True)
    values = np.random.default_rng(0).random((4, 15))
    painted = cells.paint(values)
    np.testing.assert_allclose(painted[:, 1::3, 1::3].reshape(4, 15), values, atol=1e-6)
    assert painted.min() >= values.min() - 1e-6


def test_segments_are_painted_by_their_label() -> None:
    labels = np.array([[0, 0, 1], [2, 2, 1]])
    np.testing.assert_array_equal(Segments(labels).paint(np.array([[5.0, 6, 7]])), [[[5, 5, 6], [7, 7, 6]]])


def test_cells_are_nearly_square() -> None:
    view = view_of(blank((32, 64)), picture(32, 64))
    assert (grid(view, 4, soft=True).rows, grid(view, 4, soft=True).columns) == (4, 8)


@pytest.mark.parametrize("size", [(16, 16), (8, 16), (16, 9)])
def test_scores_are_those_of_the_blended_pictures_and_leave_padding_alone(size: tuple[int, int]) -> None:
    classifier, pixels = linear(), picture(*size)
    view = view_of(classifier, pixels)
    cells = grid(view, 2, soft=False)
    masks = np.random.default_rng(1).random((21, cells.count)).astype(np.float32)
    empty = baseline(view, "black")
    found = scores(view, unit(3, 0), cells, masks, empty)
    top, left, height, width = view.geometry.box
    for score, mask in zip(found, masks, strict=True):
        canvas = view.canvas.copy()
        canvas[top : top + height, left : left + width] *= cells.paint(mask[None])[0][..., None]
        assert score == pytest.approx(float(classifier.forward(canvas[None])[1][0, 0]), abs=1e-3)


def test_kernel_shap_gives_each_cell_of_a_linear_network_what_it_adds() -> None:
    classifier, pixels = linear(), picture()
    view = view_of(classifier, pixels)
    found = explain(pixels, classifier, "kernel-shap", 1, cells=4, samples=200)
    truth = contributions(view, 1, 4, 4)
    np.testing.assert_allclose(found.raw[2::4, 2::4], truth, atol=2e-3)
    empty = float(classifier.forward(baseline(view, "mean")[None])[1][0, 1])
    assert found.raw[2::4, 2::4].sum() == pytest.approx(float(view.logits[1]) - empty, abs=1e-3)


def test_kernel_shap_is_exact_where_all_coalitions_are_run() -> None:
    classifier, pixels = linear(), picture()
    few = explain(pixels, classifier, "kernel-shap", 1, cells=2, samples=14)
    many = explain(pixels, classifier, "kernel-shap", 1, cells=2, samples=1000)
    np.testing.assert_allclose(few.raw, many.raw, atol=1e-4)
    assert few.forward_passes == many.forward_passes == 1 + 1 + 14


def test_lime_fits_a_linear_network_and_says_so() -> None:
    found = explain(patches(), linear((64, 64)), "lime", 1, segments=16, samples=200, penalty=1e-6)
    assert found.notes == ("The linear model fits the scores with R2 = 1.00.",)


def test_rise_ranks_the_cells_of_a_linear_network() -> None:
    classifier, pixels = linear(), picture()
    view = view_of(classifier, pixels)
    found = explain(pixels, classifier, "rise", 1, cells=4, samples=4000)
    truth = contributions(view, 1, 4, 4)
    assert (
        np.corrcoef(found.raw[2::4, 2::4].ravel(), truth.ravel())[0, 1] > 0.9
    )  # soft cells share with their neighbours


@pytest.mark.parametrize("method", METHODS)
def test_planted_evidence_is_found(method: str) -> None:
    pixels = np.full((64, 64, 3), 90, np.uint8)
    pixels[16:32, 32:48] = (230, 10, 10)
    found = explain(pixels, detector(), method, "red", **SAMPLED[method])
    peak = np.unravel_index(int(found.heatmap.argmax()), found.heatmap.shape)
    assert 14 <= peak[0] < 34
    assert 30 <= peak[1] < 50


@pytest.mark.parametrize("method", METHODS)
def test_a_network_with_nothing_to_say_has_no_map(method: str) -> None:
    found = explain(picture(), blank((SIDE, SIDE)), method, 0, **SAMPLED[method])
    np.testing.assert_allclose(found.raw, 0, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_map_and_touches_no_global_state(method: str) -> None:
    before = np.random.get_state()[1].copy()
    first, second, other = (
        explain(patches(), linear((64, 64)), method, 1, **SAMPLED[method], seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.raw, second.raw)
    assert np.abs(first.raw - other.raw).max() > 0
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("method", METHODS)
def test_steps_get_better_and_end(method: str) -> None:
    steps = list(stream(picture(), linear(), method, 1, **SAMPLED[method]))
    progress = [step.progress for step in steps]
    assert progress == sorted(progress)
    assert progress[-1] == 1
    assert all(value < 1 for value in progress[:-1])
    errors = [step.error for step in steps if step.error is not None]
    assert errors[-1] < 0.8


def test_until_stops_when_the_error_is_reached() -> None:
    classifier = linear()
    full = explain(picture(), classifier, "rise", 1, samples=4000, cells=2)
    early = list(stream(picture(), classifier, "rise", 1, samples=4000, cells=2, until=0.3))
    assert early[-1].error <= 0.3
    assert early[-1].progress == 1
    assert early[-1].forward_passes < full.forward_passes
    assert all(step.error is None or step.error > 0.3 for step in early[:-1])


def test_the_estimated_error_is_that_of_the_map() -> None:
    """Over many seeds the distance from the long run is what the two halves promise."""
    truth = explain(picture(), linear(), "rise", 1, samples=20_000, cells=3).raw
    promised, real = [], []
    for seed in range(12):
        found = explain(picture(), linear(), "rise", 1, samples=300, cells=3, seed=seed)
        promised.append(found.error)
        real.append(np.linalg.norm(found.raw - truth) / np.linalg.norm(truth))
    assert 0.5 < np.mean(promised) / np.mean(real) < 2


def test_no_more_passes_than_asked_for() -> None:
    classifier = linear()
    classifier.engine = CountingEngine(classifier.engine)
    found = explain(picture(), classifier, "rise", 1, samples=100)
    assert classifier.engine.passes == found.forward_passes == 101


@pytest.mark.parametrize("kind", BASELINES)
def test_every_baseline_is_a_canvas(kind: str) -> None:
    view = view_of(linear(), picture())
    assert baseline(view, kind).shape == view.canvas.shape
    assert baseline(view, kind).dtype == np.float32


def test_a_baseline_that_does_not_exist() -> None:
    with pytest.raises(UserError, match="did you mean 'black'"):
        explain(picture(), linear(), "rise", 1, fill="blak")
