"""The minimal perturbation against the closed form on linear models."""

from __future__ import annotations

import numpy as np
import pytest

from robustness.minimal import find_minimal_perturbation
from tests.networks import SIDE
from tests.robustness.linear_models import two_classes


@pytest.mark.parametrize("levels", [1, 2, 6, 13])
def test_the_smallest_epsilon_is_where_the_closed_form_says(levels: int, weight: np.ndarray, grey: np.ndarray) -> None:
    """epsilon * |w|_1 must exceed the lead."""
    classifier = two_classes(weight, (levels - 0.5) * np.abs(weight).sum(), grey)
    search = find_minimal_perturbation(grey, classifier)
    assert search.epsilon == levels
    assert search.attack is not None
    assert search.attack.linf == levels
    assert search.progress == 1
    assert dict(search.tried)[levels]
    assert levels == 1 or not dict(search.tried)[levels - 1]


def test_the_smallest_l2_epsilon_is_near_the_closed_form(weight: np.ndarray, grey: np.ndarray) -> None:
    nearest = 30 / np.sqrt((weight**2).sum()) / 255  # far enough that rounding costs little
    search = find_minimal_perturbation(grey, two_classes(weight, 30, grey), norm="l2")
    assert search.epsilon == pytest.approx(nearest, rel=0.1)


def test_where_nothing_helps_the_search_says_so(grey: np.ndarray) -> None:
    search = find_minimal_perturbation(grey, two_classes(np.zeros((SIDE, SIDE, 3)), 5, grey))
    assert search.epsilon is None
    assert [epsilon for epsilon, _ in search.tried] == [1, 2, 4, 8, 16, 32, 64]
