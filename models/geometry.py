"""Where a picture lies on the canvas of a network, and how a map on the canvas returns to the pixels of the picture.

There are four ways to fit a picture to a canvas (`Fit`). They should match the way in which the pictures were fitted when the
model was trained:

- "squash": the whole picture fills a fixed canvas, and its aspect ratio changes.
- "crop": the largest centred part with the aspect ratio of the canvas fills it. The network does not see the rest.
- "letterbox": the whole picture in its own aspect ratio, with bars on the rest of a fixed canvas.
- "follow": the canvas follows the picture, for networks that take any size.

Maps are enlarged bilinearly with half-pixel centres: the value of a cell belongs to its centre. They are shrunk with area
means. Both keep the mean of a map if the factor is a whole number.

>>> geometry = following((720, 1280), 224, 32)
>>> geometry.canvas
(160, 288)
>>> geometry.restore(np.ones((5, 9))).shape
(720, 1280)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import cv2
import numpy as np

from core import images

FILL = (124, 116, 104)  # mean colour of ImageNet; black bars would be unusual input for the networks
STRETCH = 1.1  # the aspect ratio may change by up to this factor; beyond it bars are added

Fit = Literal["squash", "crop", "letterbox", "follow"]


@dataclass(frozen=True)
class Geometry:
    """The place of a picture on a canvas.

    Args:
        size: Height and width of the picture (H, W).
        canvas: Height and width of the canvas (h, w).
        box: The part of the canvas that the picture fills: (top, left, height, width) in canvas pixels.
        crop: The part of the picture that lies on the canvas: (top, left, height, width) in picture pixels. None for the
            whole picture.
    """

    size: tuple[int, int]
    canvas: tuple[int, int]
    box: tuple[int, int, int, int]
    crop: tuple[int, int, int, int] | None = None

    @property
    def padded(self) -> bool:
        """Whether a part of the canvas is padding."""
        return self.box[2:] != self.canvas

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence that says what the network does not see, if there is such a part."""
        if self.crop is None:
            return ()
        _, _, height, width = self.crop
        return (f"The network sees only the centre of the picture, {width}x{height} pixels; the rest has no heat.",)

    def to_dict(self) -> dict[str, Any]:
        """Its fields, ready for JSON; `crop` only if there is one."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def visible(self, values: np.ndarray) -> np.ndarray:
        """The part of a picture or a map (H, W, ...) that lies on the canvas, in picture pixels. It is a view."""
        if self.crop is None:
            return values
        top, left, height, width = self.crop
        return values[top : top + height, left : left + width]

    def place_map(self, values: np.ndarray) -> np.ndarray:
        """A map (H, W) of the picture -> float32 (height, width) over the box: what `place` does to pixels."""
        return resample(self.visible(values), self.box[2:])

    def place(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 pixels (H, W, 3) -> float32 canvas (h, w, 3) in [0, 255]. Padding has the mean colour of ImageNet."""
        top, left, height, width = self.box
        canvas = np.empty((*self.canvas, 3), np.float32)
        if self.padded:
            canvas[:] = FILL
        canvas[top : top + height, left : left + width] = images.resize(self.visible(pixels), (height, width))
        return canvas

    def pull_back(self, gradient: np.ndarray) -> np.ndarray:
        """Gradient with respect to the canvas (h, w, 3) -> gradient with respect to the picture, float32 (H, W, 3).

        This is the transpose of `place`. It is exact, except that it ignores the rounding in `place`. The gradient on the
        padding has no effect on the picture. The gradient is zero outside the crop.
        """
        top, left, height, width = self.box
        size = self.size if self.crop is None else self.crop[2:]
        rows, columns = images.resize_matrices(size, (height, width))
        inside = gradient[top : top + height, left : left + width].transpose(1, 0, 2)
        full_width = (columns.T @ inside.reshape(width, -1)).reshape(-1, height, 3).transpose(1, 0, 2)
        return self._fill_crop(np.asarray((rows.T @ full_width.reshape(height, -1)).reshape(*size, 3)))

    def restore(self, grid: np.ndarray) -> np.ndarray:
        """A map (gh, gw) over the whole canvas -> float32 (H, W) over the pixels of the picture, without the padding.

        The map is zero outside the crop.
        """
        if self.padded:
            top, left, height, width = self.box
            grid = resample(grid, self.canvas)[top : top + height, left : left + width]
        return self._fill_crop(resample(grid, self.size if self.crop is None else self.crop[2:]))

    def _fill_crop(self, values: np.ndarray) -> np.ndarray:
        """Values (height, width, ...) over the crop -> values (H, W, ...) over the picture, zero outside the crop."""
        if self.crop is None:
            return values
        whole = np.zeros((*self.size, *values.shape[2:]), values.dtype)
        self.visible(whole)[:] = values
        return whole

    def padding_share(self, grid: np.ndarray) -> float:
        """The share of the positive values of a map (gh, gw) that lies on the padding; 0 without padding."""
        if not self.padded:
            return 0.0
        heat = np.maximum(resample(grid, self.canvas), 0)
        top, left, height, width = self.box
        total = float(heat.sum(dtype=np.float64))
        inside = float(heat[top : top + height, left : left + width].sum(dtype=np.float64))
        return max(0.0, 1 - inside / total) if total > 0 else 0.0


def squashed(size: tuple[int, int], canvas: tuple[int, int]) -> Geometry:
    """The whole picture fills a fixed canvas, whatever its aspect ratio.

    >>> squashed((100, 200), (224, 224)).box
    (0, 0, 224, 224)
    """
    return Geometry(size, canvas, (0, 0, *canvas))


def cropped(size: tuple[int, int], canvas: tuple[int, int]) -> Geometry:
    """The largest centred part of the picture with the aspect ratio of the canvas fills a fixed canvas.

    The part has whole pixels. They are those that `keras.utils.load_img(..., keep_aspect_ratio=True)` keeps.

    >>> cropped((100, 201), (224, 224)).crop
    (0, 50, 100, 100)
    """
    height = max(1, min(size[0], size[1] * canvas[0] // canvas[1]))
    width = max(1, min(size[1], size[0] * canvas[1] // canvas[0]))
    if (height, width) == size:
        return squashed(size, canvas)
    return Geometry(size, canvas, (0, 0, *canvas), ((size[0] - height) // 2, (size[1] - width) // 2, height, width))


def letterboxed(size: tuple[int, int], canvas: tuple[int, int]) -> Geometry:
    """The whole picture on a fixed canvas, in its own aspect ratio, with bars on the rest.

    If the aspect ratios differ by less than STRETCH, the picture fills the canvas and there are no bars.

    >>> letterboxed((100, 200), (224, 224)).box
    (56, 0, 112, 224)
    """
    scale = min(canvas[0] / size[0], canvas[1] / size[1])
    height, width = (max(1, min(round(length * scale), limit)) for length, limit in zip(size, canvas, strict=True))
    if height * STRETCH >= canvas[0] and width * STRETCH >= canvas[1]:
        height, width = canvas
    return Geometry(size, canvas, ((canvas[0] - height) // 2, (canvas[1] - width) // 2, height, width))


FIXED: dict[str, Callable[[tuple[int, int], tuple[int, int]], Geometry]] = {
    "squash": squashed,
    "crop": cropped,
    "letterbox": letterboxed,
}
FITS = (*FIXED, "follow")


def following(size: tuple[int, int], side: int, stride: int) -> Geometry:
    """A canvas that follows the picture: it has about the same aspect ratio.

    Args:
        size: Height and width of the picture (H, W).
        side: The canvas has about side * side pixels.
        stride: The sides of the canvas are whole multiples of this number of pixels.

    Returns:
        The place of the picture on that canvas.
    """
    return letterboxed(size, _canvas(round(math.log(size[1] / size[0]), 3), side, stride))


@cache
def _canvas(log_aspect: float, side: int, stride: int) -> tuple[int, int]:
    """The canvas (h, w) with the least sum of distortion and 0.15 * |log(area / side^2)|.

    `log_aspect`: log(width / height) of the picture. The caller rounds it to 3 digits, so that pictures of nearly the same
    shape share one cached canvas. Distortion is the difference of the logarithms of the aspect ratios. With the weight 0.15,
    half or twice the area counts as much as a stretch by 1.11, which is about STRETCH. Without the area term, a canvas of one
    cell would be as good as any other for a square picture. The aspect ratio of the canvas is at most 3:1. For longer
    pictures, bars cost fewer cells than a longer canvas.
    """
    cells = side / stride
    limited = max(-math.log(3), min(math.log(3), log_aspect))

    def cost(shape: tuple[int, int]) -> tuple[float, tuple[int, int]]:
        distortion = abs(math.log(shape[1] / shape[0]) - limited)
        return distortion + 0.15 * abs(math.log(shape[0] * shape[1] / cells**2)), shape

    span = range(1, math.ceil(2 * cells) + 1)
    height, width = min(((h, w) for h in span for w in span), key=cost)
    return height * stride, width * stride


def resample(grid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a map (gh, gw) to `size` (height, width), float32: linear to enlarge, area means to shrink.

    This uses OpenCV. After a matrix product, the threads of NumPy keep spinning and slow down the next forward pass.
    """
    grid = np.ascontiguousarray(grid, np.float32)
    for height, width in ((size[0], grid.shape[1]), size):  # rows, then columns: one may grow while the other shrinks
        shrinks = height < grid.shape[0] or width < grid.shape[1]
        grid = cv2.resize(grid, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return grid
