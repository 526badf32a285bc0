"""Where a picture lies on a network's canvas, and the way back: maps from the canvas to the picture's own pixels.

All resampling of maps is bilinear with half-pixel centres (a cell's value belongs to its middle) and, when shrinking, the
average over the area; both are one separable matrix product, and both keep a map's mean where the factor is whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from models import picture

FILL = (124, 116, 104)  # the mean of ImageNet: what is least surprising to the networks, unlike black bars
STRETCH = 1.1  # a canvas may change a picture's aspect by this much before bars are added instead


@dataclass(frozen=True)
class Geometry:
    """A picture of `size` (H, W) on a `canvas` (h, w), filling the `box` (top, left, height, width) in canvas pixels."""

    size: tuple[int, int]
    canvas: tuple[int, int]
    box: tuple[int, int, int, int]

    @property
    def padded(self) -> bool:
        """Whether part of the canvas is not picture."""
        return self.box[2:] != self.canvas

    def place(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) -> float32 canvas (h, w, 3) in [0, 255], the rest filled with ImageNet's mean colour."""
        top, left, height, width = self.box
        canvas = np.empty((*self.canvas, 3), np.float32)
        if self.padded:
            canvas[:] = FILL
        canvas[top : top + height, left : left + width] = picture.resize(pixels, (height, width))
        return canvas

    def restore(self, grid: np.ndarray) -> np.ndarray:
        """A map (gh, gw) over the whole canvas -> float32 (H, W) over the picture's own pixels, padding left out."""
        top, left, height, width = self.box
        rows = interpolation(self.size[0], grid.shape[0], top / self.canvas[0], height / self.canvas[0])
        columns = interpolation(self.size[1], grid.shape[1], left / self.canvas[1], width / self.canvas[1])
        return rows @ grid.astype(np.float32) @ columns.T

    def padding_share(self, grid: np.ndarray) -> float:
        """The share of a map's positive heat that lies outside the picture, 0 where there is no padding."""
        if not self.padded:
            return 0.0
        heat = np.maximum(resample(grid, self.canvas), 0)
        top, left, height, width = self.box
        total = float(heat.sum(dtype=np.float64))
        inside = float(heat[top : top + height, left : left + width].sum(dtype=np.float64))
        return max(0.0, 1 - inside / total) if total > 0 else 0.0


def fixed(size: tuple[int, int], canvas: tuple[int, int]) -> Geometry:
    """The picture on the one canvas a network takes, whole and in its own aspect: bars where it does not fit."""
    scale = min(canvas[0] / size[0], canvas[1] / size[1])
    height, width = (max(1, min(round(s * scale), c)) for s, c in zip(size, canvas, strict=True))
    if height * STRETCH >= canvas[0] and width * STRETCH >= canvas[1]:
        height, width = canvas
    return Geometry(size, canvas, ((canvas[0] - height) // 2, (canvas[1] - width) // 2, height, width))


def fitted(size: tuple[int, int], side: int, stride: int) -> Geometry:
    """The canvas that follows the picture: about side * side pixels, in whole cells of `stride`, of nearly its aspect."""
    return fixed(size, _canvas(round(math.log(size[1] / size[0]), 3), side, stride))


@cache
def _canvas(log_aspect: float, side: int, stride: int) -> tuple[int, int]:
    """(h, w): least distortion first, then the area nearest to side * side; at most 3:1, beyond that bars are fewer cells."""
    cells = side / stride
    wanted = max(-math.log(3), min(math.log(3), log_aspect))

    def cost(shape: tuple[int, int]) -> tuple[float, tuple[int, int]]:
        distortion = abs(math.log(shape[1] / shape[0]) - wanted)
        return distortion + 0.15 * abs(math.log(shape[0] * shape[1] / cells**2)), shape

    span = range(1, math.ceil(2 * cells) + 1)
    height, width = min(((h, w) for h in span for w in span), key=cost)
    return height * stride, width * stride


@lru_cache(maxsize=32)  # one may be 10 MB: a pixel map of a large photograph
def interpolation(n_out: int, n_in: int, start: float = 0.0, extent: float = 1.0) -> np.ndarray:
    """Matrix (n_out, n_in) that samples n_in cells over the interval [start, start + extent] of their unit length.

    Between cells linear, edges repeating; where the output is coarser, each is the mean over its own stretch. At equal
    size both are the same. Rows sum to 1.
    """
    step = extent * n_in / n_out
    centres = start * n_in + (np.arange(n_out) + 0.5) * step
    reach = max(step, 1.0) / 2
    if step < 1:  # a stretch one cell wide, kept inside the grid
        centres = np.clip(centres, 0.5, n_in - 0.5)
    cells = np.arange(n_in)
    overlap = np.minimum(centres[:, None] + reach, cells + 1) - np.maximum(centres[:, None] - reach, cells)
    weights = np.maximum(0, overlap)
    matrix = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def resample(grid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map (gh, gw) at another size (height, width), float32."""
    return interpolation(size[0], grid.shape[0]) @ grid.astype(np.float32) @ interpolation(size[1], grid.shape[1]).T
