"""BayLIME: the posterior against ridge regression and against its limits, log odds, masks, and the prior map."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from core.errors import UserError
from explain import explain, stream
from explain.baselines import make_baseline
from explain.methods import sampling
from explain.methods.masks import Segments, make_grid, score_masks, turns
from explain.view import View
from models.geometry import resample
from tests.networks import detector, linear, picture, unit

RNG = np.random.default_rng(6)
MASKS = sampling.varied_masks(60, 9, np.random.default_rng(2))
WEIGHTS = RNG.normal(size=9)
ONE = np.zeros(60, int)


@pytest.mark.parametrize("penalty", [0.01, 3.0])
def test_without_a_prior_it_is_ridge_regression(penalty: float) -> None:
    scores = MASKS @ WEIGHTS + RNG.normal(size=60)
    deviation, slope = sampling.fit_prior(MASKS, scores, ONE, np.zeros(9), penalty)
    np.testing.assert_allclose(deviation, Ridge(alpha=penalty).fit(MASKS, scores).coef_, rtol=1e-5, atol=1e-8)
    assert slope == 0


def test_scores_that_follow_the_prior_leave_no_deviation() -> None:
    """Whatever the scale of the prior and the intercepts of the baselines."""
    groups = turns(60, 2)
    deviation, slope = sampling.fit_prior(
        MASKS, 5 * MASKS @ WEIGHTS + np.array([1.0, -40.0])[groups], groups, WEIGHTS, 2.0
    )
    assert slope == pytest.approx(5)
    np.testing.assert_allclose(deviation, 0, atol=1e-6)


def test_with_a_small_penalty_the_scores_decide_and_with_a_large_one_the_prior() -> None:
    prior, scores = WEIGHTS + RNG.normal(size=9) / 4, MASKS @ WEIGHTS
    free, stiff = (sampling.fit_prior(MASKS, scores, ONE, prior, penalty) for penalty in (1e-6, 1e9))
    np.testing.assert_allclose(free[0] + free[1] * prior, WEIGHTS, atol=1e-3)
    np.testing.assert_allclose(stiff[0], 0, atol=1e-6)
    assert stiff[1] > 0


def test_a_prior_that_misleads_is_left_out() -> None:
    scores = MASKS @ WEIGHTS
    deviation, slope = sampling.fit_prior(MASKS, scores, ONE, -WEIGHTS, 1.0)
    assert slope == 0
    np.testing.assert_allclose(deviation, sampling.fit_prior(MASKS, scores, ONE, np.zeros(9), 1.0)[0])


def test_a_good_prior_does_with_few_masks_what_many_do_without() -> None:
    """The reason for it: the error of ten masks for nine cells."""
    scores = MASKS @ WEIGHTS + RNG.normal(size=60) / 5
    few = slice(0, 10)
    errors = [
        np.linalg.norm(deviation + slope * WEIGHTS - WEIGHTS)
        for deviation, slope in (
            sampling.fit_prior(MASKS[few], scores[few], ONE[few], prior, 1.0) for prior in (WEIGHTS, np.zeros(9))
        )
    ]
    assert errors[0] < 0.5 * errors[1]


def test_masks_come_with_their_complements_and_hide_all_shares() -> None:
    masks = sampling.varied_masks(400, 50, np.random.default_rng(0))
    np.testing.assert_array_equal(masks[::2] + masks[1::2], 1)
    shares = masks[::2].mean(1)
    assert shares.min() < 0.15
    assert shares.max() > 0.85
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert len(sampling.varied_masks(7, 5, np.random.default_rng(0))) == 7


def test_several_baselines_take_turns_pair_by_pair() -> None:
    classifier, pixels = linear(), picture()
    view = View(classifier, classifier.geometry(pixels.shape[:2]), pixels)
    cells = make_grid(view, 2, soft=False)
    masks = np.random.default_rng(1).integers(0, 2, (37, cells.count)).astype(np.float32)
    names = ("mean", "blur", "black")
    each = [score_masks(view, unit(3, 0), cells, masks, make_baseline(view, name)) for name in names]
    found = score_masks(view, unit(3, 0), cells, masks, np.stack([make_baseline(view, name) for name in names]))
    np.testing.assert_allclose(found, np.array(each)[np.arange(37) // 2 % 3, np.arange(37)], rtol=1e-5)


def test_log_odds_are_those_of_the_probability() -> None:
    classifier = linear()
    view = View(classifier, classifier.geometry((16, 16)), picture())
    batch = np.stack([view.canvas, view.canvas / 2]) / 20  # logits that are close to each other
    probabilities = classifier.probabilities(classifier.forward(batch)[1].astype(np.float64))
    for index in range(3):
        expected = np.log(probabilities[:, index] / (1 - probabilities[:, index]))
        np.testing.assert_allclose(view.log_odds(batch, unit(3, index)), expected, rtol=1e-3, atol=1e-4)
    contrast = unit(3, 0) - unit(3, 2)
    np.testing.assert_array_equal(view.log_odds(batch, contrast), view.scores(batch, contrast))
    assert view.forward_passes == 1 + 3 * 2 + 2 + 2


def test_detail_varies_within_the_segments() -> None:
    labels, detail = np.array([[0, 0, 1]]), np.array([[1.0, 2, 4]], np.float32)
    cells = Segments(labels, detail)
    np.testing.assert_array_equal(cells.to_pixels(np.array([[5.0, 6]])), [[[5, 5, 6]]])
    np.testing.assert_array_equal(cells.to_pixels(np.array([[5.0, 6, 10]])), [[[15, 25, 46]]])


def test_the_first_map_is_the_prior_and_a_large_penalty_keeps_its_order() -> None:
    pixels = np.full((64, 64, 3), 90, np.uint8)
    pixels[16:32, 32:48] = (230, 10, 10)
    first, *_, last = stream(pixels, detector(), "bay-lime", "red", penalty=1e6, segments="16", prior="grad-cam")
    prior = explain(pixels, detector(), "grad-cam", "red").raw
    np.testing.assert_array_equal(first.raw, prior)
    smooth = resample(prior, (64, 64))
    slope = (last.raw * smooth).sum() / (smooth**2).sum()
    assert slope > 0
    np.testing.assert_allclose(last.raw, slope * smooth, atol=0.01 * last.raw.max())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"segments": "60,x"}, "bay-lime needs segments from 1 to 1000"),
        ({"segments": "0"}, "bay-lime needs segments from 1 to 1000"),
        ({"prior": "saliency"}, "bay-lime needs the name of a class activation map"),
        ({"prior": "nothing"}, "nothing"),
        ({"fill": "mean,nothing"}, "nothing"),
    ],
)
def test_mistakes_are_one_sentence(options: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        explain(picture(64, 64), detector(), "bay-lime", 0, **options)
