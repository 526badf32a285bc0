"""Where the segmentation network sees screens, and how neighbours are separated."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from capture import segmentation
from tests.capture.shapes import THUMBNAIL


def test_places_are_told_apart_by_their_edges() -> None:
    segments = np.zeros((36, 64, 3), np.float32)
    for left in (2, 33):
        segments[10:26, left : left + 29, segmentation.ANY] = 0.9
        segments[10:26, left : left + 29, segmentation.EDGE] = 0.9
        segments[12:24, left + 2 : left + 27, segmentation.EDGE] = 0.0
    segments[..., segmentation.AIMED] = 0.7 * segments[..., segmentation.ANY]
    aimed, *places = segmentation.separate_screens(segments)
    assert np.array_equal(aimed, segments[..., segmentation.AIMED])
    assert sorted(int(np.flatnonzero(place.any(0))[0]) for place in places) == [3, 34]
    assert all(place.max() == np.float32(0.9) for place in places)
    segments[:, 32:] = 0
    assert len(segmentation.separate_screens(segments)) == 1  # nothing beside it


def test_the_segments_of_an_upright_picture_lie_where_the_screen_is() -> None:
    """A bright thumbnail in the lower part of a dark room."""
    scene = np.full((1280, 720, 3), 20, np.uint8)
    scene[900:1200, 90:623] = cv2.resize(THUMBNAIL, (533, 300), interpolation=cv2.INTER_AREA)
    aimed = segmentation.segment(scene)[..., segmentation.AIMED]
    assert aimed.shape == (64, 36)
    rows, columns = np.indices(aimed.shape)
    assert (rows * aimed).sum() / aimed.sum() == pytest.approx(1050 / 20 - 0.5, abs=1.5)
    assert (columns * aimed).sum() / aimed.sum() == pytest.approx(356.5 / 20 - 0.5, abs=1.5)
