"""Sentences that describe a map."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from explain import explain
from explain.result import describe_location
from tests.networks import linear


@pytest.mark.parametrize(
    ("row", "column", "name"), [(0, 0, "upper left"), (1, 1, "centre"), (2, 1, "lower centre"), (1, 2, "middle right")]
)
def test_heat_in_one_ninth_is_named(row: int, column: int, name: str) -> None:
    heatmap = np.zeros((90, 150), np.float32)
    heatmap[row * 30 : row * 30 + 30, column * 50 : column * 50 + 50] = 0.5
    assert describe_location(heatmap) == f"The strongest ninth of the picture is the {name}, with 100% of the heat."


def test_even_heat_is_not_given_a_place() -> None:
    assert describe_location(np.ones((31, 47), np.float32)) == "The evidence is spread over the whole picture."


def test_no_heat_is_said() -> None:
    assert describe_location(np.zeros((30, 30), np.float32)) == "No region supports this class."


def test_an_explanation_is_saved_in_four_forms(tmp_path: Path) -> None:
    explanation = explain(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8), linear(), "saliency", 1)
    for ending in ("png", "npy", "json", "npz"):
        assert explanation.save(tmp_path / "new" / f"map.{ending}") == tmp_path / "new" / f"map.{ending}"
    grey = np.asarray(Image.open(tmp_path / "new" / "map.png"))
    np.testing.assert_array_equal(grey[..., 1], np.rint(explanation.heatmap * 255))
    np.testing.assert_array_equal(np.load(tmp_path / "new" / "map.npy"), explanation.raw)
    facts = json.loads((tmp_path / "new" / "map.json").read_text())
    assert facts == json.loads(json.dumps(explanation.to_dict()))
    with np.load(tmp_path / "new" / "map.npz") as arrays:
        np.testing.assert_array_equal(arrays["heatmap"], explanation.heatmap)
        assert json.loads(str(arrays["facts"])) == facts
    with pytest.raises(UserError, match="must end with"):
        explanation.save(tmp_path / "map.gif")
