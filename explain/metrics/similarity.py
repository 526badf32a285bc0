"""Similarity of two maps: rank correlation, SSIM, overlap of the hottest pixels."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.geometry import resample

HOTTEST = 0.1  # the share of the pixels whose overlap is measured
WINDOW = 7  # side of the window of SSIM, in pixels
COMPARED = 224  # maps are compared at this longer side: the canvas of most networks has no more pixels


@dataclass(frozen=True)
class Agreement:
    """How similar two maps are; 1 for equal maps.

    `spearman`: rank correlation in [-1, 1]. `ssim`: structural similarity in [-1, 1] (Wang et al. 2004,
    https://doi.org/10.1109/TIP.2003.819861). `overlap`: the share of the hottest tenth of the pixels that both maps have in
    common, in [0, 1].
    """

    spearman: float
    ssim: float
    overlap: float


def agreement(first: np.ndarray, second: np.ndarray) -> Agreement:
    """How similar two maps (H, W) in [0, 1] of one picture are; larger maps are first reduced to a side of 224 pixels."""
    return _compare(_prepare(first), _prepare(second))


def agreements(maps: Mapping[str, np.ndarray]) -> dict[tuple[str, str], Agreement]:
    """`agreement` of every pair of maps, by their names. Pairs follow the order of `maps`: (a, b) but not (b, a)."""
    prepared = {name: _prepare(heatmap) for name, heatmap in maps.items()}
    return {(a, b): _compare(prepared[a], prepared[b]) for a, b in itertools.combinations(prepared, 2)}


@dataclass(frozen=True)
class _Prepared:
    """A map at the size of comparison, the rank of each pixel, and the mask of the hottest pixels."""

    heat: np.ndarray
    ranks: np.ndarray
    hottest: np.ndarray


def _prepare(heatmap: np.ndarray) -> _Prepared:
    scale = min(1.0, COMPARED / max(heatmap.shape))
    height, width = (max(WINDOW, round(side * scale)) for side in heatmap.shape)
    small = resample(heatmap, (height, width))
    return _Prepared(small, ranks(small.ravel()), _hottest(small, HOTTEST))


def _compare(first: _Prepared, second: _Prepared) -> Agreement:
    from skimage.metrics import structural_similarity

    same = np.array_equal(first.ranks, second.ranks)  # two constant maps have no correlation, but they agree
    return Agreement(
        spearman=1.0 if same else correlation(first.ranks, second.ranks),
        ssim=float(structural_similarity(first.heat, second.heat, win_size=WINDOW, data_range=1.0)),
        overlap=float((first.hottest & second.hottest).sum() / first.hottest.sum()),
    )


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two arrays, in [-1, 1]; ties share their mean rank; 0 if one array is constant.

    `scipy.stats.spearmanr` gives NaN and a warning for constant arrays, and ranks both arrays anew for every pair.
    """
    return correlation(ranks(first.ravel()), ranks(second.ravel()))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation of two arrays (n,), in [-1, 1]; 0 if one is constant. Of ranks, it is Spearman's."""
    a, b = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale else 0.0


def ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each value (n,), from 0; ties share their mean rank."""
    from scipy.stats import rankdata  # half a second, which a command without metrics need not wait for

    return rankdata(values) - 1


def top_overlap(first: np.ndarray, second: np.ndarray, share: float = HOTTEST) -> float:
    """The overlap of the hottest pixels of two maps (H, W), in [0, 1]; `share` of the pixels count as hottest."""
    hottest = _hottest(first, share)
    return float((hottest & _hottest(second, share)).sum() / hottest.sum())


def _hottest(heatmap: np.ndarray, share: float) -> np.ndarray:
    """A mask (H, W) of the hottest `share` of the pixels; ties from left to right, top to bottom."""
    hottest = np.zeros(heatmap.size, bool)
    hottest[np.argsort(-heatmap, axis=None, kind="stable")[: max(1, round(share * heatmap.size))]] = True
    return hottest.reshape(heatmap.shape)
