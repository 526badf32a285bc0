"""Faithfulness metrics: does the score depend on the pixels that a map marks?

All functions take a `View` (a picture on a classifier's canvas), a map (H, W) in the picture's own pixels, in which higher
means more important, and the index of the class. The map may come from any method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from explain.baselines import make_baseline
from explain.metrics.similarity import spearman
from explain.view import View

STEPS = 28
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)  # shares of the pixels that ROAD removes
OFFSETS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
NEIGHBOURS = {(dy, dx): 1 / 12 if dy and dx else 1 / 6 for dy, dx in OFFSETS}  # and their weights in `impute`


@dataclass(frozen=True)
class Curve:
    """The probability of the class (`scores`) against the share of pixels replaced (`fractions`); both (steps + 1,)."""

    fractions: np.ndarray
    scores: np.ndarray

    @property
    def auc(self) -> float:
        """The area under the curve by the trapezoid rule, in [0, 1]."""
        return float(np.trapezoid(self.scores, self.fractions))


def deletion(view: View, heatmap: np.ndarray, class_index: int, *, fill: str = "mean", steps: int = STEPS) -> Curve:
    """Replace pixels by a baseline, the most important first, and follow the probability of the class.

    Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421. A low area under the curve is good: the first pixels removed
    are then those that the probability depends on.

    >>> from core.images import read
    >>> from models import load
    >>> classifier, pixels = load("mobilenet_v2"), read("samples/photos/cat.jpg").pixels
    >>> view = View(classifier, classifier.geometry(pixels.shape[:2]), pixels)
    >>> curve = deletion(view, np.ones(pixels.shape[:2]), classifier.index("Egyptian cat"), steps=1)
    >>> curve.scores.round(1)
    array([0.7, 0. ], dtype=float32)

    Args:
        view: The picture on the classifier's canvas; every pass is counted there.
        heatmap: (H, W) in the picture's own pixels.
        class_index: The class whose probability is measured.
        fill: A name in `explain.baselines.BASELINES`.
        steps: How many times pixels are replaced; one forward pass each, and one for the whole picture.
    """
    return _curve(view, heatmap, class_index, view.canvas, make_baseline(view, fill), steps)


def insertion(view: View, heatmap: np.ndarray, class_index: int, *, fill: str = "blur", steps: int = STEPS) -> Curve:
    """Insert pixels into a baseline, the most important first, and follow the probability of the class.

    Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421. A high area under the curve is good. Arguments as for `deletion`.
    """
    return _curve(view, heatmap, class_index, make_baseline(view, fill), view.canvas, steps)


def _curve(view: View, heatmap: np.ndarray, class_index: int, start: np.ndarray, end: np.ndarray, steps: int) -> Curve:
    """The probability of the class while pixels of `end` replace those of `start`, most important first."""
    order = pixel_order(view, heatmap)
    counts = np.round(np.linspace(0, len(order), steps + 1)).astype(int)
    batch = replace_pixels(start, end, order, counts)
    return Curve(counts / len(order), class_probabilities(view, batch, class_index))


def replace_pixels(
    start: np.ndarray, end: np.ndarray, order: np.ndarray, counts: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Canvases (len(counts), h, w, 3): `start` with the first pixels of `order`, as many as `counts` says, from `end`."""
    batch = np.repeat(start[None], len(counts), 0)
    flat, goal = batch.reshape(len(counts), -1, 3), end.reshape(-1, 3)
    for index, count in enumerate(counts):
        flat[index, order[:count]] = goal[order[:count]]
    return batch


def pixel_order(view: View, heatmap: np.ndarray) -> np.ndarray:
    """Flat canvas indices of the picture's pixels, most important first; ties from left to right, top to bottom."""
    return order_in_box(view, view.geometry.place_map(heatmap))


def order_in_box(view: View, on_canvas: np.ndarray) -> np.ndarray:
    """As `pixel_order`, for a map (height, width) of the picture's box on the canvas."""
    top, left, height, width = view.geometry.box
    rows, columns = np.unravel_index(np.argsort(-on_canvas, axis=None, kind="stable"), (height, width))
    return (rows + top) * view.canvas.shape[1] + columns + left


def class_probabilities(view: View, batch: np.ndarray, class_index: int) -> np.ndarray:
    """The probability of the class on canvases (N, h, w, 3): (N,)."""
    view.forward_passes += len(batch)
    return view.classifier.probabilities(view.classifier.forward(batch)[1])[:, class_index]


def mu_fidelity(
    view: View, heatmap: np.ndarray, class_index: int, *, grid: int = 9, share: float = 0.2, samples: int = 128,
    fill: str = "mean", seed: int = 0,
) -> float:  # fmt: skip
    """Rank correlation between the heat in random sets of cells and the drop of the logit without these cells.

    Bhatt et al. 2020, https://arxiv.org/abs/2005.00631.

    Args:
        view, heatmap, class_index, fill: As for `deletion`.
        grid: Cells per side.
        share: The share of the cells that each set replaces by the baseline.
        samples: How many sets; one forward pass each.
        seed: Of the random sets.

    Returns:
        A number in [-1, 1], higher is better; 0 if the heat or the drops are constant.
    """
    rng = np.random.default_rng(seed)
    top, left, height, width = view.geometry.box
    cells = grid * grid
    size = max(1, round(share * cells))
    sets = np.argsort(rng.random((samples, cells)), axis=1)[:, :size]
    rows, columns = np.arange(height) * grid // height, np.arange(width) * grid // width
    cell = rows[:, None] * grid + columns
    heat = np.bincount(cell.ravel(), view.geometry.place_map(heatmap).ravel(), cells)
    objective = view.classifier.objective(class_index)
    logit = float(view.logits[class_index])
    baseline = make_baseline(view, fill)[top : top + height, left : left + width]
    drops: list[float] = []
    for start in range(0, samples, 16):
        chunk = sets[start : start + 16]
        batch = np.repeat(view.canvas[None], len(chunk), 0)
        for canvas, chosen in zip(batch, chunk, strict=True):
            hidden = np.isin(cell, chosen)
            canvas[top : top + height, left : left + width][hidden] = baseline[hidden]
        drops.extend(logit - view.scores(batch, objective))
    return spearman(heat[sets].sum(1), np.array(drops))


def road(
    view: View, heatmap: np.ndarray, class_index: int, *, shares: Sequence[float] = SHARES, noise: float = 0.01,
    seed: int = 0,
) -> tuple[Curve, Curve]:  # fmt: skip
    """Remove and debias (ROAD): replace pixels by values computed from their neighbours, and follow the probability.

    Rong et al. 2022, https://arxiv.org/abs/2202.00449. A patch of one colour has a shape, and the shape itself can tell the
    class. A smooth filling (see `impute`) avoids that.

    Args:
        view, heatmap, class_index: As for `deletion`.
        shares: The shares of the picture's pixels to remove, each in (0, 1); two forward passes each.
        noise: Standard deviation of the noise added to the filling, as a share of 255.
        seed: Of the noise.

    Returns:
        Two curves; both start with the whole picture. The first removes the most important pixels first, lower is better.
        The second removes the least important pixels first, higher is better.
    """
    top, left, height, width = view.geometry.box
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, noise * 255, (height, width, 3)).astype(np.float32)
    order = np.argsort(-view.geometry.place_map(heatmap), axis=None, kind="stable")
    batch = [view.canvas]
    for ranking in (order, order[::-1]):
        for share in shares:
            removed = np.zeros((height, width), bool)
            removed.ravel()[ranking[: round(share * removed.size)]] = True
            canvas = view.canvas.copy()
            inside = canvas[top : top + height, left : left + width]
            inside[removed] = np.clip(impute(inside, removed) + grain[removed], 0, 255)
            batch.append(canvas)
    unchanged, *scores = class_probabilities(view, np.stack(batch), class_index)
    fractions = np.array([0, *shares])
    most, least = np.split(np.array(scores), 2)
    return Curve(fractions, np.array([unchanged, *most])), Curve(fractions, np.array([unchanged, *least]))


def impute(pixels: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """Values (n, c) float32 for the removed pixels of a picture (h, w, c): the weighted mean of the neighbours of each.

    `removed`: (h, w) bool, with at least one pixel that is kept. Noisy linear imputation without the noise (Rong et al.
    2022, section 4.2, https://arxiv.org/abs/2202.00449). The weights of the eight neighbours are 1/6 across an edge and 1/12
    across a corner; neighbours beyond the border do not count. Neighbours may be removed themselves, so this is a sparse
    linear system; it is solved exactly.
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
    # The matrix is symmetric and diagonally dominant: without pivoting, the solution takes a third of the time.
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0, options={"SymmetricMode": True})
    return factors.solve(known[removed]).astype(np.float32)


def average_drop(view: View, heatmap: np.ndarray, class_index: int) -> tuple[float, float]:
    """Average drop and increase in confidence, for one picture; the paper averages both over many pictures.

    Chattopadhay et al. 2018, https://arxiv.org/abs/1710.11063. Every pixel is multiplied by its heat, clipped to [0, 1].

    Returns:
        (drop, increase). `drop` in [0, 1]: the share of the probability that is lost, lower is better. `increase`: 1 if the
        probability rose, else 0.
    """
    top, left, height, width = view.geometry.box
    masked = make_baseline(view, "black").copy()
    inside = slice(top, top + height), slice(left, left + width)
    masked[inside] = view.canvas[inside] * np.clip(view.geometry.place_map(heatmap), 0, 1)[..., None]
    before = float(view.classifier.probabilities(view.logits)[class_index])
    after = float(class_probabilities(view, masked[None], class_index)[0])
    return max(0.0, before - after) / before, float(after > before)
