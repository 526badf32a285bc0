"""Localisation metrics: is the heat of a map inside a given region?"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np


def pointing_game(heatmap: np.ndarray, region: np.ndarray, tolerance: int = 0) -> bool:
    """The pointing game: is the hottest pixel of the map in the region?

    Zhang et al. 2018, https://arxiv.org/abs/1608.00507.

    Args:
        heatmap: (H, W).
        region: (H, W) bool.
        tolerance: The hottest pixel may be outside the region by this many pixels.
    """
    if tolerance:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * tolerance + 1,) * 2)
        region = cv2.dilate(region.astype(np.uint8), kernel) > 0
    return bool(region[np.unravel_index(int(np.argmax(heatmap)), heatmap.shape)])


def energy(heatmap: np.ndarray, region: np.ndarray) -> float:
    """The share of a map's positive heat inside a region (H, W) bool, in [0, 1]; 0 for an empty map.

    Wang et al. 2020 (energy-based pointing game), https://arxiv.org/abs/1910.01279.
    """
    heat = np.maximum(heatmap, 0).astype(np.float64)
    total = float(heat.sum())
    return float(heat[region].sum()) / total if total else 0.0


def regions(boxes: Iterable[tuple[float, float, float, float]], size: tuple[int, int]) -> np.ndarray:
    """The region (H, W) bool that boxes (left, top, right, bottom) in pixels cover together; `size` is (H, W)."""
    region = np.zeros(size, bool)
    for left, top, right, bottom in boxes:
        region[max(0, int(top)) : int(np.ceil(bottom)), max(0, int(left)) : int(np.ceil(right))] = True
    return region
