"""Planted evidence: where a network looks is known, so the maps have to say it."""

from __future__ import annotations

import numpy as np
import pytest

from explain import explain
from tests.networks import GENERAL, SIDE, detector, linear, picture

OPTIONS = {
    "occlusion": {"patch": 8, "stride": 4}, "recipro-cam": {"mask": "cell"}, "finite-differences": {"grid": 16},
}  # fmt: skip
# Not where the evidence is: where it would change; and what is lighter is less red.
EVIDENCE = [method for method in GENERAL if method not in {"vargrad", "finite-differences"}]
# Noise does not move with the square, and blurs are mirrored at the edges.
FIXED = {"smoothgrad", "vargrad", "blur-ig"}
COLOURS = {"red": (255, 0, 0), "blue": (0, 0, 255)}


def _scene(top: int, left: int, colour: str, other: tuple[int, int, str] | None = None) -> np.ndarray:
    """Grey, with a square of 16 pixels."""
    pixels = np.full((64, 64, 3), 120, np.uint8)
    pixels[top : top + 16, left : left + 16] = COLOURS[colour]
    if other:
        pixels[other[0] : other[0] + 16, other[1] : other[1] + 16] = COLOURS[other[2]]
    return pixels


@pytest.mark.parametrize("method", EVIDENCE)
@pytest.mark.parametrize("place", [(0, 0), (24, 36), (48, 8), (20, 20)])
@pytest.mark.parametrize("colour", COLOURS)
def test_every_map_peaks_on_the_square(method: str, place: tuple[int, int], colour: str) -> None:
    top, left = place
    found = explain(_scene(top, left, colour), detector(), method, **OPTIONS.get(method, {}))
    assert found.label == colour
    heat = found.heatmap
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert top <= y < top + 16
    assert left <= x < left + 16
    inside = heat[top : top + 16, left : left + 16].sum() / heat.sum()
    assert inside > {"occlusion": 0.5, "saliency": 0.99}.get(method, 0.75)
    assert heat[top + 2 : top + 14, left + 2 : left + 14].mean() > 0.75


@pytest.mark.parametrize("method", EVIDENCE)
def test_the_class_decides_which_square_is_shown(method: str) -> None:
    pixels = _scene(8, 8, "red", (40, 40, "blue"))
    for colour, (top, left) in {"red": (8, 8), "blue": (40, 40)}.items():
        heat = explain(pixels, detector(), method, colour, **OPTIONS.get(method, {})).heatmap
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        assert top <= y < top + 16
        assert left <= x < left + 16


@pytest.mark.parametrize("method", [method for method in GENERAL if method not in FIXED])
def test_the_maps_follow_the_square(method: str) -> None:
    """Moved by whole cells and strides, the map moves with it."""
    one = explain(_scene(8, 12, "red"), detector(), method, "red", **OPTIONS.get(method, {})).raw
    other = explain(_scene(24, 36, "red"), detector(), method, "red", **OPTIONS.get(method, {})).raw
    cell = 64 // len(one)
    moved = np.roll(one, (16 // cell, 24 // cell), (0, 1))
    np.testing.assert_allclose(moved, other, atol=1e-4 * np.abs(one).max())


def test_a_region_without_weight_gets_exactly_nothing() -> None:
    """The null player, by weights: and nothing of its neighbours either, where patches do not straddle."""
    weights = np.random.default_rng(4).normal(0, 1, (SIDE, SIDE, 3, 2))
    weights[4:12, 8:] = 0
    found = explain(picture(), linear(weights=weights), "occlusion", 0, patch=4, stride=4)
    assert (found.raw[4:12, 8:] == 0).all()
    assert (found.raw[:4] != 0).all()
    saliency = explain(picture(), linear(weights=weights), "saliency", 0)
    assert (saliency.raw[4:12, 8:] == 0).all()


def test_the_background_gets_exactly_nothing_from_occlusion() -> None:
    """The null player, by a network that does not answer to grey."""
    found = explain(_scene(24, 24, "red"), detector(), "occlusion", "red", patch=8, stride=8)
    far = np.ones((64, 64), bool)
    far[24:40, 24:40] = False
    assert (found.raw[far] == 0).all()
    assert (found.raw[24:40, 24:40] > 0).all()
