"""Attack methods against the closed form on linear models."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from robustness.adversarial import attack, stream_attack
from robustness.attack_methods import ATTACKS, AttackMethod
from tests.networks import SIDE, linear, picture
from tests.robustness.linear_models import lead, read_back, two_classes


@pytest.mark.parametrize("epsilon", [1, 3, 4.6])
@pytest.mark.parametrize("method", ["fgsm", "pgd", "mi-fgsm", "ascent"])
def test_linf_on_a_linear_model_gains_epsilon_times_the_l1_norm(
    method: str, epsilon: float, weight: np.ndarray, grey: np.ndarray
) -> None:
    """No perturbation gains more; what is left of 4.6 levels is 4."""
    classifier = two_classes(weight, 1000, grey)
    result = attack(grey, classifier, method, norm="linf", epsilon=epsilon)
    assert result.linf == math.floor(epsilon)
    expected = math.floor(epsilon) * np.abs(weight).sum()
    assert 1000 - lead(classifier, result.attacked) == pytest.approx(expected, rel=1e-4)
    assert not result.success


@pytest.mark.parametrize("margin", [0.4, 2.0])
def test_deepfool_on_a_linear_model_goes_straight_over_the_border(
    margin: float, weight: np.ndarray, grey: np.ndarray
) -> None:
    """The nearest whole-numbered way over it is one level on each of the largest weights until they add up to the lead."""
    result = attack(grey, two_classes(weight, margin, grey), "deepfool")
    fewest = 1 + int((np.cumsum(np.sort(np.abs(weight).ravel())[::-1]) <= margin).sum())
    assert result.success
    assert math.sqrt(fewest) <= result.l2 * 255 <= 1.1 * math.sqrt(fewest)


@pytest.mark.parametrize("size", [(SIDE, SIDE), (30, 17), (64, 90)])
@pytest.mark.parametrize(("method", "norm"), [(m.name, norm) for m in ATTACKS.values() for norm in m.norms])
def test_every_step_is_a_real_picture_within_the_limit(method: str, norm: str, size: tuple[int, int]) -> None:
    """Black and white pixels included, which can move one way only."""
    pixels = picture(*size)
    pixels[:3], pixels[3:6] = 0, 255
    before, epsilon = pixels.copy(), {"linf": 3, "l2": 0.7}[norm]
    classifier = linear()
    for result in stream_attack(pixels, classifier, method, 2, norm=norm, epsilon=epsilon, steps=6):
        assert result.attacked.dtype == np.uint8
        assert result.attacked.shape == pixels.shape
        assert (result.linf if norm == "linf" else result.l2) <= epsilon + 1e-6
        np.testing.assert_array_equal(result.original.astype(int) + result.perturbation, result.attacked)
        seen = classifier.predict(read_back(result.attacked), 1)[0]
        assert seen == result.after[0]
        assert result.success == (seen.index == 2)
    assert result.progress == 1
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("method", ATTACKS.values(), ids=list(ATTACKS))
def test_every_attack_links_its_paper(method: AttackMethod) -> None:
    assert re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{4,5}", method.link)
    assert method.summary.endswith(".")
