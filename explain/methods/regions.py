"""Methods that give whole regions of the picture the attribution of their pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from core.options import NameList, Steps
from explain.methods.gradients import integrated_gradients
from explain.methods.masks import pad_to_canvas, picture_box
from explain.registry import Step, register
from explain.view import View

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# The constants of the paper's authors (github.com/PAIR-code/saliency). They fit a picture with about 224 * 224 pixels.
SCALES = (50, 100, 150, 250, 500, 1200)  # of Felzenszwalb's segmentation: larger scales give larger regions
SEGMENTED_SIDE = 224  # of the picture that is segmented, as a square of the same area
SMOOTHING = 0.8  # standard deviation of the blur before, in pixels
SMALLEST = 150  # pixels of a region
DILATION = 5  # pixels that a region then grows beyond its border, where the attribution of an edge lies
LEAST_NEW = 50  # pixels that a region must add to be used


@register(
    "xrai", title="XRAI", family="gradient", forward_passes=3, backward_passes=64,
    summary="The mean of integrated gradients over regions of similar colour. Shows objects with their outlines.",
    paper="Kapishnikov et al. 2019, XRAI: Better Attributions Through Regions",
    link="https://arxiv.org/abs/1906.02825",
)  # fmt: skip
def xrai(view: View, objective: np.ndarray, *, steps: Steps = 32, baseline: NameList = "black,white") -> Iterator[Step]:
    """The mean of integrated gradients over regions of several sizes, best region first (Kapishnikov et al. 2019).

    Signed, (h, w), constant within the part that a region adds. The map keeps the sum of the integrated gradients. These are
    summed over the channels; the code of the authors takes the largest channel, which does not keep the sum.

    Args:
        steps: Number of Gauss-Legendre nodes of the integral, for each baseline, at least 1.
        baseline: Where the paths begin, see explain.baselines. Several names, separated by commas, give the mean of their maps.
    """
    box = picture_box(view)
    regions = segment(view.canvas[box])
    for step in integrated_gradients(view, objective, steps=steps, baseline=baseline):
        yield replace(step, raw=pad_to_canvas(view, rank_regions(step.raw[box], regions)))


def segment(pixels: np.ndarray) -> csr_array:
    """Regions of similar colour at several scales (Felzenszwalb & Huttenlocher 2004).

    https://doi.org/10.1023/B:VISI.0000022288.19776.77. A large picture is made smaller for it.

    Args:
        pixels: A picture (height, width, 3).

    Returns:
        A sparse table (regions, height * width) of 0 and 1. The regions overlap.
    """
    from scipy.sparse import csr_array
    from skimage.segmentation import felzenszwalb

    height, width = pixels.shape[:2]
    factor = min(1.0, SEGMENTED_SIDE / (height * width) ** 0.5)
    small = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else pixels
    stretched = (small - small.min()) / max(float(np.ptp(small)), 1.0) * 2 - 1  # a range below a grey level is rounding
    distance = np.hypot(*np.ogrid[-DILATION : DILATION + 1, -DILATION : DILATION + 1])
    disk = (distance <= DILATION).astype(np.uint8)
    members = []
    for scale in SCALES:
        labels = felzenszwalb(stretched, scale=scale, sigma=SMOOTHING, min_size=SMALLEST).astype(np.float32)
        labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        masks = (cv2.dilate((labels == label).astype(np.uint8), disk) for label in range(int(labels.max()) + 1))
        members += [np.flatnonzero(mask) for mask in masks]
    ends = np.cumsum([0, *map(len, members)])
    columns = np.concatenate(members)
    return csr_array((np.ones(len(columns)), columns, ends), shape=(len(members), height * width))


def rank_regions(attribution: np.ndarray, regions: csr_array) -> np.ndarray:
    """Add one region after another, always that with the highest mean attribution over the pixels that it adds.

    Args:
        attribution: (height, width), signed.
        regions: (regions, height * width), see `segment`.

    Returns:
        (height, width): for each pixel the mean over the pixels that its region added. Regions that add few pixels are left
        out, and pixels in no region hold their own mean, so the sum is that of the attribution.

    >>> from scipy.sparse import csr_array
    >>> halves = csr_array(np.repeat(np.eye(2), 100, axis=1))
    >>> rank_regions(np.repeat([[3.0, 1.0]], 100).reshape(2, 100), halves)[:, 0].tolist()
    [3.0, 1.0]
    """
    values = attribution.ravel().astype(np.float64)
    by_pixel = regions.tocsc()
    sums, sizes = regions @ values, regions @ np.ones(len(values))
    result, added = np.zeros(len(values)), np.zeros(len(values), bool)
    while (sizes >= LEAST_NEW).any():
        density = np.where(sizes >= LEAST_NEW, sums / np.maximum(sizes, 1), -np.inf)
        best = int(density.argmax())
        pixels = regions.indices[regions.indptr[best] : regions.indptr[best + 1]]
        new = pixels[~added[pixels]]
        result[new], added[new] = values[new].mean(), True
        columns = by_pixel[:, new]
        sums, sizes = sums - columns @ values[new], sizes - columns @ np.ones(len(new))
    if not added.all():
        result[~added] = values[~added].mean()
    return result.reshape(attribution.shape)
