"""A photograph of a screen or a print -> the upright picture on it. OpenCV and NumPy only; knows no model.

>>> from capture import find_screen, rectify
>>> quad = find_screen(photograph)
>>> picture = photograph if quad is None else rectify(photograph, quad)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from capture import evidence, lines, outline, quads
from capture.rectify import ASPECT, restored, size_of, warp, without_bars, without_fringes

__all__ = ["ASPECT", "Quad", "Search", "find_screen", "quad_of", "rectify", "search"]

SIDE = 560  # pixels of the longer side at which screens are looked for
LEAST = 0.6  # confidence of a screen that is worth cropping to
LARGEST = 0.97  # of the frame; beyond that a quad is the picture's own border
SMALLEST = 32  # pixels of a photograph's shorter side
SLIMMEST = 8  # times the shorter side
OTHERS = 8
BAR = 0.5  # how probable a part of the screen may be that is cut off as black bars


@dataclass(frozen=True)
class Quad:
    """Where a flat picture lies in a photograph.

    `corners`: float64 (4, 2), x and y in the photograph's pixels, (0, 0) the outer corner of its first, clockwise from what
    is the top left. `confidence`: how probable it is a screen, a thumbnail on a page or a print, in [0, 1]; 1 for corners set
    by hand. `aspect`: width / height of what it frames, of the usual ones the one that fits the perspective.
    """

    corners: np.ndarray
    confidence: float
    aspect: float = ASPECT


@dataclass(frozen=True)
class Search:
    """What was found in a photograph. `quad`: the most central large one, or None, for which `reason` says why not.

    `others`: further ones that do not overlap it, the more prominent first.
    """

    quad: Quad | None
    others: tuple[Quad, ...] = ()
    reason: str = ""


def find_screen(image: np.ndarray) -> Quad | None:
    """The screen, thumbnail or print in a photograph uint8 RGB (H, W, 3); None where there is none, as in a plain picture."""
    return search(image).quad


def search(image: np.ndarray, least: float = LEAST) -> Search:
    """The same with all that was found, at a confidence of at least `least`. Raises ValueError for another kind of array."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"A photograph is a uint8 array (H, W, 3) of red, green, blue, not {image.dtype} {image.shape}."
        )
    if min(image.shape[:2]) < SMALLEST or max(image.shape[:2]) > SLIMMEST * min(image.shape[:2]):
        return Search(None, reason="The picture is too small or too narrow to hold a screen.")
    corners, features, sight, small = proposals(image)
    if not len(corners):
        return Search(None, reason="No four straight edges enclose a part of the picture.")
    confidence = evidence.score(features)
    good = np.flatnonzero(confidence >= least)
    if not len(good):
        return Search(None, reason=f"No screen is in sight; the likeliest edges are one by {confidence.max():.0%}.")
    chosen: list[int] = []
    for index in good[np.argsort(-confidence[good], kind="stable")]:  # of those in one place the likeliest
        if all(not _overlap(corners[index], corners[other]) for other in chosen):
            chosen.append(int(index))
        if len(chosen) > OTHERS:
            break
    size = image.shape[:2]
    weight = quads.prominence(corners[chosen], size)
    first, *others = (
        Quad(corners[index], float(confidence[index]), quads.shape_of(corners[index], size))
        for index in np.array(chosen)[np.argsort(-weight, kind="stable")]
    )
    scale = np.array(small.shape[1::-1]) / size[::-1]
    outer = first.corners * scale
    inner = without_bars(small, outer)
    if inner is not outer:
        ends = np.stack([outer, inner]) / small.shape[1::-1]
        if _between(sight[..., outline.ANY], *ends) < BAR:
            inner = inner / scale
            first = Quad(inner, first.confidence, quads.shape_of(inner, size))
    return Search(first, tuple(others))


def _between(seen: np.ndarray, outer: np.ndarray, inner: np.ndarray) -> float:
    """The mean of what is seen (h, w) between two quads, whose corners are shares of the width and height; 0 for nothing."""
    fine = 4
    ring = np.zeros((seen.shape[0] * fine, seen.shape[1] * fine), np.uint8)
    for quad, value in ((outer, 255), (inner, 0)):
        points = np.rint(quad * ring.shape[::-1] - 0.5).astype(np.int32)
        cv2.fillConvexPoly(ring, points, value)
    weight = cv2.resize(ring, seen.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    return float((weight * seen).sum() / max(weight.sum(), 1))


def proposals(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Quads that may be screens: corners (N, 4, 2) in the photograph's pixels, features (N, F) for `evidence.score`, what
    `outline.look` saw, and the photograph at the size at which it was searched."""
    scale = min(1.0, SIDE / max(image.shape[:2]))
    shape = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    small = outline.shrunk(image, shape) if scale < 1 else image
    size = small.shape[:2]
    sight = outline.look(small)
    found = lines.find(small, sight[..., outline.EDGE])
    corners, sides = quads.candidates(found, outline.places(sight), size)
    inner = quads.area(corners) <= LARGEST * size[0] * size[1]
    corners, sides = corners[inner], sides[inner]
    features = quads.features(found, sight, corners, sides, size) if len(corners) else np.zeros((0, 1), np.float32)
    return (corners / shape + 0.5).clip(0, 1) * image.shape[1::-1], features, sight, small


def _overlap(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether they share more than a tenth of the smaller."""
    shared = cv2.intersectConvexConvex(one.astype(np.float32), other.astype(np.float32))[0]
    return bool(shared > 0.1 * min(quads.area(one), quads.area(other)))


def quad_of(corners: Sequence[Sequence[float]] | np.ndarray, size: tuple[int, int]) -> Quad:
    """The quad of four corners set by hand, in any order, in a photograph of `size` (H, W).

    Raises ValueError, in a sentence, for corners outside the photograph, too close, or in no convex order.
    """
    points = np.asarray(corners, np.float64)
    if points.shape != (4, 2) or not np.isfinite(points).all():
        raise ValueError("A screen has four corners, each an x and a y.")
    if (points < -1).any() or (points > np.array(size[::-1]) + 1).any():
        raise ValueError(f"The corners must lie in the picture, which is {size[1]} wide and {size[0]} high.")
    points = quads.clockwise(points)
    if quads.area(points) < 64 or not quads.convex(points[None])[0]:
        raise ValueError("The four corners must enclose a part of the picture, none inside the triangle of the others.")
    return Quad(points, 1.0, quads.shape_of(points, size))


def rectify(image: np.ndarray, quad: Quad, aspect: float | None = None, *, fringes: bool = False) -> np.ndarray:
    """What lies within the quad of a photograph uint8 RGB (H, W, 3), upright, at width / height = `aspect`, by default the
    quad's own.

    Its size follows what the photograph resolves. The light that lies on a screen is taken off, and moire is taken out
    unless `fringes` are to stay.
    """
    upright = restored(warp(image, quad.corners, size_of(quad.corners, aspect or quad.aspect)))
    return upright if fringes else without_fringes(upright)


def facts(quad: Quad, size: tuple[int, int]) -> dict[str, object]:
    """What was done, as JSON allows it: corners in a photograph of `size` (H, W), and the shape they were given."""
    return {
        "corners": [[round(float(x), 1), round(float(y), 1)] for x, y in quad.corners],
        "confidence": round(quad.confidence, 3),
        "photograph": [int(size[0]), int(size[1])],
        "aspect": round(quad.aspect, 4),
    }
