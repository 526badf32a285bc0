"""The measures of trust against what they are by definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from explain import faithfulness
from explain.baseline import baseline
from explain.view import View
from tests.explain.nets import SIDE, linear, picture, unit


@pytest.fixture
def view() -> View:
    classifier, pixels = linear(), picture()
    return View(classifier, classifier.geometry((SIDE, SIDE)), pixels)


def true_map(view: View, target: int, fill: str = "mean") -> np.ndarray:
    gradient = view.gradient(view.canvas[None], unit(3, target))[0]
    return (gradient * (view.canvas - baseline(view, fill))).sum(-1)


def probability(view: View, canvas: np.ndarray, target: int) -> float:
    return float(view.classifier.probabilities(view.classifier.forward(canvas[None])[1])[0, target])


def test_curves_start_and_end_where_they_should(view: View) -> None:
    heatmap = np.random.default_rng(0).random((SIDE, SIDE))
    whole, empty = probability(view, view.canvas, 1), probability(view, baseline(view, "blur"), 1)
    deleted = faithfulness.deletion(view, heatmap, 1, fill="blur")
    inserted = faithfulness.insertion(view, heatmap, 1, fill="blur")
    np.testing.assert_allclose(deleted.scores[[0, -1]], [whole, empty], rtol=1e-5)
    np.testing.assert_allclose(inserted.scores[[0, -1]], [empty, whole], rtol=1e-5)
    assert deleted.fractions[0] == 0
    assert deleted.fractions[-1] == 1


def test_each_step_replaces_the_hottest_pixels(view: View) -> None:
    heatmap = np.arange(SIDE * SIDE, dtype=float).reshape(SIDE, SIDE)
    curve = faithfulness.deletion(view, heatmap, 2, fill="black", steps=4)
    for score, quarter in zip(curve.scores, range(5), strict=True):
        canvas = view.canvas.copy()
        canvas[SIDE - quarter * SIDE // 4 :] = 0
        assert score == pytest.approx(probability(view, canvas, 2), rel=1e-4)


def test_deleting_is_inserting_backwards(view: View) -> None:
    heatmap = np.random.default_rng(1).permutation(SIDE * SIDE).reshape(SIDE, SIDE).astype(float)
    deleted = faithfulness.deletion(view, heatmap, 0, fill="grey", steps=16)
    inserted = faithfulness.insertion(view, -heatmap, 0, fill="grey", steps=16)
    np.testing.assert_allclose(deleted.scores, inserted.scores[::-1], rtol=1e-5)
    assert deleted.auc == pytest.approx(inserted.auc, rel=1e-5)


def test_the_area_does_not_depend_on_the_number_of_steps(view: View) -> None:
    heatmap = true_map(view, 1)
    areas = [faithfulness.deletion(view, heatmap, 1, steps=steps).auc for steps in (32, 64, 128)]
    assert max(areas) - min(areas) < 0.02


@pytest.mark.parametrize("target", [0, 1])
def test_the_true_map_of_an_additive_score_is_the_best(target: int) -> None:
    """With two classes the probability follows the difference of the logits, which is additive here."""
    rng = np.random.default_rng(2)
    weights = rng.normal(0, 0.0005, (SIDE, SIDE, 3, 2))
    classifier = linear(weights=weights)
    view = View(classifier, classifier.geometry((SIDE, SIDE)), picture())
    margin = weights[..., target] - weights[..., 1 - target]
    truth = (margin * (view.canvas - baseline(view, "mean"))).sum(-1)
    best = faithfulness.deletion(view, truth, target).auc
    worst = faithfulness.deletion(view, -truth, target).auc
    others = [faithfulness.deletion(view, rng.random((SIDE, SIDE)), target).auc for _ in range(20)]
    assert best < min(others)
    assert worst > max(others)
    assert faithfulness.insertion(view, truth, target, fill="mean").auc == pytest.approx(worst, abs=0.02)


def test_mu_fidelity_is_one_for_the_true_map_and_minus_one_for_its_opposite(view: View) -> None:
    truth = true_map(view, 1)
    assert faithfulness.mu_fidelity(view, truth, 1, grid=4) == pytest.approx(1, abs=1e-3)
    assert faithfulness.mu_fidelity(view, -truth, 1, grid=4) == pytest.approx(-1, abs=1e-3)
    assert faithfulness.mu_fidelity(view, np.zeros((SIDE, SIDE)), 1) == 0


def test_average_drop_of_the_whole_and_of_nothing(view: View) -> None:
    target = int(view.logits.argmax())
    assert faithfulness.average_drop(view, np.ones((SIDE, SIDE)), target) == (pytest.approx(0, abs=1e-6), 0)
    before = probability(view, view.canvas, target)
    after = probability(view, np.zeros_like(view.canvas), target)
    drop, rise = faithfulness.average_drop(view, np.zeros((SIDE, SIDE)), target)
    assert drop == pytest.approx(max(0, before - after) / before, rel=1e-4)
    assert rise == (after > before)


def test_pointing_game_and_energy() -> None:
    heatmap = np.zeros((10, 10))
    heatmap[2, 3], heatmap[7, 7], heatmap[0, 0] = 3, 1, -5
    region = faithfulness.regions([(3, 2, 5, 4)], (10, 10))
    assert region.sum() == 4
    assert faithfulness.pointing_game(heatmap, region)
    assert not faithfulness.pointing_game(-heatmap, region)
    assert faithfulness.energy(heatmap, region) == 0.75
    assert faithfulness.energy(np.zeros((10, 10)), region) == 0
    far = faithfulness.regions([(6, 2, 9, 4)], (10, 10))
    assert not faithfulness.pointing_game(heatmap, far, tolerance=2)
    assert faithfulness.pointing_game(heatmap, far, tolerance=3)


def test_spearman_is_scipys_with_ties_too() -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        first, second = rng.integers(0, 5, 40).astype(float), rng.normal(size=40)
        assert faithfulness.spearman(first, second) == pytest.approx(stats.spearmanr(first, second)[0], abs=1e-9)
    assert faithfulness.spearman(np.ones(5), np.arange(5.0)) == 0


def test_top_overlap() -> None:
    first = np.arange(100.0).reshape(10, 10)
    assert faithfulness.top_overlap(first, first) == 1
    assert faithfulness.top_overlap(first, -first) == 0
    assert faithfulness.top_overlap(first, np.roll(first, 5), share=0.1) == 0.5
