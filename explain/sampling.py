"""Masks and estimates for the perturbation methods: which cells to hide, and what the scores say about each.

Masks Z (N, K) hold 1 where a cell is kept; an estimate takes them with the scores (N,) and gives a value a cell (K,).
"""

from __future__ import annotations

import itertools
import math

import numpy as np


def antithetic(count: int, cells: int, keep: float, rng: np.random.Generator) -> np.ndarray:
    """Random masks that keep a share of the cells, in pairs from one draw u and 1 - u, which cancels much of the noise."""
    draws = rng.random(((count + 1) // 2, cells))
    pairs = np.stack([draws < keep, draws > 1 - keep], axis=1)
    return pairs.reshape(-1, cells)[:count].astype(np.float32)


def conditional_mean(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """E[score | cell kept] - E[score] (Petsiuk et al. 2018, eq. 6, as a ratio and centred: constant scores give 0)."""
    centred = scores - scores.mean()
    return centred @ masks / np.maximum(masks.sum(0), 1e-9)


def shapley_masks(count: int, cells: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Coalitions (N, K) and their weights (N,) for the Shapley kernel (Lundberg & Lee 2017).

    All of them with the kernel's weights if they are no more than `count`, else drawn by the kernel, in complementary
    pairs, all of weight 1.
    """
    if cells < 2:
        return np.zeros((0, cells), np.float32), np.zeros(0)
    if cells <= 16 and 2**cells - 2 <= count:
        rows = np.array(list(itertools.product((0, 1), repeat=cells)), np.float32)[1:-1]
        sizes = rows.sum(1).astype(int)
        weights = [(cells - 1) / (math.comb(cells, s) * s * (cells - s)) for s in sizes]
        return rows, np.array(weights)
    sizes = np.arange(1, cells)
    kernel = 1 / (sizes * (cells - sizes))
    drawn = rng.choice(sizes, size=max(1, count // 2), p=kernel / kernel.sum())
    half = np.argsort(np.argsort(rng.random((len(drawn), cells)), 1), 1) < drawn[:, None]
    pairs = np.stack([half, ~half], axis=1).reshape(-1, cells)
    return pairs.astype(np.float32), np.ones(len(pairs))


def shapley(masks: np.ndarray, scores: np.ndarray, weights: np.ndarray, empty: float, whole: float) -> np.ndarray:
    """Shapley values (K,) by weighted least squares; they sum to whole - empty exactly, however few the coalitions."""
    cells = masks.shape[1]
    if cells == 1:
        return np.array([whole - empty])
    design = (masks[:, :-1] - masks[:, -1:]).astype(np.float64)
    goal = scores - empty - masks[:, -1] * (whole - empty)
    root = np.sqrt(weights)
    rest = np.linalg.lstsq(design * root[:, None], goal * root, rcond=None)[0]
    return np.append(rest, whole - empty - rest.sum())


def lime_weights(masks: np.ndarray, width: float = 0.25) -> np.ndarray:
    """How near a mask is to the whole picture: exp(-d^2 / width^2) of its cosine distance (Ribeiro et al. 2016)."""
    distance = 1 - np.sqrt(masks.mean(1))
    return np.exp(-((distance / width) ** 2))


def ridge(masks: np.ndarray, scores: np.ndarray, weights: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Coefficients (K,) of a weighted ridge regression with intercept, and its weighted R2."""
    share = weights / weights.sum()
    design, goal = masks - share @ masks, scores - share @ scores
    gram = (design * weights[:, None]).T @ design + penalty * np.eye(masks.shape[1])
    found = np.linalg.solve(gram.astype(np.float64), (design * weights[:, None]).T @ goal)
    spread = float(weights @ goal**2)
    left = float(weights @ (goal - design @ found) ** 2)
    return found, 1 - left / spread if spread else 0.0


def sobol_masks(rows: int, cells: int, seed: int) -> np.ndarray:
    """Quasi-random masks in [0, 1] for total Sobol indices: for each row of a design the row itself and, for each cell,
    the row with that cell taken from a second design. (rows * (K + 1), K).
    """
    from scipy.stats import qmc

    points = qmc.Sobol(2 * cells, seed=seed).random_base2(max(1, math.ceil(math.log2(rows))))[:rows]
    first, second = points[:, :cells], points[:, cells:]
    block = np.repeat(first[:, None], cells + 1, 1)
    diagonal = np.arange(cells)
    block[:, diagonal + 1, diagonal] = second[:, diagonal]
    return block.reshape(-1, cells).astype(np.float32)


def total_sobol(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Total Sobol indices (K,), the share of the variance a cell takes part in, by Jansen's estimator (Fel et al. 2021)."""
    cells = masks.shape[1]
    table = scores.reshape(-1, cells + 1).astype(np.float64)
    variance = float(table.var())
    change = ((table[:, :1] - table[:, 1:]) ** 2).mean(0) / 2
    return change / variance if variance else np.zeros(cells)


def hsic(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """HSIC (K,) of each cell's presence and the score, with a Dirac and a Gaussian kernel (Novello et al. 2022)."""
    distance = np.abs(scores[:, None] - scores[None])
    width = float(np.median(distance[distance > 0])) if (distance > 0).any() else 1.0
    kernel = np.exp(-(distance**2) / (2 * width**2))
    kernel -= kernel.mean(0)
    kernel -= kernel.mean(1, keepdims=True)
    # With K = z z' + (1 - z)(1 - z)' and a centred output kernel, both halves of the trace are equal.
    return 2 * np.einsum("nk,nk->k", masks, kernel @ masks) / (len(masks) - 1) ** 2
