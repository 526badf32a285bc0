"""Masks and estimates of the perturbation methods: which cells to hide, and what the scores say about each cell.

Masks Z (N, K) hold 1 where a cell is kept. An estimate turns masks and scores (N,) into a value per cell (K,).
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from core.options import check_masks


def antithetic_masks(count: int, cells: int, keep: float, rng: np.random.Generator) -> np.ndarray:
    """Random masks (count, cells) that keep a share of the cells, in pairs from one draw u and 1 - u.

    The errors of a pair largely cancel, so the estimates have less noise.

    >>> masks = antithetic_masks(2, 4, 0.5, np.random.default_rng(0))
    >>> (masks[0] + masks[1]).tolist()  # with keep = 0.5, a pair is a mask and its complement
    [1.0, 1.0, 1.0, 1.0]
    """
    check_masks(count, cells)
    draws = rng.random(((count + 1) // 2, cells))
    pairs = np.stack([draws < keep, draws > 1 - keep], axis=1)
    return pairs.reshape(-1, cells)[:count].astype(np.float32)


def varied_masks(count: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Random masks (count, cells) in pairs of a mask and its complement. Each pair keeps another share, from 0.05 to 0.95.

    The shares of the first pairs already cover the range: they are multiples of the golden ratio, modulo 1.
    """
    check_masks(count, cells)
    pairs = (count + 1) // 2
    shares = 0.05 + 0.9 * ((0.5 + 0.618034 * np.arange(pairs)) % 1)
    kept = rng.random((pairs, cells)) < shares[:, None]
    return np.stack([kept, ~kept], axis=1).reshape(-1, cells)[:count].astype(np.float32)


def conditional_mean(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """E[score | cell kept] - E[score] (Petsiuk et al. 2018, eq. 6, as a ratio and centred: constant scores give 0)."""
    centred = scores - scores.mean()
    return centred @ masks / np.maximum(masks.sum(0), 1e-9)


def shapley_masks(count: int, cells: int, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Coalitions of cells for the Shapley kernel (Lundberg & Lee 2017).

    Args:
        count: Number of coalitions.
        cells: Number of cells, K. Fewer than two have no coalitions.
        rng: Draws the coalitions.

    Returns:
        Masks (N, K), and whether these are all coalitions, which is so if there are at most `count`. All coalitions need
        `shapley_weights`. Otherwise the kernel has drawn them in complementary pairs, and all weights are 1.
    """
    if cells < 2:
        return np.zeros((0, cells), np.float32), True
    if cells <= 16 and 2**cells - 2 <= count:
        return np.array(list(itertools.product((0, 1), repeat=cells)), np.float32)[1:-1], True
    check_masks(count, cells)
    sizes = np.arange(1, cells)
    kernel = 1 / (sizes * (cells - sizes))
    drawn = rng.choice(sizes, size=max(1, count // 2), p=kernel / kernel.sum())
    half = np.argsort(np.argsort(rng.random((len(drawn), cells)), 1), 1) < drawn[:, None]
    pairs = np.stack([half, ~half], axis=1).reshape(-1, cells)
    return pairs.astype(np.float32), False


def shapley_weights(masks: np.ndarray) -> np.ndarray:
    """The weights (N,) of coalitions (N, K) by the Shapley kernel (Lundberg & Lee 2017, theorem 2)."""
    cells = masks.shape[1]
    return np.array([(cells - 1) / (math.comb(cells, s) * s * (cells - s)) for s in masks.sum(1).astype(int)])


def shapley_values(
    masks: np.ndarray, scores: np.ndarray, weights: np.ndarray, baseline_score: float, picture_score: float
) -> np.ndarray:
    """Shapley values (K,) by weighted least squares. Their sum is picture_score - baseline_score, even for few coalitions.

    Args:
        masks: Coalitions (N, K).
        scores: Their scores (N,).
        weights: Their weights (N,).
        baseline_score: The score with no cell.
        picture_score: The score with all cells.
    """
    cells = masks.shape[1]
    if cells == 1:
        return np.array([picture_score - baseline_score])
    design = (masks[:, :-1] - masks[:, -1:]).astype(np.float64)
    goal = scores - baseline_score - masks[:, -1] * (picture_score - baseline_score)
    root = np.sqrt(weights)
    values = np.linalg.lstsq(design * root[:, None], goal * root, rcond=None)[0]
    return np.append(values, picture_score - baseline_score - values.sum())


def lime_weights(masks: np.ndarray, width: float = 0.25) -> np.ndarray:
    """How close each mask is to the whole picture: exp(-d^2 / width^2), d the cosine distance (Ribeiro et al. 2016)."""
    distance = 1 - np.sqrt(masks.mean(1))
    return np.exp(-((distance / width) ** 2))


def fit_ridge(masks: np.ndarray, scores: np.ndarray, weights: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Fit the scores (N,) by a weighted ridge regression with intercept.

    Args:
        masks: (N, K).
        scores: (N,).
        weights: Weights of the masks (N,).
        penalty: Factor of the squared coefficients, at least 0.

    Returns:
        The coefficients (K,) and the weighted R2, which is 0 for constant scores.
    """
    from sklearn.linear_model import Ridge

    design = masks.astype(np.float64)
    model = Ridge(alpha=penalty).fit(design, scores, sample_weight=weights)
    return model.coef_, float(model.score(design, scores, sample_weight=weights)) if np.ptp(scores) > 0 else 0.0


def fit_prior(
    masks: np.ndarray, scores: np.ndarray, groups: np.ndarray, prior: np.ndarray, penalty: float
) -> tuple[np.ndarray, float]:
    """The posterior mean of a Bayesian ridge regression of the scores whose prior mean is a multiple of `prior`.

    scores = intercept of the group + masks . (slope * prior + deviation). Only the deviation is penalised (Zhao et al. 2021,
    https://arxiv.org/abs/2012.03058; there the prior has a given scale).

    Args:
        masks: (N, K).
        scores: (N,).
        groups: The group of each mask (N,), from 0; each has an intercept of its own.
        prior: (K,). Zeros for an ordinary ridge regression.
        penalty: Factor of the squared deviation, above 0.

    Returns:
        The deviation (K,), and the slope, at least 0.
    """
    free = np.eye(groups.max() + 1)[groups]
    if prior.any():
        free = np.column_stack([free, masks @ (prior / np.abs(prior).max())])
    design = np.column_stack([free, masks]).astype(np.float64)
    fixed, cells = free.shape[1], masks.shape[1]
    normal = design.T @ design + penalty * np.diag(np.arange(fixed + cells) >= fixed)
    solution = np.linalg.lstsq(normal, design.T @ scores, rcond=None)[0]
    if not prior.any():
        return solution[fixed:], 0.0
    slope = float(solution[fixed - 1] / np.abs(prior).max())
    if slope < 0:  # the prior misleads
        return fit_prior(masks, scores, groups, np.zeros(cells), penalty)
    return solution[fixed:], slope


def sobol_masks(rows: int, cells: int, seed: int) -> np.ndarray:
    """Quasi-random masks (rows * (K + 1), K) in [0, 1] for total Sobol indices of K cells.

    For each row of a first design: the row itself, then for each cell the row with that cell taken from a second design.
    """
    from scipy.stats import qmc

    check_masks(rows * (cells + 1), cells)
    points = qmc.Sobol(2 * cells, seed=seed).random_base2(max(1, math.ceil(math.log2(rows))))[:rows]
    first, second = points[:, :cells], points[:, cells:]
    block = np.repeat(first[:, None], cells + 1, 1)
    diagonal = np.arange(cells)
    block[:, diagonal + 1, diagonal] = second[:, diagonal]
    return block.reshape(-1, cells).astype(np.float32)


def total_sobol_indices(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Total Sobol indices (K,): the share of the variance that involves a cell. Jansen's estimator (Fel et al. 2021)."""
    cells = masks.shape[1]
    table = scores.reshape(-1, cells + 1).astype(np.float64)
    variance = float(table.var())
    change = ((table[:, :1] - table[:, 1:]) ** 2).mean(0) / 2
    return change / variance if variance else np.zeros(cells)


def hsic_values(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """HSIC (K,) of each cell's presence and the score, with a Dirac and a Gaussian kernel (Novello et al. 2022)."""
    distance = np.abs(scores[:, None] - scores[None])
    width = float(np.median(distance[distance > 0])) if (distance > 0).any() else 1.0
    kernel = np.exp(-(distance**2) / (2 * width**2))
    kernel -= kernel.mean(0)
    kernel -= kernel.mean(1, keepdims=True)
    # With K = z z' + (1 - z)(1 - z)' and a centred output kernel, both halves of the trace are equal.
    return 2 * np.einsum("nk,nk->k", masks, kernel @ masks) / (len(masks) - 1) ** 2
