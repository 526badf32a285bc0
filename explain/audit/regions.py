"""Where in a picture shortcuts like to hide: its border, its corners, text, faces. Masks are bool (H, W)."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np

from models.geometry import resample
from models.picture import resize

BORDER = 0.07  # width of the ring, as a share of the shorter side
CORNER = (0.18, 0.32)  # height and width of a corner, as shares of the picture's
CENTRE = 0.6  # sides of the box in which a subject is looked for where nobody says where it is
_SIDE = 320  # longer side at which text is looked for
_FACE = 160  # and faces


def border(size: tuple[int, int]) -> np.ndarray:
    """The ring along the edges of a picture of `size` (H, W)."""
    wide = max(1, round(BORDER * min(size)))
    mask = np.ones(size, bool)
    mask[wide:-wide, wide:-wide] = False
    return mask


def corners(size: tuple[int, int]) -> np.ndarray:
    """The four corners."""
    high, wide = (max(1, round(share * side)) for share, side in zip(CORNER, size, strict=True))
    mask = np.zeros(size, bool)
    for rows in (slice(high), slice(size[0] - high, None)):
        for columns in (slice(wide), slice(size[1] - wide, None)):
            mask[rows, columns] = True
    return mask


def centre(size: tuple[int, int]) -> np.ndarray:
    """The box in the middle."""
    top, left = (round(side * (1 - CENTRE) / 2) for side in size)
    mask = np.zeros(size, bool)
    mask[top : size[0] - top, left : size[1] - left] = True
    return mask


def text(pixels: np.ndarray) -> np.ndarray:
    """Boxes around what looks like lines of writing: many strokes in a row, of two clearly different shades.

    A detector of a few lines in the manner of the older literature (edges, joined along the line, then sieved by shape and
    contrast); it misses some writing and takes some fences for it.
    """
    size = pixels.shape[:2]
    scale = min(1.0, _SIDE / max(size))
    small = resize(pixels, (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))) if scale < 1 else pixels
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    kernel = np.ones((9, 9), np.uint8)  # bright or dark strokes that are narrower than this
    strokes = cv2.max(
        cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, kernel), cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel)
    )
    joined = cv2.morphologyEx((strokes > 80).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 19), np.uint8))
    joined = cv2.morphologyEx(joined, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    found = np.zeros(grey.shape, np.float32)
    count, _, boxes, _ = cv2.connectedComponentsWithStats(joined)
    for left, top, wide, high, area in boxes[1:count].tolist():
        if wide < 24 or not 7 <= high <= 0.4 * grey.shape[0] or wide < 1.6 * high or area < 0.5 * wide * high:
            continue
        if _written(grey[top : top + high, left : left + wide]):
            found[max(0, top - 2) : top + high + 2, max(0, left - 2) : left + wide + 2] = 1
    return resample(found, size) > 0.5


def _written(box: np.ndarray) -> bool:
    """Whether a grey box (h, w) holds strokes: two shades apart, and many changes between them along its middle rows."""
    _, ink = cv2.threshold(box, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    share = float(ink.mean())
    if not 0.1 <= share <= 0.9:
        return False
    within = share * box[ink == 1].var() + (1 - share) * box[ink == 0].var()
    if within > 0.28 * box.var() or box[ink == 1].mean() - box[ink == 0].mean() < 60:
        return False
    middle = ink[box.shape[0] // 4 : box.shape[0] - box.shape[0] // 4].astype(np.int8)
    changes = np.abs(np.diff(middle, axis=1)).sum(1)
    return float(np.median(changes)) >= max(6, 1.2 * box.shape[1] / box.shape[0])


def faces(pixels: np.ndarray) -> np.ndarray:
    """Boxes around frontal faces, found by OpenCV's own cascade of local binary patterns.

    OpenCV 5 ships neither its cascades nor the code that ran them; scikit-image ships one and runs it.
    """
    size = pixels.shape[:2]
    scale = min(1.0, _FACE / max(size))
    small = resize(pixels, (max(1, round(size[0] * scale)), max(1, round(size[1] * scale))))
    found = np.zeros(size, bool)
    least, most = max(24, min(small.shape[:2]) // 8), min(small.shape[:2])
    if most <= least:
        return found
    boxes = _cascade().detect_multi_scale(
        img=cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), scale_factor=1.3, step_ratio=1.5, min_size=(least, least),
        max_size=(most, most), min_neighbor_number=3,
    )  # fmt: skip
    for box in boxes:
        top, left = round(box["r"] / scale), round(box["c"] / scale)
        found[top : top + round(box["height"] / scale), left : left + round(box["width"] / scale)] = True
    return found


@cache
def _cascade() -> Any:
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())
