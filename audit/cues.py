"""Cues that a classifier may use in place of the subject, and how to exchange each cue between two pictures.

The audit makes counterfactual exchanges with a control. It gives a picture the cue of a picture of *another* class. As the
control, it gives the same picture the cue of another picture of *its own* class. Both exchanges damage the picture equally.
They change the answer differently only as far as the answer depends on the cue. So the effect is causal, and it needs no
heatmap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from audit import regions
from core.images import resize, shrink

STATISTICS = (
    "lightness", "contrast", "red-green", "yellow-blue", "spread of red-green", "spread of yellow-blue", "sharpness",
    "blockiness", "log height", "log aspect",
)  # fmt: skip
JPEG_QUALITIES = range(5, 46)  # a higher quality leaves no trace that matters
NO_TRACE = 100  # the quality of a picture that shows no trace of JPEG compression


@dataclass(frozen=True)
class Decomposed:
    """A picture and the parts that can be exchanged.

    `pixels`: uint8 RGB (H, W, 3). `subject`, `text`: bool (H, W). `quality`: the JPEG quality that the picture shows.
    `subject_given`: whether a mask of the subject was given; if not, the middle of the picture stands for it.
    """

    pixels: np.ndarray
    subject: np.ndarray
    text: np.ndarray
    quality: int
    subject_given: bool

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[:2]


def decompose(pixels: np.ndarray, subject: np.ndarray | None) -> Decomposed:
    """Find the parts of a picture that can be exchanged."""
    mask = regions.centre_mask(pixels.shape[:2]) if subject is None else subject
    return Decomposed(pixels, mask, regions.find_text(pixels), jpeg_quality(pixels), subject is not None)


def resize_decomposed(picture: Decomposed, size: tuple[int, int]) -> Decomposed:
    """The same picture and masks at another size (height, width)."""
    if picture.size == size:
        return picture
    subject, text = (
        cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0
        for mask in (picture.subject, picture.text)
    )
    return replace(picture, pixels=resize(picture.pixels, size), subject=subject, text=text)


def measure_statistics(pixels: np.ndarray) -> np.ndarray:
    """Global statistics of a picture, float32 (10,), named by STATISTICS. They say nothing about its content."""
    lab = cv2.cvtColor(shrink(pixels, 320), cv2.COLOR_RGB2LAB)
    means, deviations = (values.ravel() for values in cv2.meanStdDev(lab.reshape(-1, 1, 3)))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    height, width = pixels.shape[:2]
    colour = (means[0], deviations[0], *means[1:], *deviations[1:])
    detail = (np.log1p(cv2.Laplacian(grey, cv2.CV_32F).var()), _blockiness(grey))
    return np.array([*colour, *detail, np.log(height), np.log(width / height)], np.float32)


def _blockiness(grey: np.ndarray) -> float:
    """How much larger the steps are on JPEG's grid of 8 pixels than elsewhere; 1 without a trace."""
    steps = np.abs(np.diff(grey.astype(np.int16), axis=1)).mean(0)
    if steps.size < 16:
        return 1.0
    elsewhere = np.delete(steps, np.s_[7::8])
    return float(steps[7::8].mean() / max(float(elsewhere.mean()), 1e-3))


def jpeg_quality(pixels: np.ndarray) -> int:
    """The JPEG quality that a picture shows, or 100 where it shows none.

    A picture changes little when it is saved again at its former quality, and more at the qualities around it (Farid 2009,
    Exposing digital forgeries from JPEG ghosts, https://doi.org/10.1109/TIFS.2008.2012215). This works as long as the pixels
    keep their grid of 8. Resizing removes the trace.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    top, left = ((side - min(side, 192)) // 16 * 8 for side in grey.shape)
    crop = np.ascontiguousarray(grey[top : top + 192, left : left + 192])
    if _blockiness(crop) < 1.1:
        return NO_TRACE
    previous = np.inf
    for quality in JPEG_QUALITIES:
        encoded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        again = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.float32)
        change = float(((again - crop) ** 2).mean())
        if change < 0.25 * previous < np.inf:
            return quality
        previous = change
    return NO_TRACE


# --- The exchanges: a picture and a donor of its size -> the picture with the donor's cue ----------------------


def exchange_background(picture: Decomposed, donor: Decomposed) -> np.ndarray:
    """The donor's background around the subject. Border, corners, text and lightness stay."""
    keep = picture.subject | regions.border_mask(picture.size) | regions.corners_mask(picture.size) | picture.text
    background = _match_statistics(remove_subject(donor), picture.pixels, axes=(0,), mask=~keep)
    return blend(background, picture.pixels, keep)


def exchange_border(picture: Decomposed, donor: Decomposed) -> np.ndarray:
    """The donor's border."""
    return np.where(regions.border_mask(picture.size)[..., None], donor.pixels, picture.pixels)


def exchange_corners(picture: Decomposed, donor: Decomposed) -> np.ndarray:
    """The donor's corners."""
    return np.where(regions.corners_mask(picture.size)[..., None], donor.pixels, picture.pixels)


def exchange_text(picture: Decomposed, donor: Decomposed) -> np.ndarray:
    """The donor's text. The picture's own text is first filled with the colours around it."""
    pixels = picture.pixels
    if picture.text.any():
        pixels = blend(_fill_from_around(pixels, picture.text), pixels, ~picture.text)
    return np.where(donor.text[..., None], donor.pixels, pixels)


def exchange_brightness(picture: Decomposed, donor: Decomposed) -> np.ndarray:
    """The donor's lightness: its mean and standard deviation.

    Reinhard et al. 2001, Color transfer between images, https://doi.org/10.1109/38.946629.
    """
    return _match_statistics(picture.pixels, donor.pixels, axes=(0,))


def exchange_colour(picture: Decomposed, donor: Decomposed) -> np.ndarray:
    """The donor's colour cast: the means and standard deviations of the two colour axes."""
    return _match_statistics(picture.pixels, donor.pixels, axes=(1, 2))


def exchange_compression(picture: Decomposed, donor: Decomposed) -> np.ndarray:
    """Saved at the donor's JPEG quality where that is lower. A higher quality cannot be restored."""
    if donor.quality >= picture.quality:
        return picture.pixels
    encoded = cv2.imencode(".jpg", picture.pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, donor.quality])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1])


def exchange_sharpness(picture: Decomposed, donor: Decomposed) -> np.ndarray:
    """The donor's amount of fine detail. Detail is what a slight blur removes; it is scaled to the donor's mean."""
    radius = max(0.8, 0.006 * max(picture.pixels.shape))
    blurred = cv2.GaussianBlur(picture.pixels, (0, 0), radius)
    detail = float(cv2.absdiff(picture.pixels, blurred).mean())
    donor_detail = float(cv2.absdiff(donor.pixels, cv2.GaussianBlur(donor.pixels, (0, 0), radius)).mean())
    ratio = min(3.0, donor_detail / max(detail, 0.1))
    return cv2.addWeighted(picture.pixels, ratio, blurred, 1 - ratio, 0)


EXCHANGES: dict[str, Callable[[Decomposed, Decomposed], np.ndarray]] = {
    "background": exchange_background,
    "border": exchange_border,
    "corners": exchange_corners,
    "text": exchange_text,
    "brightness": exchange_brightness,
    "colour": exchange_colour,
    "sharpness": exchange_sharpness,
    "compression": exchange_compression,
}
KINDS = tuple(EXCHANGES)
"""The kinds of cue, in the order of every table."""


def blend(under: np.ndarray, over: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`over` where the mask (H, W) is True and `under` elsewhere, with a soft edge of two pixels."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.2)[..., None]
    return np.rint(under + (over.astype(np.float32) - under) * soft).astype(np.uint8)


def remove_subject(picture: Decomposed) -> np.ndarray:
    """The picture with its subject covered by the pixels half a picture to the side; unchanged where no mask was given."""
    if not picture.subject_given or not picture.subject.any():
        return picture.pixels
    rows, columns = (np.flatnonzero(picture.subject.any(axis)) for axis in (1, 0))
    hole = np.zeros(picture.size, np.float32)
    hole[max(0, rows[0] - 4) : rows[-1] + 5, max(0, columns[0] - 4) : columns[-1] + 5] = 1
    soft = np.minimum(1, cv2.GaussianBlur(hole, (0, 0), 4)[..., None] * 2)
    aside = np.roll(picture.pixels, picture.size[1] // 2, axis=1)
    return np.rint(picture.pixels + (aside.astype(np.float32) - picture.pixels) * soft).astype(np.uint8)


def _fill_from_around(pixels: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Pixels in which a hole (H, W) has the colours around it: a blur that counts only the pixels outside the hole."""
    outside = (~hole).astype(np.float32)
    radius = max(2.0, 0.06 * min(hole.shape))
    weight = cv2.GaussianBlur(outside, (0, 0), radius)
    total = cv2.GaussianBlur(pixels * outside[..., None], (0, 0), radius)
    return np.clip(total / np.maximum(weight, 1e-3)[..., None], 0, 255).astype(np.uint8)


def _match_statistics(
    pixels: np.ndarray, model: np.ndarray, axes: tuple[int, ...], mask: np.ndarray | None = None
) -> np.ndarray:
    """Pixels whose CIELAB `axes` have the mean and standard deviation of `model`, both measured within the mask (H, W)."""
    counted = None if mask is None or not mask.any() else mask.astype(np.uint8)
    lab, model_lab = (cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB) for image in (pixels, model))
    mean, deviation = (values.ravel() for values in cv2.meanStdDev(lab, mask=counted))
    model_mean, model_deviation = (values.ravel() for values in cv2.meanStdDev(model_lab, mask=counted))
    table = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    for axis in axes:
        scale = min(3.0, model_deviation[axis] / max(deviation[axis], 1.0))
        table[:, axis] = np.clip((np.arange(256) - mean[axis]) * scale + model_mean[axis], 0, 255)
    return cv2.cvtColor(cv2.LUT(lab, table[None]), cv2.COLOR_LAB2RGB)
