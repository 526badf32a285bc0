"""Candidate quads and their features: planted rectangles and closed forms."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from capture import candidates, lines
from capture.quad import iou
from tests.capture.shapes import frame


def test_candidates_hold_the_rectangle() -> None:
    image = np.full((360, 640, 3), 40, np.uint8)
    cv2.fillConvexPoly(image, np.array([(130, 70), (500, 90), (470, 290), (110, 260)]), (200, 180, 90), cv2.LINE_AA)
    found = lines.find_lines(image, np.ones((9, 16), np.float32))
    corners, sides = candidates.candidate_quads(found, [np.ones((9, 16), np.float32)], (360, 640))
    truth = np.array([(130, 70), (500, 90), (470, 290), (110, 260)]) - (319.5, 179.5)
    assert max(iou(quad, truth) for quad in corners) > 0.98
    assert found.vertical[sides].tolist() == [[False, True, False, True]] * len(sides)


def test_each_place_has_candidates_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "CANDIDATES_OF_FIRST", 1)
    monkeypatch.setattr(candidates, "CANDIDATES_OF_OTHERS", 1)
    turn = cv2.getRotationMatrix2D((320, 180), 28, 1)
    image, places, truth = np.full((360, 640, 3), 230, np.uint8), [], []
    for box in (frame(192, 108, 60, 60), frame(192, 108, 390, 190)):
        truth.append(cv2.transform(box[None], turn)[0])
        place = np.zeros((360, 640), np.uint8)
        for canvas, colour in ((image, (30, 60, 90)), (place, 255)):
            cv2.fillConvexPoly(canvas, np.rint(truth[-1] * 16).astype(np.int32), colour, cv2.LINE_AA, 4)
        places.append(cv2.resize(place, (64, 36), interpolation=cv2.INTER_AREA).astype(np.float32) / 255)
    found = lines.find_lines(image, np.ones((9, 16), np.float32))
    middle = np.array([319.5, 179.5])
    for first in (0, 1):
        corners, _ = candidates.candidate_quads(found, [places[first], places[1 - first]], (360, 640))
        assert len(corners) == 2
        assert all(max(iou(quad + middle, screen) for quad in corners) > 0.95 for screen in truth)


def test_a_leaning_line_is_taken_where_it_passes_a_place() -> None:
    place = np.zeros((36, 64), np.float32)
    place[20:30, 40:50] = 0.5
    assert candidates._centroid(place, (360, 640)) == pytest.approx((450 - 320, 250 - 180))
    normal = np.array([[-0.5, 1], [1, 0.25]]) / np.hypot(1, [[0.5], [0.25]])  # y = 10 + x / 2 and x = 20 - y / 4
    leaning = lines.Lines(
        normal, normal @ (0, 10) * (1, 0) + normal @ (20, 0) * (0, 1), np.array([False, True]), np.zeros(0), 0
    )
    y, x = candidates._crossings(leaning, np.array([0]), np.array([1]), (130, 70))
    assert (float(y[0]), float(x[0])) == pytest.approx((75, 2.5))


def test_a_cover_is_the_iou_of_boxes() -> None:
    """Of boxes that are covered completely, and of sides between two cells."""
    aimed = np.zeros((9, 16), np.float32)
    aimed[2:6, 4:12] = 1
    y, x = np.array([[2, 0, 2.5], [6, 9, 5.5]]) / 9, np.array([[4, 0, 6], [12, 16, 14]]) / 16
    wanted = [[1, 32 / 64, 24 / (32 + 32 - 24)], [32 / 72, 32 / 144, 24 / 80], [24 / 32, 24 / 56, 18 / 38]]
    assert np.allclose(candidates._iou_of_boxes(aimed, y, x), wanted, atol=1e-5)
