"""The geometry of quads against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from capture import Quad, quad, quad_from_corners, rectify
from capture.quad import iou
from capture.rectification import output_size
from tests.capture.shapes import frame, view_plane


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (frame(40, 20), 1),
        (frame(40, 20, 20, 0), 20 * 20 / (40 * 20 + 40 * 20 - 20 * 20)),
        (frame(80, 20), 1 / 2),
        (frame(10, 10, 5, 5), 1 / 8),
        (frame(40, 20, 200, 0), 0),
    ],
    ids=["equal", "shifted", "larger", "inside", "apart"],
)
def test_iou_of_rectangles(other: np.ndarray, expected: float) -> None:
    """The same in both orders."""
    assert iou(frame(40, 20), other) == pytest.approx(expected, abs=1e-6)
    assert iou(other, frame(40, 20)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.4, -0.5, 0.3), (-0.3, 0.6, -0.2)])
def test_a_rectangle_is_known_at_any_angle(turn: tuple[float, float, float]) -> None:
    """A plane 16 by 9 wide, turned before a camera of focal length 1."""
    aspect, skew = quad.rectangle_from_quad(view_plane(16, turn, (1, -2, 40))[None])
    assert aspect == pytest.approx(16 / 9)
    assert skew == pytest.approx(0, abs=1e-6)
    sheared = frame(16, 9, -8, -4.5) + (frame(16, 9, -8, -4.5)[:, 1:] * (1, 0))
    aspect, skew = quad.rectangle_from_quad(sheared[None] / 40)  # its upright sides lean by 45 degrees
    assert aspect == pytest.approx(16 / (9 * 2**0.5))
    assert skew == pytest.approx(0.5**0.5)


@pytest.mark.parametrize(
    ("width", "shape"), [(16, 16 / 9), (12, 4 / 3), (9, 1), (6.75, 3 / 4), (5.0625, 9 / 16), (21.5, 2.35)]
)
def test_the_aspect_ratio_of_what_is_shown_is_recognised(width: float, shape: float) -> None:
    corners = view_plane(width, (0.2, -0.3, 0.1), (0, 0, 30)) * 1300 + (640, 360)
    assert quad.aspect_of(corners, (720, 1280)) == shape
    assert quad_from_corners(corners, (720, 1280)).aspect == shape
    assert rectify(np.zeros((720, 1280, 3), np.uint8), Quad(corners, 1.0, shape)).shape[:2] == output_size(
        corners, shape
    )


def test_corners_by_hand_come_in_any_order() -> None:
    corners = frame(100, 60, 10, 20)
    for order in ([0, 1, 2, 3], [2, 0, 3, 1], [3, 2, 1, 0]):
        assert np.array_equal(quad_from_corners(corners[order], (200, 300)).corners, corners)
    with pytest.raises(ValueError, match="must lie in the picture, which is 300 wide and 200 high"):
        quad_from_corners(corners + 250, (200, 300))
    with pytest.raises(ValueError, match="convex quadrilateral"):
        quad_from_corners([(0, 0), (100, 0), (50, 20), (50, 100)], (200, 300))
    assert quad_from_corners(corners, (200, 300)).to_dict((200, 300))["corners"][2] == [110.0, 80.0]
