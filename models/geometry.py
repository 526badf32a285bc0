"""Where a picture lies on a network's canvas, and the way back: maps from the canvas to the picture's own pixels.

All resampling of maps is bilinear with half-pixel centres (a cell's value belongs to its middle) and, when shrinking, the
average over the area; both keep a map's mean where the factor is whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import cv2
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

    def pull(self, gradient: np.ndarray) -> np.ndarray:
        """d / d(canvas) (h, w, 3) -> d / d(pixels) of the picture itself, float32 (H, W, 3): the transpose of `place`.

        Exact but for the rounding in `place`, through which it goes straight; what lies on the padding moves no pixel.
        """
        top, left, height, width = self.box
        rows, columns = picture.resize_matrices(self.size, (height, width))
        inside = gradient[top : top + height, left : left + width].transpose(1, 0, 2)
        wide = (columns.T @ inside.reshape(width, -1)).reshape(-1, height, 3).transpose(1, 0, 2)
        return np.asarray((rows.T @ wide.reshape(height, -1)).reshape(*self.size, 3))

    def restore(self, grid: np.ndarray) -> np.ndarray:
        """A map (gh, gw) over the whole canvas -> float32 (H, W) over the picture's own pixels, padding left out."""
        if self.padded:
            top, left, height, width = self.box
            grid = resample(grid, self.canvas)[top : top + height, left : left + width]
        return resample(grid, self.size)

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


def resample(grid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map (gh, gw) at another size (height, width), float32: linear where it grows, the mean over areas where it shrinks.

    By OpenCV and not by a matrix product, whose threads spin on and slow down the next forward pass.
    """
    grid = np.ascontiguousarray(grid, np.float32)
    for height, width in ((size[0], grid.shape[1]), size):  # rows, then columns: one may grow while the other shrinks
        shrinks = height < grid.shape[0] or width < grid.shape[1]
        grid = cv2.resize(grid, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return grid
