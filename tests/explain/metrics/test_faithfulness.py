"""Faithfulness metrics against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from explain.baselines import make_baseline
from explain.metrics import faithfulness
from explain.view import View
from tests.networks import SIDE, linear, picture, unit


@pytest.fixture
def view() -> View:
    classifier, pixels = linear(), picture()
    return View(classifier, classifier.geometry((SIDE, SIDE)), pixels)


@pytest.fixture
def mild() -> View:
    """One whose probabilities are far from 0 and 1."""
    classifier = linear(weights=np.random.default_rng(9).normal(0, 0.0005, (SIDE, SIDE, 3, 3)))
    return View(classifier, classifier.geometry((SIDE, SIDE)), picture())


def true_map(view: View, target: int, fill: str = "mean") -> np.ndarray:
    gradient = view.gradient(view.canvas[None], unit(3, target))[0]
    return (gradient * (view.canvas - make_baseline(view, fill))).sum(-1)


def probability(view: View, canvas: np.ndarray, target: int) -> float:
    return float(view.classifier.probabilities(view.classifier.forward(canvas[None])[1])[0, target])


def test_curves_start_and_end_where_they_should(view: View) -> None:
    heatmap = np.random.default_rng(0).random((SIDE, SIDE))
    whole, empty = probability(view, view.canvas, 1), probability(view, make_baseline(view, "blur"), 1)
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
    truth = (margin * (view.canvas - make_baseline(view, "mean"))).sum(-1)
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


def test_imputed_pixels_are_the_weighted_means_of_their_neighbours() -> None:
    """The linear system itself, pixel by pixel, removed neighbours and borders included."""
    rng = np.random.default_rng(4)
    pixels = rng.uniform(0, 255, (9, 11, 3)).astype(np.float32)
    for share in (0.05, 0.5, 0.95):
        removed = rng.random((9, 11)) < share
        removed[0, 0], removed[4, 4] = True, False
        filled = pixels.copy()
        filled[removed] = faithfulness.impute(pixels, removed)
        for y, x in np.argwhere(removed):
            near = {
                (y + dy, x + dx): 1 / 12 if dy and dx else 1 / 6
                for dy in (-1, 0, 1) for dx in (-1, 0, 1)
                if (dy or dx) and 0 <= y + dy < 9 and 0 <= x + dx < 11
            }  # fmt: skip
            mean = sum(weight * filled[place] for place, weight in near.items()) / sum(near.values())
            np.testing.assert_allclose(filled[y, x], mean, rtol=1e-4, atol=1e-3)


def test_one_pixel_on_paper() -> None:
    pixels = np.zeros((3, 3, 1), np.float32)
    pixels[0, 1], pixels[0, 0] = 60, 120
    removed = np.zeros((3, 3), bool)
    removed[1, 1] = True
    assert faithfulness.impute(pixels, removed) == pytest.approx(60 / 6 + 120 / 12)


def test_an_even_picture_is_imputed_as_it_was() -> None:
    removed = np.random.default_rng(5).random((20, 30)) < 0.9
    removed[3, 3] = False
    values = faithfulness.impute(np.full((20, 30, 3), 77, np.float32), removed)
    np.testing.assert_allclose(values, 77, rtol=1e-5)


def test_road_removes_the_hottest_and_the_coldest_first(mild: View) -> None:
    heatmap = np.random.default_rng(6).permutation(SIDE * SIDE).reshape(SIDE, SIDE).astype(float)
    most, least = faithfulness.road(mild, heatmap, 1, shares=(0.25, 0.5), noise=0)
    np.testing.assert_array_equal(most.fractions, [0, 0.25, 0.5])
    assert most.scores[0] == least.scores[0] == pytest.approx(probability(mild, mild.canvas, 1), rel=1e-5)
    for curve, hot in ((most, heatmap), (least, -heatmap)):
        for share, score in zip((0.25, 0.5), curve.scores[1:], strict=True):
            removed = hot >= np.quantile(hot, 1 - share, method="higher")
            assert removed.sum() == share * SIDE * SIDE
            canvas = mild.canvas.copy()
            canvas[removed] = faithfulness.impute(mild.canvas, removed)
            assert score == pytest.approx(probability(mild, canvas, 1), rel=1e-4)
    backwards = faithfulness.road(mild, -heatmap, 1, shares=(0.25, 0.5), noise=0)
    for one, other in zip((least, most), backwards, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5)


def test_roads_noise_is_drawn_by_its_seed(mild: View) -> None:
    heatmap = np.random.default_rng(7).random((SIDE, SIDE))
    one, again, other = (faithfulness.road(mild, heatmap, 1, seed=seed)[0].scores for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one[1:] != other[1:]).all()
