"""Composed displays of every shape are reproducible, and their corners are where the content is."""

from __future__ import annotations

import cv2
import numpy as np

from capture.quad import area, convex
from samples import ROOT
from samples.displays import KINDS, compose_display, compose_room
from samples.photographs import list_pictures

PICTURES = [path for path in list_pictures(ROOT / "thumbnails") if path.suffix == ".jpg"]
PHOTOS = list_pictures(ROOT / "photos")


def test_equal_arguments_give_equal_scenes() -> None:
    first, again, other = (compose_display(seed, PICTURES, PHOTOS) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.corners, again.corners)
    assert first.pixels.tobytes() != other.pixels.tobytes()


def test_displays_of_every_shape_lie_in_the_frame_and_differ_from_their_surroundings() -> None:
    shapes, kinds = [], set()
    for seed in range(30):
        scene = compose_display(seed, PICTURES, PHOTOS)
        kinds.add(scene.kind)
        height, width = scene.pixels.shape[:2]
        slack = 0.01 * max(height, width)
        assert ((scene.corners >= -slack) & (scene.corners <= (width + slack, height + slack))).all()
        assert convex(scene.corners[None])[0]
        assert area(scene.corners) > 0.01 * height * width
        sides = np.linalg.norm(np.roll(scene.corners, -1, 0) - scene.corners, axis=1)
        shapes.append((sides[0] + sides[2]) / (sides[1] + sides[3]))
        edges = np.zeros((height, width), np.uint8)
        points = np.rint(scene.corners - 0.5).astype(np.int32)
        cv2.polylines(edges, [points], True, 255, 5)
        gradient = cv2.morphologyEx(
            cv2.GaussianBlur(scene.pixels, (0, 0), 1.5), cv2.MORPH_GRADIENT, np.ones((5, 5))
        ).max(2)
        assert gradient[edges > 0].mean() > 1.2 * np.median(gradient)
    assert kinds == set(KINDS)
    assert min(shapes) < 0.6
    assert max(shapes) > 1.6


def test_a_room_has_no_corners() -> None:
    first, again = (compose_room(5, PHOTOS) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.corners.shape == (0, 2)
    assert first.kind not in KINDS
