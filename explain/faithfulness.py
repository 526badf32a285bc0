"""How far to trust a map: does the score follow what it marks? For any map of the picture's shape, from anyone's method.

All of these look at a `View` (a picture on a classifier's canvas) and take the map in the picture's own pixels, (H, W),
higher meaning more important. `target` is a class index.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from explain.baseline import baseline
from explain.view import View
from models.geometry import resample

STEPS = 28


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


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Rank correlation of two arrays, in [-1, 1], ties sharing their mean rank; 0 where one is constant."""
    a, b = (rank - rank.mean() for rank in (ranks(first.ravel()), ranks(second.ravel())))
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale else 0.0


def ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each value (n,), from 0; ties share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + last - 1) / 2)[inverse]


def top_overlap(first: np.ndarray, second: np.ndarray, share: float = 0.1) -> float:
    """The share of the hottest `share` of pixels that two maps (H, W) have in common, in [0, 1]."""
    count = max(1, round(share * first.size))
    hottest = [set(np.argsort(-values, axis=None, kind="stable")[:count].tolist()) for values in (first, second)]
    return len(hottest[0] & hottest[1]) / count


def regions(boxes: Iterable[tuple[float, float, float, float]], size: tuple[int, int]) -> np.ndarray:
    """Boxes (left, top, right, bottom) in pixels -> the region (H, W) of True that they cover together."""
    region = np.zeros(size, bool)
    for left, top, right, bottom in boxes:
        region[max(0, int(top)) : int(np.ceil(bottom)), max(0, int(left)) : int(np.ceil(right))] = True
    return region
