"""Regions of a picture where shortcuts often are: border, corners, text, faces. Masks are bool (H, W)."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import cv2
import numpy as np

from core.images import resize, shrink
from models.geometry import resample

BORDER = 0.07  # width of the border, as a share of the shorter side
CORNER = (0.18, 0.32)  # height and width of a corner, as shares of the picture's sides
CENTRE = 0.6  # sides of the middle box, as shares of the picture's sides
TEXT_SIDE = 320  # longer side, in pixels, at which text is detected
FACE_SIDE = 160  # longer side, in pixels, at which faces are detected


@lru_cache(maxsize=32)  # pictures of one set mostly share their size
def border_mask(size: tuple[int, int]) -> np.ndarray:
    """The ring along the edges of a picture of `size` (height, width). The mask is cached: do not write into it."""
    width = max(1, round(BORDER * min(size)))
    mask = np.ones(size, bool)
    mask[width:-width, width:-width] = False
    return mask


@lru_cache(maxsize=32)  # pictures of one set mostly share their size
def corners_mask(size: tuple[int, int]) -> np.ndarray:
    """The four corners of a picture of `size` (height, width). The mask is cached: do not write into it."""
    height, width = (max(1, round(share * side)) for share, side in zip(CORNER, size, strict=True))
    mask = np.zeros(size, bool)
    for rows in (slice(height), slice(size[0] - height, None)):
        for columns in (slice(width), slice(size[1] - width, None)):
            mask[rows, columns] = True
    return mask


def centre_mask(size: tuple[int, int]) -> np.ndarray:
    """The middle box of a picture of `size` (height, width). It stands for the subject where no mask is given."""
    top, left = (round(side * (1 - CENTRE) / 2) for side in size)
    mask = np.zeros(size, bool)
    mask[top : size[0] - top, left : size[1] - left] = True
    return mask


def find_text(pixels: np.ndarray) -> np.ndarray:
    """Boxes around lines of text in uint8 RGB pixels (H, W, 3): many narrow strokes in a row, in two distinct shades.

    A short detector with classic means: it finds strokes by morphology, joins them along the line, and filters the boxes by
    shape and contrast. It misses some text, and it takes some fences for text.
    """
    small = shrink(pixels, TEXT_SIDE)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    kernel = np.ones((9, 9), np.uint8)  # wider than the strokes, bright or dark
    strokes = cv2.max(
        cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, kernel), cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel)
    )
    lines = cv2.morphologyEx((strokes > 80).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 19), np.uint8))
    lines = cv2.morphologyEx(lines, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    mask = np.zeros(grey.shape, np.float32)
    count, _, boxes, _ = cv2.connectedComponentsWithStats(lines)
    for left, top, width, height, area in boxes[1:count].tolist():
        if not 7 <= height <= 0.4 * grey.shape[0] or width < max(24, 1.6 * height) or area < 0.5 * width * height:
            continue
        if _is_text(grey[top : top + height, left : left + width]):
            mask[max(0, top - 2) : top + height + 2, max(0, left - 2) : left + width + 2] = 1
    return resample(mask, pixels.shape[:2]) > 0.5


def _is_text(box: np.ndarray) -> bool:
    """Whether a grey box (h, w) holds strokes: two distinct shades, and many changes along its middle rows."""
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


def find_faces(pixels: np.ndarray) -> np.ndarray:
    """Boxes around frontal faces in uint8 RGB pixels (H, W, 3), by a cascade of local binary patterns.

    The cascade is OpenCV's. OpenCV 5 has neither its cascades nor the code that runs them; scikit-image has both.
    """
    size = pixels.shape[:2]
    scale = min(1.0, FACE_SIDE / max(size))
    small = resize(pixels, (max(1, round(size[0] * scale)), max(1, round(size[1] * scale))))
    mask = np.zeros(size, bool)
    smallest, largest = max(24, min(small.shape[:2]) // 8), min(small.shape[:2])
    if largest <= smallest:
        return mask
    boxes = _face_cascade().detect_multi_scale(
        img=cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), scale_factor=1.3, step_ratio=1.5, min_size=(smallest, smallest),
        max_size=(largest, largest), min_neighbor_number=3,
    )  # fmt: skip
    for box in boxes:
        top, left = round(box["r"] / scale), round(box["c"] / scale)
        mask[top : top + round(box["height"] / scale), left : left + round(box["width"] / scale)] = True
    return mask


@cache
def _face_cascade() -> Any:
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())
