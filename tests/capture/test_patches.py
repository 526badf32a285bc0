"""Patches of quads: what they show, and that their score follows what is seen and not the shape."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from capture import patches
from tests.capture.shapes import THUMBNAIL, frame


def paint(corners: np.ndarray, size: tuple[int, int] = (360, 480)) -> np.ndarray:
    """A thumbnail at these corners on a dark wall."""
    source = cv2.resize(THUMBNAIL, (320, 180), interpolation=cv2.INTER_AREA)
    to = cv2.getPerspectiveTransform(frame(320, 180).astype(np.float32) - 0.5, (corners - 0.5).astype(np.float32))
    scene = np.full((*size, 3), 25, np.uint8)
    inside = cv2.warpPerspective(np.full((180, 320), 255, np.uint8), to, size[::-1])
    cv2.copyTo(cv2.warpPerspective(source, to, size[::-1]), inside, scene)
    return scene


def test_a_patch_has_the_sides_of_the_quad_at_its_places_for_a_side() -> None:
    """White inside, black outside, whatever the perspective: half at the samples that lie on a side."""
    corners = np.array([(90.0, 60), (400, 90), (380, 290), (70, 250)])
    fine = np.zeros((8 * 360, 8 * 480, 3), np.uint8)
    cv2.fillConvexPoly(fine, np.rint(8 * corners).astype(np.int32), (255,) * 3)
    scene = cv2.resize(fine, (480, 360), interpolation=cv2.INTER_AREA)
    patch = patches.patches(scene, corners[None])[0, :, :, 0].astype(float)
    places = patches.sample_places()
    assert len(places) == patches.SIDE
    assert np.allclose(places + places[::-1], 1)  # symmetric
    middle = patches.SIDE // 2
    for line in (patch[middle], patch[:, middle]):
        assert line[(places > 0.04) & (places < 0.96)].min() > 240
        assert line[(places < -0.04) | (places > 1.04)].max() < 15
        assert line[np.isclose(places, 0) | np.isclose(places, 1)] == pytest.approx(128, abs=40)


def test_parts_outside_the_photograph_are_black() -> None:
    patch = patches.patches(np.full((60, 80, 3), 200, np.uint8), frame(80, 60)[None])[0]
    outside = patches.sample_places() < -0.05
    assert (patch[outside] == 0).all()
    assert patch[patches.SIDE // 2, patches.SIDE // 2, 0] == 200


def test_light_does_not_change_a_normalised_patch() -> None:
    rng = np.random.default_rng(0)
    bright = rng.integers(0, 201, (2, 8, 8, 3)).astype(np.uint8)
    shifted = (bright.astype(np.float32) + 40).astype(np.uint8)
    assert np.allclose(patches.normalise(bright), patches.normalise(shifted), atol=1e-5)
    seen = patches.normalise(bright)
    assert np.allclose(seen.mean((1, 2, 3)), 0, atol=1e-5)
    assert patches.normalise(np.full((1, 8, 8, 3), 90, np.uint8)).max() == 0


def test_the_right_quad_has_the_highest_score_in_every_shape() -> None:
    """Upright, square and wide; against quads that are too small, too large, shifted and skewed."""
    for width, height in ((110, 200), (150, 150), (260, 110)):
        true = frame(width, height, 90, 70) + np.array([(0, 0), (6, 4), (-4, 6), (3, -5)])
        around = true.mean(0)
        wrong = [around + share * (true - around) for share in (0.7, 1.25)]
        wrong += [true + np.array([0.25 * width, 0]), true + np.array([(0, 0.2 * height), (0, 0), (0, 0), (0, 0)])]
        scores = patches.score(paint(true), np.stack([true, *wrong]))
        assert scores.argmax() == 0


def test_a_score_does_not_depend_on_the_other_quads() -> None:
    """Of more quads than the network takes at once."""
    true = frame(200, 120, 120, 90)
    quads = np.stack([true + shift for shift in range(patches.BATCH + 3)])
    scene = paint(true)
    together = patches.score(scene, quads)
    assert together.shape == (patches.BATCH + 3,)
    assert np.allclose(together, [patches.score(scene, quad[None])[0] for quad in quads], atol=1e-4)
    assert patches.score(scene, np.zeros((0, 4, 2))).shape == (0,)
