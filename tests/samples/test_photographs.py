"""Composed photographs are reproducible, and their corners are where the thumbnail is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from core.images import read
from samples import ROOT
from samples.photographs import KINDS, UPRIGHT, WIDE, compose, list_pictures

THUMBNAILS = [path for path in list_pictures(ROOT / "thumbnails") if path.suffix == ".jpg"]
PHOTOS = list_pictures(ROOT / "photos")


def test_pictures_are_listed_in_order_and_other_files_are_not() -> None:
    assert sorted(PHOTOS) == PHOTOS
    assert {path.name for path in PHOTOS} >= {"cat.jpg", "rocket.jpg"}
    assert list_pictures(ROOT / "fonts") == []


def test_equal_arguments_give_equal_scenes() -> None:
    first, again, other = (compose(seed, THUMBNAILS, PHOTOS) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.corners, again.corners)
    assert first.pixels.tobytes() != other.pixels.tobytes()


@pytest.mark.parametrize("size", [WIDE, UPRIGHT[0]])
def test_a_scene_shows_its_thumbnail_at_its_corners(size: tuple[int, int]) -> None:
    for seed in range(3):
        scene = compose(seed, THUMBNAILS, PHOTOS, size)
        assert scene.pixels.shape == (size[1], size[0], 3)
        assert scene.kind in KINDS
        assert ((scene.corners >= 0) & (scene.corners <= size)).all()
        square = np.array([(0, 0), (160, 0), (160, 90), (0, 90)], np.float32)
        homography = cv2.getPerspectiveTransform(scene.corners.astype(np.float32), square)
        cut = cv2.cvtColor(cv2.warpPerspective(scene.pixels, homography, (160, 90)), cv2.COLOR_RGB2GRAY)
        small = cv2.resize(read(scene.thumbnail).pixels, (160, 90), interpolation=cv2.INTER_AREA)
        shown = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        assert np.corrcoef(cut.ravel(), shown.ravel())[0, 1] > 0.6
