"""The sentences about a map."""

from __future__ import annotations

import numpy as np
import pytest

from explain.words import where


@pytest.mark.parametrize(
    ("row", "column", "name"), [(0, 0, "upper left"), (1, 1, "centre"), (2, 1, "lower centre"), (1, 2, "middle right")]
)
def test_heat_in_one_ninth_is_named(row: int, column: int, name: str) -> None:
    heatmap = np.zeros((90, 150), np.float32)
    heatmap[row * 30 : row * 30 + 30, column * 50 : column * 50 + 50] = 0.5
    assert where(heatmap) == f"Most of the evidence is in the {name}: 100% of the heat in a ninth of the picture."


def test_even_heat_is_not_given_a_place() -> None:
    assert where(np.ones((31, 47), np.float32)) == "The evidence is spread over the whole picture."


def test_no_heat_is_said() -> None:
    assert where(np.zeros((30, 30), np.float32)) == "No region speaks for it."
