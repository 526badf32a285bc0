"""Extremal perturbation: the mask of a given area that keeps the score highest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from core.errors import UserError
from core.optim import Adam
from core.options import Cells, Name, Share, Steps
from explain.baselines import make_baseline
from explain.methods.masks import Grid, make_grid, pad_to_canvas, picture_box
from explain.registry import Step, register
from explain.view import View

PACE = 0.3  # Adam's step size for the logits of the mask
STEPS_PER_MAP = 5


@register(
    "extremal", title="Extremal perturbation", family="perturbation", forward_passes=3, backward_passes=60,
    summary="Finds the region of a given area that keeps the score highest when the rest is blurred.", requires=("gradient",),
    paper="Fong et al. 2019, Understanding Deep Networks via Extremal Perturbations and Smooth Masks",
    link="https://arxiv.org/abs/1910.08485",
)  # fmt: skip
def extremal(
    view: View, objective: np.ndarray, *, area: Share = 0.2, steps: Steps = 60, cells: Cells = 12, fill: Name = "blur"
) -> Iterator[Step]:
    """Optimise a smooth mask that keeps a share of the picture and the highest score (Fong et al. 2019, eq. 3).

    Gradient ascent by Adam, without randomness. The area constraint of the paper pulls the sorted values of the mask towards
    ones for the share that is kept and zeros for the rest, more strongly in each step. After each step the logits of the
    mask are shifted so that it keeps exactly `area`. The mask is (h, w) in [0, 1], not negative. `view` is the picture,
    `objective` (classes,) the weights of the logits.

    Args:
        area: Share of the picture to keep, between 0 and 1. 0 and 1 raise UserError.
        steps: Number of steps, at least 1, each with one gradient.
        cells: Number of soft cells of the mask along the shorter side of the picture.
        fill: The baseline that replaces the rest, see explain.baselines.
    """
    from scipy.special import expit

    if not 0 < area < 1:
        raise UserError(f"The area to keep must be a share between 0 and 1, such as 0.2; got {area}.")
    grid = make_grid(view, cells, soft=True)
    rows, columns = separable_weights(grid)
    box = picture_box(view)
    baseline = make_baseline(view, fill)
    difference = (view.canvas - baseline)[box]
    score, baseline_score = float(view.logits @ objective), float(view.scores(baseline[None], objective)[0])
    scale = max(abs(score - baseline_score), 1e-3)
    shares = np.outer(rows.mean(1), columns.mean(1)).ravel()  # of the picture's area, per cell
    wanted = (np.arange(grid.count) >= round(grid.count * (1 - area))).astype(np.float64)

    logits = _shift_to_area(area, np.zeros(grid.count), shares)
    adam = Adam(PACE, betas=(0.9, 0.99), epsilon=1e-12)
    canvas = view.canvas.copy()
    for step in range(1, steps + 1):
        mask = expit(logits)
        pixels = rows.T @ mask.reshape(grid.rows, grid.columns) @ columns
        canvas[box] = baseline[box] + difference * pixels[..., None]
        pixel_gradient = (view.gradient(canvas[None], objective)[0][box] * difference).sum(-1)
        cell_gradient = (rows @ pixel_gradient @ columns.T).ravel() / scale
        ranks = np.empty(grid.count, int)
        ranks[np.argsort(mask, kind="stable")] = np.arange(grid.count)
        pull = 2 * (mask - wanted[ranks]) * (20 * step / steps) / grid.count
        logits += adam.step((cell_gradient - pull) * mask * (1 - mask))
        logits = _shift_to_area(area, logits, shares)
        if step % STEPS_PER_MAP == 0 or step == steps:
            notes: tuple[str, ...] = ()
            if step == steps:
                kept = float(view.scores(canvas[None], objective)[0])
                notes = (f"With {pixels.mean():.0%} of the picture the score is {kept:.1f}, with the whole picture "
                         f"{score:.1f}, with none of it {baseline_score:.1f}.",)  # fmt: skip
            yield Step(pad_to_canvas(view, pixels.astype(np.float32)), step / steps, notes)


def _shift_to_area(area: float, logits: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """All logits plus one number, so that the mask keeps that area. By bisection: the area grows with the number."""
    from scipy.special import expit

    low, high = -40 - logits.max(), 40 - logits.min()
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if shares @ expit(logits + middle) < area else (low, middle)
    return logits + low


def separable_weights(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The weight of each row of soft cells at each row of pixels (rows, height), and the same for columns (columns, width).

    For cell values V (rows, columns), rows.T @ V @ columns equals `grid.to_pixels`, and can be differentiated by hand.
    """
    height, width = grid.size
    rows = Grid((height, 1), grid.rows, 1, soft=True).to_pixels(np.eye(grid.rows))[:, :, 0]
    columns = Grid((1, width), 1, grid.columns, soft=True).to_pixels(np.eye(grid.columns))[:, 0, :]
    return rows.astype(np.float64), columns.astype(np.float64)
