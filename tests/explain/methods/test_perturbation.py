"""RISE, LIME, Kernel SHAP, Sobol and HSIC on networks whose answers are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from core.errors import UserError
from explain import explain, stream
from explain.baselines import BASELINES, make_baseline
from explain.methods.masks import make_grid, score_masks
from explain.methods.perturbation import kernel_shap
from explain.methods.sampling import shapley_values
from explain.view import View
from tests.networks import SIDE, CountingEngine, blank, detector, linear, picture, unit

SAMPLED = {
    "rise": {"samples": 300, "cells": 4},
    "lime": {"samples": 300, "segments": 16},
    "bay-lime": {"samples": 300, "segments": "16,25"},
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
    each = (gradient * (view.canvas - make_baseline(view, "mean"))).sum(-1)
    return each.reshape(rows, SIDE // rows, columns, SIDE // columns).sum((1, 3))


def test_kernel_shap_gives_each_cell_of_a_linear_network_what_it_adds() -> None:
    classifier, pixels = linear(), picture()
    view = view_of(classifier, pixels)
    found = explain(pixels, classifier, "kernel-shap", 1, cells=4, samples=200)
    truth = contributions(view, 1, 4, 4)
    np.testing.assert_allclose(found.raw[2::4, 2::4], truth, atol=2e-3)
    empty = float(classifier.forward(make_baseline(view, "mean")[None])[1][0, 1])
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
    assert make_baseline(view, kind).shape == view.canvas.shape
    assert make_baseline(view, kind).dtype == np.float32


def test_a_baseline_that_does_not_exist() -> None:
    with pytest.raises(UserError, match="did you mean 'black'"):
        explain(picture(), linear(), "rise", 1, fill="blak")


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("rise", {"samples": 0}, "samples of at least 1; got 0"),
        ("rise", {"seed": -1}, "seed of at least 0"),
        ("lime", {"samples": 0}, "samples of at least 1"),
        ("lime", {"segments": 0}, "segments of at least 1"),
        ("lime", {"penalty": -0.5}, "penalty of at least 0"),
        ("kernel-shap", {"samples": 0}, "samples of at least 1"),
        ("sobol", {"rows": 0}, "rows of at least 1"),
        ("hsic", {"samples": 1}, "samples of at least 2"),
        ("extremal", {"steps": 0}, "steps of at least 1"),
        ("extremal", {"area": 1.0}, "between 0 and 1"),
    ],
)
def test_wrong_options_get_one_sentence(method: str, options: dict, says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        explain(picture(), linear(), method, 1, **options)
    assert "\n" not in str(error.value)


def test_kernel_shap_keeps_the_weight_of_each_mask_in_both_halves_of_the_error(mobilenet, cat_pixels) -> None:
    """All 14 coalitions of four cells run: the error is that of the weighted fits to every other pair of masks."""
    view = View(mobilenet, mobilenet.geometry((224, 224)), np.ascontiguousarray(cat_pixels[:224, :224]))
    objective = mobilenet.objective("tabby")
    grid = make_grid(view, 2, soft=False)
    (step,) = kernel_shap(view, objective, cells=2)
    masks = np.array(list(itertools.product((0, 1), repeat=4)), np.float32)[1:-1]
    fill = make_baseline(view, "mean")
    scores = score_masks(view, objective, grid, masks, fill)
    none = float(score_masks(view, objective, grid, np.zeros((1, 4), np.float32), fill)[0])
    weights = np.where(masks.sum(1) == 2, 0.125, 0.25)  # (K - 1) / (binomial(K, s) s (K - s))
    odd = np.arange(14) // 2 % 2 == 1
    first, second = (
        shapley_values(masks[half], scores[half], weights[half], none, float(view.logits @ objective))
        for half in (odd, ~odd)
    )
    assert step.error == pytest.approx(np.linalg.norm(first - second) / np.linalg.norm(first + second), rel=1e-6)
