"""The criterion, its gradient, and perturbations in whole levels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from robustness.adversarial import attack
from robustness.problem import log_odds, log_odds_gradient, round_perturbation
from tests.networks import SIDE, linear
from tests.robustness.linear_models import lead


@pytest.mark.parametrize("size", [(40, 56), (7 * SIDE, 5 * SIDE), (23, 61)])
def test_the_gradient_goes_through_the_resize_and_past_the_padding(size: tuple[int, int], weight: np.ndarray) -> None:
    """In the picture's own pixels the model is linear too, with the weights that pull_back() gives: the same identity."""
    pixels = np.random.default_rng(6).integers(80, 170, (*size, 3), dtype=np.uint8)
    classifier = linear(weights=np.stack([np.zeros_like(weight), weight], -1))
    result = attack(pixels, classifier, "fgsm", norm="linf", epsilon=8)
    own = classifier.geometry(size).pull_back(weight.astype(np.float32))
    rise = abs(lead(classifier, result.attacked) - lead(classifier, pixels))
    assert rise == pytest.approx(8 * np.abs(own).sum(), rel=0.06), "the canvas itself is rounded to levels"


@pytest.mark.parametrize("length", [1.0, 2.3, 3.7])
def test_whole_perturbations_are_the_best_of_their_length(length: float) -> None:
    """Against every whole vector there is."""
    delta = np.array([0.31, -0.72, 0.11, 0.9], np.float32)
    result = round_perturbation(delta * np.float32(length / np.linalg.norm(delta)), "l2", 99)
    assert (result == np.rint(result)).all()
    assert 0 < np.linalg.norm(result) <= length + 1e-6
    every = np.array(list(itertools.product(range(-4, 5), repeat=4)))
    rivals = every[np.linalg.norm(every, axis=1) <= np.linalg.norm(result) + 1e-6]
    assert result @ delta == pytest.approx((rivals @ delta).max(), abs=1e-6)


def test_log_odds_are_those_of_the_softmax() -> None:
    logits = np.random.default_rng(7).normal(0, 3, 20)
    probability = np.exp(logits[4]) / np.exp(logits).sum()
    assert log_odds(logits, 4) == pytest.approx(np.log(probability / (1 - probability)))


def test_the_gradient_of_log_odds_is_that_of_differences() -> None:
    logits, step = np.random.default_rng(8).normal(0, 3, 6), 1e-5
    rises = [(log_odds(logits + step * unit, 2) - log_odds(logits - step * unit, 2)) / (2 * step) for unit in np.eye(6)]
    np.testing.assert_allclose(log_odds_gradient(logits, 2), rises, atol=1e-6)
