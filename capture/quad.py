"""Quadrilaterals in a photograph: their geometry, and the rectangle that each one is a perspective view of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

ASPECT = 16 / 9  # width / height of a screen if nothing else is known
FOCAL = 1.1  # focal length of a typical phone camera, in longer sides of the picture
CENTRAL = 2.0  # weight of the distance from the middle, relative to the size
TINY = 1e-9
# Usual aspect ratios, and the weight of a deviation from each.
SHAPES = {16 / 9: 0.5, 4 / 3: 1.0, 2.35: 1.0, 1.0: 1.0, 3 / 4: 1.0, 9 / 16: 1.0}


@dataclass(frozen=True)
class Quad:
    """The place of a flat picture in a photograph.

    `corners`: float64 (4, 2), x and y in pixels of the photograph, clockwise from the top left corner of what is shown; (0, 0)
    is the outer corner of the first pixel. `confidence`: the probability of a screen, a thumbnail on a web page or a
    print, in [0, 1]; 1 for corners set by hand. `aspect`: width / height of what is shown, one of SHAPES.
    """

    corners: np.ndarray
    confidence: float
    aspect: float = ASPECT

    def to_dict(self, size: tuple[int, int]) -> dict[str, object]:
        """Corners in a photograph of `size` (H, W), confidence and aspect ratio, as JSON allows them."""
        return {
            "corners": [[round(float(x), 1), round(float(y), 1)] for x, y in self.corners],
            "confidence": round(self.confidence, 3),
            "photograph": [int(size[0]), int(size[1])],
            "aspect": round(self.aspect, 4),
        }


def quad_from_corners(corners: Sequence[Sequence[float]] | np.ndarray, size: tuple[int, int]) -> Quad:
    """The quad of four corners set by hand, in any order, in a photograph of `size` (H, W).

    Raises ValueError, in one sentence, for corners outside the photograph, for an area under 64 pixels, and for corners that
    are not convex.

    >>> quad_from_corners([(90, 10), (10, 10), (10, 55), (90, 55)], (60, 100)).aspect == 16 / 9
    True
    """
    points = np.asarray(corners, np.float64)
    if points.shape != (4, 2) or not np.isfinite(points).all():
        raise ValueError("A screen has four corners, each an x and a y.")
    if (points < -1).any() or (points > np.array(size[::-1]) + 1).any():
        raise ValueError(f"The corners must lie in the picture, which is {size[1]} wide and {size[0]} high.")
    points = clockwise(points)
    if area(points) < 64 or not convex(points[None])[0]:
        raise ValueError("The four corners must form a convex quadrilateral.")
    return Quad(points, 1.0, aspect_of(points, size))


def convex(corners: np.ndarray) -> np.ndarray:
    """Which quads (N, 4, 2) are convex and clockwise as seen in the picture: bool (N,)."""
    side = np.roll(corners, -1, 1) - corners
    following = np.roll(side, -1, 1)
    return (side[..., 0] * following[..., 1] - side[..., 1] * following[..., 0] > 0).all(1)


def clockwise(points: np.ndarray) -> np.ndarray:
    """Four points (4, 2) in any order -> clockwise as seen in the picture, starting nearest to the top left."""
    away = points - points.mean(0)
    ordered = points[np.argsort(np.arctan2(away[:, 1], away[:, 0]), kind="stable")]
    return np.roll(ordered, -int(ordered.sum(1).argmin()), 0)


def area(corners: np.ndarray) -> np.ndarray:
    """The area of quads (..., 4, 2), in square pixels."""
    first, second = corners[..., 2, :] - corners[..., 0, :], corners[..., 3, :] - corners[..., 1, :]  # the diagonals
    return np.abs(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]) / 2


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two convex quads (4, 2), in [0, 1]."""
    first, second = first.astype(np.float32), second.astype(np.float32)
    shared = cv2.intersectConvexConvex(first, second)[0]
    return float(shared / max(cv2.contourArea(first) + cv2.contourArea(second) - shared, 1e-9))


def prominence(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """How large and central quads (..., 4, 2) are in a picture of `size` (H, W); the highest value is explained first."""
    middle = (corners.mean(-2) / size[::-1] - 0.5).astype(np.float64)
    return np.sqrt(area(corners) / (size[0] * size[1])) * np.exp(-CENTRAL * (middle**2).sum(-1))


def rectangle_from_quad(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The parallelograms that quads (N, 4, 2) show, seen by a camera of focal length 1 (Zhang & He 2007).

    Returns width / height (N,), and the absolute cosine of the corner angle (N,): 0 for rectangles. Corners are counted from
    the picture's middle. https://doi.org/10.1016/j.dsp.2006.05.006
    """
    rays = np.concatenate([corners, np.ones((len(corners), 4, 1))], 2)
    top_left, top_right, far, bottom_left = rays.transpose(1, 0, 2)
    diagonal = np.cross(top_left, far)
    # The depth of the two neighbours relative to the first corner, if the four corners form a parallelogram.
    right = (diagonal * bottom_left).sum(1) / ((np.cross(top_right, far) * bottom_left).sum(1) + TINY)
    below = (diagonal * top_right).sum(1) / ((np.cross(bottom_left, far) * top_right).sum(1) - TINY)
    wide, tall = right[:, None] * top_right - top_left, below[:, None] * bottom_left - top_left
    width, height = np.linalg.norm(wide, axis=1) + TINY, np.linalg.norm(tall, axis=1) + TINY
    return np.clip(width / height, 0.05, 20), np.abs((wide * tall).sum(1)) / (width * height)


def aspect_of(corners: np.ndarray, size: tuple[int, int]) -> float:
    """The aspect ratio of SHAPES that fits the corners (4, 2) best, in a picture of `size` (H, W)."""
    aspect, _ = rectangle_from_quad((corners - np.array(size[::-1]) / 2)[None] / (FOCAL * max(size)))
    return min(SHAPES, key=lambda shape: SHAPES[shape] * abs(np.log(aspect[0] / shape)))
