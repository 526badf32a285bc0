"""Bounds of options: what is inside passes, what is outside is one sentence."""

from __future__ import annotations

import math

import pytest

from core.errors import UserError
from core.options import MAX_MASK_VALUES, Names, Range, check_masks


@pytest.mark.parametrize("value", [1, 5, 10, 1.0])
def test_both_ends_are_inside(value: float) -> None:
    Range(1, 10).check("m", "n", value)


@pytest.mark.parametrize(("value", "said"), [
    (0, "at least 1; got 0"), (11, "at most 10; got 11"), (math.inf, "at most 10; got inf"),
    (-math.inf, "at least 1; got -inf"), (math.nan, "at least 1; got nan"), (10**60, "at most 10; got 1000"),
])  # fmt: skip
def test_outside_is_a_sentence(value: float, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        Range(1, 10).check("rise", "cells", value)
    assert str(caught.value).startswith("rise needs cells of ")
    assert len(str(caught.value)) < 100


def test_names() -> None:
    Names(most=3).check("m", "n", "a,b,c")
    Names().check("m", "n", "a,b")  # an unknown name, which the method reports
    with pytest.raises(UserError, match="at most 3 names; got 4"):
        Names(most=3).check("m", "n", "a,b,c,d")
    with pytest.raises(UserError, match="at most 200 letters; got 201"):
        Names().check("m", "n", "x" * 201)


def test_how_bounds_are_written() -> None:
    assert [str(Range(1, 64)), str(Range(0, 0.5)), str(Names()), str(Names(8))] == [
        "1 to 64", "0 to 0.5", "a name", "up to 8 names",
    ]  # fmt: skip


def test_masks_that_do_not_fit() -> None:
    check_masks(MAX_MASK_VALUES, 1)
    with pytest.raises(UserError, match="memory"):
        check_masks(MAX_MASK_VALUES, 2)
