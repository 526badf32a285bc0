"""Cues that a classifier may take for the subject, and how to exchange each between two pictures.

The audit rests on exchanges with a control. A picture is given a cue of a picture of *another* class, and the same cue of
another picture of *its own*. Both do the same violence to the picture; what they do to the answer differs only as far as
the answer hangs on the cue. Measured so, the cue's part in the answer is causal and needs no heatmap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from explain.audit import regions
from models.picture import resize

STATISTICS = (
    "lightness", "contrast", "red-green", "yellow-blue", "spread of red-green", "spread of yellow-blue", "sharpness",
    "blockiness", "log height", "log aspect",
)  # fmt: skip
_QUALITIES = range(5, 46)  # better ones leave no trace that matters
_UNSEEN = 100  # the JPEG quality of a picture that shows no trace of it


@dataclass(frozen=True)
class Part:
    """A picture taken apart: `pixels` uint8 RGB (H, W, 3); `subject` and `text` bool (H, W); `quality`: of its JPEG.

    `given`: whether somebody said where the subject is; else it is looked for in the middle.
    """

    pixels: np.ndarray
    subject: np.ndarray
    text: np.ndarray
    quality: int
    given: bool


def take_apart(pixels: np.ndarray, subject: np.ndarray | None) -> Part:
    """Find what can be exchanged in a picture."""
    region = regions.centre(pixels.shape[:2]) if subject is None else subject
    return Part(pixels, region, regions.text(pixels), quality(pixels), subject is not None)


def fitted(part: Part, size: tuple[int, int]) -> Part:
    """The same at another size (H, W)."""
    if part.pixels.shape[:2] == size:
        return part
    subject, text = (
        cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0
        for mask in (part.subject, part.text)
    )
    return replace(part, pixels=resize(part.pixels, size), subject=subject, text=text)


def statistics(pixels: np.ndarray) -> np.ndarray:
    """What can be said of a picture without looking at anything in it: STATISTICS, float32."""
    small = pixels if max(pixels.shape) <= 320 else resize(pixels, _at_most(pixels.shape[:2], 320))
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    means, spreads = (part.ravel() for part in cv2.meanStdDev(lab.reshape(-1, 1, 3)))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    sharp = np.log1p(cv2.Laplacian(grey, cv2.CV_32F).var())
    height, width = pixels.shape[:2]
    return np.array(
        [
            means[0],
            spreads[0],
            *means[1:],
            *spreads[1:],
            sharp,
            _blockiness(grey),
            np.log(height),
            np.log(width / height),
        ],
        np.float32,
    )


def _at_most(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _blockiness(grey: np.ndarray) -> float:
    """How much larger steps are on JPEG's grid of 8 than beside it; 1 without a trace."""
    steps = np.abs(np.diff(grey.astype(np.int16), axis=1)).mean(0)
    if steps.size < 16:
        return 1.0
    beside = np.delete(steps, np.s_[7::8])
    return float(steps[7::8].mean() / max(float(beside.mean()), 1e-3))


def quality(pixels: np.ndarray) -> int:
    """The JPEG quality that a picture shows, or 100 where it shows none.

    Saved again at the quality it was once saved at, a picture changes less than at those around it (Farid 2009, Exposing
    digital forgeries from JPEG ghosts). Found in pixels that have kept their grid; after resizing there is no trace.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    top, left = ((side - min(side, 192)) // 16 * 8 for side in grey.shape)
    crop = np.ascontiguousarray(grey[top : top + 192, left : left + 192])
    if _blockiness(crop) < 1.1:
        return _UNSEEN
    before = np.inf
    for level in _QUALITIES:
        encoded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, level])[1]
        again = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.float32)
        change = float(((again - crop) ** 2).mean())
        if change < 0.25 * before < np.inf:
            return level
        before = change
    return _UNSEEN


# --- The exchanges: a picture and a donor of its size -> the picture with the donor's cue ----------------------


def background(part: Part, donor: Part) -> np.ndarray:
    """The donor's surroundings around this subject; border, corners and writing stay, and so does the lightness."""
    size = part.pixels.shape[:2]
    keep = part.subject | _border(size) | _corners(size) | part.text
    ground = without_subject(donor)
    ground = _moved(ground, ~keep, part.pixels, ~keep, (0,))
    return mixed(ground, part.pixels, keep)


def border(part: Part, donor: Part) -> np.ndarray:
    """The donor's border."""
    return np.where(_border(part.pixels.shape[:2])[..., None], donor.pixels, part.pixels)


def corners(part: Part, donor: Part) -> np.ndarray:
    """The donor's corners."""
    return np.where(_corners(part.pixels.shape[:2])[..., None], donor.pixels, part.pixels)


def text(part: Part, donor: Part) -> np.ndarray:
    """The donor's writing in place of this picture's, which is painted over from its edges."""
    pixels = part.pixels
    if part.text.any():
        pixels = mixed(_around(pixels, part.text), pixels, ~part.text)
    return np.where(donor.text[..., None], donor.pixels, pixels)


def brightness(part: Part, donor: Part) -> np.ndarray:
    """The donor's mean and spread of lightness (Reinhard et al. 2001, Color transfer between images)."""
    return _moved(part.pixels, None, donor.pixels, None, (0,))


def colour(part: Part, donor: Part) -> np.ndarray:
    """The donor's colour cast: the means and spreads of the two colour axes."""
    return _moved(part.pixels, None, donor.pixels, None, (1, 2))


def compression(part: Part, donor: Part) -> np.ndarray:
    """Saved at the donor's JPEG quality where that is lower; what is lost cannot be given back."""
    if donor.quality >= part.quality:
        return part.pixels
    encoded = cv2.imencode(".jpg", part.pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, donor.quality])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1])


def sharpness(part: Part, donor: Part) -> np.ndarray:
    """As much fine detail as the donor has: what a blur of a hundredth of the picture takes away, scaled."""
    radius = max(0.8, 0.006 * max(part.pixels.shape))
    soft, its = (cv2.GaussianBlur(pixels, (0, 0), radius) for pixels in (part.pixels, donor.pixels))
    mine, theirs = (
        float(cv2.absdiff(sharp, blurred).mean()) for sharp, blurred in ((part.pixels, soft), (donor.pixels, its))
    )
    ratio = min(3.0, theirs / max(mine, 0.1))
    return cv2.addWeighted(part.pixels, ratio, soft, 1 - ratio, 0)


EXCHANGES: dict[str, Callable[[Part, Part], np.ndarray]] = {
    "background": background,
    "border": border,
    "corners": corners,
    "text": text,
    "brightness": brightness,
    "colour": colour,
    "sharpness": sharpness,
    "compression": compression,
}
KINDS = tuple(EXCHANGES)

_border, _corners = cache(regions.border), cache(regions.corners)


def mixed(under: np.ndarray, over: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`over` where the mask (H, W) is True and `under` elsewhere, with a soft edge of two pixels."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.2)[..., None]
    return np.rint(under + (over.astype(np.float32) - under) * soft).astype(np.uint8)


def without_subject(part: Part) -> np.ndarray:
    """A picture whose subject is covered by what lies half a picture beside it; as it is where the subject was not given."""
    if not part.given or not part.subject.any():
        return part.pixels
    rows, columns = (np.flatnonzero(part.subject.any(axis)) for axis in (1, 0))
    hole = np.zeros(part.subject.shape, np.float32)
    hole[max(0, rows[0] - 4) : rows[-1] + 5, max(0, columns[0] - 4) : columns[-1] + 5] = 1
    soft = cv2.GaussianBlur(hole, (0, 0), 4)[..., None]
    beside = np.roll(part.pixels, part.pixels.shape[1] // 2, axis=1)
    return np.rint(part.pixels + (beside.astype(np.float32) - part.pixels) * np.minimum(1, soft * 2)).astype(np.uint8)


def _around(pixels: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The colours around a hole spread over it: a blur that counts only what is outside."""
    outside = (~hole).astype(np.float32)
    radius = max(2.0, 0.06 * min(hole.shape))
    weight = cv2.GaussianBlur(outside, (0, 0), radius)
    spread = cv2.GaussianBlur(pixels * outside[..., None], (0, 0), radius)
    return np.clip(spread / np.maximum(weight, 1e-3)[..., None], 0, 255).astype(np.uint8)


def _moved(
    pixels: np.ndarray, where: np.ndarray | None, model: np.ndarray, there: np.ndarray | None, axes: tuple[int, ...]
) -> np.ndarray:
    """Pixels whose Lab `axes` have, within a mask, the mean and spread that those of `model` have within another."""
    lab, other = (cv2.cvtColor(np.ascontiguousarray(each), cv2.COLOR_RGB2LAB) for each in (pixels, model))
    mean, spread = (part.ravel() for part in cv2.meanStdDev(lab, mask=_bytes(where)))
    target, wide = (part.ravel() for part in cv2.meanStdDev(other, mask=_bytes(there)))
    table = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    for axis in axes:
        scale = min(3.0, wide[axis] / max(spread[axis], 1.0))
        table[:, axis] = np.clip((np.arange(256) - mean[axis]) * scale + target[axis], 0, 255)
    return cv2.cvtColor(cv2.LUT(lab, table[None]), cv2.COLOR_LAB2RGB)


def _bytes(mask: np.ndarray | None) -> np.ndarray | None:
    return None if mask is None or not mask.any() else mask.astype(np.uint8)
