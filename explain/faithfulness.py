"""How far to trust a map: does the score follow what it marks? For any map of the picture's shape, from anyone's method.

All of these look at a `View` (a picture on a classifier's canvas) and take the map in the picture's own pixels, (H, W),
higher meaning more important. `target` is a class index.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from explain.baseline import baseline
from explain.view import View
from models.geometry import resample

STEPS = 28
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the pixels that ROAD removes
NEIGHBOURS = {
    (dy, dx): 1 / 12 if dy and dx else 1 / 6 for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx
}  # fmt: skip
HOTTEST = 0.1  # of the pixels: what two maps should have in common
WINDOW = 7  # of SSIM, in pixels
COMPARED = 224  # the longer side at which maps are compared; more pixels would only repeat what a network can see


@dataclass(frozen=True)
class Curve:
    """Probabilities of the class while a share of the pixels is replaced. `fractions` and `scores` (steps + 1,)."""

    fractions: np.ndarray
    scores: np.ndarray

    @property
    def auc(self) -> float:
        """The area under the curve by the trapezoid rule, in [0, 1]."""
        return float(np.trapezoid(self.scores, self.fractions))


def deletion(view: View, heatmap: np.ndarray, target: int, *, fill: str = "mean", steps: int = STEPS) -> Curve:
    """The class's probability as pixels are replaced by a baseline, the most important first (Petsiuk et al. 2018).

    Lower is better: a faithful map names the pixels that matter first. `fill`: see explain.baseline.
    """
    return _curve(view, heatmap, target, view.canvas, baseline(view, fill), steps)


def insertion(view: View, heatmap: np.ndarray, target: int, *, fill: str = "blur", steps: int = STEPS) -> Curve:
    """The class's probability as pixels are put into a baseline, the most important first (Petsiuk et al. 2018).

    Higher is better.
    """
    return _curve(view, heatmap, target, baseline(view, fill), view.canvas, steps)


def _curve(view: View, heatmap: np.ndarray, target: int, start: np.ndarray, end: np.ndarray, steps: int) -> Curve:
    """The class's probability on the way from one canvas to another, most important pixels first."""
    order = _order(view, heatmap)
    counts = np.round(np.linspace(0, len(order), steps + 1)).astype(int)
    batch = np.repeat(start[None], steps + 1, 0)
    flat, goal = batch.reshape(steps + 1, -1, 3), end.reshape(-1, 3)
    for index, count in enumerate(counts):
        flat[index, order[:count]] = goal[order[:count]]
    return Curve(counts / len(order), probabilities(view, batch, target))


def _order(view: View, heatmap: np.ndarray) -> np.ndarray:
    """Indices of the canvas' pixels inside the picture, most important first; ties in reading order."""
    top, left, height, width = view.geometry.box
    on_canvas = resample(heatmap, (height, width))
    rows, columns = np.unravel_index(np.argsort(-on_canvas, axis=None, kind="stable"), (height, width))
    return (rows + top) * view.canvas.shape[1] + columns + left


def probabilities(view: View, batch: np.ndarray, target: int) -> np.ndarray:
    """The class's probability on canvases (N, h, w, 3): (N,)."""
    view.forward_passes += len(batch)
    return view.classifier.probabilities(view.classifier.forward(batch)[1])[:, target]


def mu_fidelity(
    view: View, heatmap: np.ndarray, target: int, *, grid: int = 9, share: float = 0.2, samples: int = 128,
    fill: str = "mean", seed: int = 0,
) -> float:  # fmt: skip
    """Rank correlation between the heat in random sets of cells and the drop of the logit without them (Bhatt et al. 2020).

    In [-1, 1], higher is better; 0 where the map or the drops are constant. `grid` cells a side, of which `share` is
    replaced by the baseline in each of `samples` sets.
    """
    rng = np.random.default_rng(seed)
    top, left, height, width = view.geometry.box
    cells = grid * grid
    size = max(1, round(share * cells))
    sets = np.argsort(rng.random((samples, cells)), axis=1)[:, :size]
    rows, columns = np.arange(height) * grid // height, np.arange(width) * grid // width
    cell = rows[:, None] * grid + columns
    heat = np.bincount(cell.ravel(), resample(heatmap, (height, width)).ravel(), cells)
    target_weights = np.zeros(len(view.classifier.labels), np.float32)
    target_weights[target] = 1
    whole = float(view.logits[target])
    empty = baseline(view, fill)[top : top + height, left : left + width]
    drops: list[float] = []
    for start in range(0, samples, 16):
        chunk = sets[start : start + 16]
        batch = np.repeat(view.canvas[None], len(chunk), 0)
        for canvas, chosen in zip(batch, chunk, strict=True):
            hidden = np.isin(cell, chosen)
            canvas[top : top + height, left : left + width][hidden] = empty[hidden]
        drops.extend(whole - view.scores(batch, target_weights))
    return spearman(heat[sets].sum(1), np.array(drops))


def road(
    view: View,
    heatmap: np.ndarray,
    target: int,
    *,
    shares: Sequence[float] = SHARES,
    noise: float = 0.01,
    seed: int = 0,
) -> tuple[Curve, Curve]:
    """The class's probability as pixels are replaced by what their neighbours tell: remove and debias (Rong et al. 2022).

    Two curves: the most important pixels first, where lower is better, and the least important first, where higher is. Both
    begin with the whole picture; `shares` in (0, 1) of the picture's pixels are removed. Unlike a patch of one colour, a
    smooth filling (see `impute`) leaves no shape that would itself tell the class. `noise`: standard deviation of what is
    added to it, as a share of 255, drawn by `seed`.
    """
    top, left, height, width = view.geometry.box
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, noise * 255, (height, width, 3)).astype(np.float32)
    order = np.argsort(-resample(heatmap, (height, width)), axis=None, kind="stable")
    batch = [view.canvas]
    for ranking in (order, order[::-1]):
        for share in shares:
            removed = np.zeros(height * width, bool)
            removed[ranking[: round(share * removed.size)]] = True
            gone = removed.reshape(height, width)
            canvas = view.canvas.copy()
            inside = canvas[top : top + height, left : left + width]
            inside[gone] = np.clip(impute(inside, gone) + grain[gone], 0, 255)
            batch.append(canvas)
    whole, *scores = probabilities(view, np.stack(batch), target)
    fractions = np.array([0, *shares])
    most, least = np.split(np.array(scores), 2)
    return Curve(fractions, np.array([whole, *most])), Curve(fractions, np.array([whole, *least]))


def impute(pixels: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """Values for the removed pixels of a picture (h, w, c), (n, c) float32, each the weighted mean of its neighbours.

    `removed` (h, w) of True, not everywhere. Noisy linear imputation without its noise (Rong et al. 2022, section 4.2):
    the eight neighbours weigh 1/6 across an edge and 1/12 across a corner, removed ones included, which is a sparse linear
    system; it is solved exactly. Neighbours beyond the border do not count.
    """
    from scipy import sparse
    from scipy.sparse.linalg import splu

    height, width = removed.shape
    number = np.full(removed.shape, -1)
    number[removed] = np.arange(removed.sum())
    values = pixels.astype(np.float64)
    total = np.zeros(removed.shape)
    known = np.zeros_like(values)
    rows, columns, weights = [], [], []
    for (dy, dx), weight in NEIGHBOURS.items():
        here = np.s_[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
        there = np.s_[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
        total[here] += weight
        known[here] += weight * np.where(removed[there][..., None], 0, values[there])
        both = removed[here] & removed[there]
        rows.append(number[here][both])
        columns.append(number[there][both])
        weights.append(np.full(both.sum(), -weight))
    count = number.max() + 1
    diagonal = np.arange(count)
    entries = np.concatenate([total[removed], *weights])
    matrix = sparse.csc_matrix(
        (entries, (np.concatenate([diagonal, *rows]), np.concatenate([diagonal, *columns]))), (count, count)
    )
    # Symmetric and diagonally dominant: no pivoting, and an ordering that knows it, take a third of the time.
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0, options={"SymmetricMode": True})
    return factors.solve(known[removed]).astype(np.float32)


def average_drop(view: View, heatmap: np.ndarray, target: int) -> tuple[float, float]:
    """What the picture seen through its map loses and gains (Chattopadhay et al. 2018): (drop, increase).

    `drop` in [0, 1]: the share of the class's probability that is lost when every pixel is scaled by its heat in [0, 1];
    lower is better. `increase`: 1 if the probability rose. Averaged over pictures they are the paper's figures.
    """
    top, left, height, width = view.geometry.box
    masked = baseline(view, "black").copy()
    inside = slice(top, top + height), slice(left, left + width)
    masked[inside] = view.canvas[inside] * np.clip(resample(heatmap, (height, width)), 0, 1)[..., None]
    before = float(view.classifier.probabilities(view.logits)[target])
    after = float(probabilities(view, masked[None], target)[0])
    return max(0.0, before - after) / before, float(after > before)


def pointing_game(heatmap: np.ndarray, region: np.ndarray, tolerance: int = 0) -> bool:
    """Whether the map's highest pixel lies in a region (H, W) of True (Zhang et al. 2018), or within `tolerance` pixels."""
    if tolerance:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * tolerance + 1,) * 2)
        region = cv2.dilate(region.astype(np.uint8), kernel) > 0
    return bool(region[np.unravel_index(int(np.argmax(heatmap)), heatmap.shape)])


def energy(heatmap: np.ndarray, region: np.ndarray) -> float:
    """The share of the map's positive heat in a region (H, W) of True (Wang et al. 2020), in [0, 1]; 0 for an empty map."""
    heat = np.maximum(heatmap, 0).astype(np.float64)
    total = float(heat.sum())
    return float(heat[region].sum()) / total if total else 0.0


@dataclass(frozen=True)
class Agreement:
    """How alike two maps are: `spearman` in [-1, 1], `ssim` in [-1, 1] (Wang et al. 2004), `overlap` in [0, 1].

    `overlap`: the share of the hottest tenth of the pixels that both have in common.
    """

    spearman: float
    ssim: float
    overlap: float


def agreement(first: np.ndarray, second: np.ndarray) -> Agreement:
    """How alike two maps (H, W) in [0, 1] of one picture are; both are compared at most at 224 pixels a side."""
    return _alike(_comparable(first), _comparable(second))


def agreements(maps: Mapping[str, np.ndarray]) -> dict[tuple[str, str], Agreement]:
    """`agreement` of every pair of maps, by their names in the order given; (a, b) is there and (b, a) is not."""
    ready = {name: _comparable(heatmap) for name, heatmap in maps.items()}
    return {(a, b): _alike(ready[a], ready[b]) for a, b in itertools.combinations(ready, 2)}


@dataclass(frozen=True)
class _Comparable:
    """A map at the size of comparison, the rank of each of its pixels, and which of them are the hottest."""

    heat: np.ndarray
    ranks: np.ndarray
    hottest: np.ndarray


def _comparable(heatmap: np.ndarray) -> _Comparable:
    scale = min(1.0, COMPARED / max(heatmap.shape))
    height, width = (max(WINDOW, round(side * scale)) for side in heatmap.shape)
    small = resample(heatmap, (height, width))
    return _Comparable(small, ranks(small.ravel()), _hottest(small, HOTTEST))


def _alike(first: _Comparable, second: _Comparable) -> Agreement:
    from skimage.metrics import structural_similarity

    same = np.array_equal(first.ranks, second.ranks)  # two maps without relief have no correlation, and yet agree
    return Agreement(
        spearman=1.0 if same else _correlation(first.ranks, second.ranks),
        ssim=float(structural_similarity(first.heat, second.heat, win_size=WINDOW, data_range=1.0)),
        overlap=float((first.hottest & second.hottest).sum() / first.hottest.sum()),
    )


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Rank correlation of two arrays, in [-1, 1], ties sharing their mean rank; 0 where one is constant."""
    return _correlation(ranks(first.ravel()), ranks(second.ravel()))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale else 0.0


def ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each value (n,), from 0; ties share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + last - 1) / 2)[inverse]


def top_overlap(first: np.ndarray, second: np.ndarray, share: float = HOTTEST) -> float:
    """The share of the hottest `share` of pixels that two maps (H, W) have in common, in [0, 1]."""
    hottest = _hottest(first, share)
    return float((hottest & _hottest(second, share)).sum() / hottest.sum())


def _hottest(heatmap: np.ndarray, share: float) -> np.ndarray:
    """Where the hottest `share` of the pixels are, (H, W) of True; ties in reading order."""
    hottest = np.zeros(heatmap.size, bool)
    hottest[np.argsort(-heatmap, axis=None, kind="stable")[: max(1, round(share * heatmap.size))]] = True
    return hottest.reshape(heatmap.shape)


def regions(boxes: Iterable[tuple[float, float, float, float]], size: tuple[int, int]) -> np.ndarray:
    """Boxes (left, top, right, bottom) in pixels -> the region (H, W) of True that they cover together."""
    region = np.zeros(size, bool)
    for left, top, right, bottom in boxes:
        region[max(0, int(top)) : int(np.ceil(bottom)), max(0, int(left)) : int(np.ceil(right))] = True
    return region
