"""The smallest part of a picture that says it all: an optimised mask of given area."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from explain.baseline import baseline
from explain.masks import Grid, grid, to_canvas
from explain.registry import Step, register
from explain.view import View
from models.errors import UserError

PACE = 0.3  # Adam's step on the mask's logits
EVERY = 5


@register(
    "extremal",
    title="Extremal perturbation",
    family="perturbation",
    summary="Searches the part of given size that keeps the score highest when everything else is blurred.",
    forward=3,
    backward=60,
    paper="Fong et al. 2019, Understanding Deep Networks via Extremal Perturbations and Smooth Masks",
)
def extremal(
    view: View, target: np.ndarray, *, area: float = 0.2, steps: int = 60, cells: int = 12, fill: str = "blur"
) -> Iterator[Step]:
    """A smooth mask that keeps a share `area` of the picture and the highest score it can (Fong et al. 2019, eq. 3).

    The mask has `cells` soft cells along the shorter side; its sorted values are pulled towards `area` ones and the rest
    zeros (the paper's area constraint), more strongly in each of the `steps`, and shifted so that just `area` is kept. What
    is not kept is replaced by the baseline `fill`. Gradient ascent by Adam, no randomness. (h, w) in [0, 1], not negative.
    Raises UserError unless 0 < area < 1.
    """
    if not 0 < area < 1:
        raise UserError(f"The area kept is a share between 0 and 1, such as 0.2; got {area}.")
    parts = grid(view, cells, soft=True)
    rows, columns = _spread(parts)
    top, left, height, width = view.geometry.box
    inside = slice(top, top + height), slice(left, left + width)
    empty = baseline(view, fill)
    shown = (view.canvas - empty)[inside]
    nothing = float(view.scores(empty[None], target)[0])
    scale = max(abs(float(view.logits @ target) - nothing), 1e-3)
    share = np.outer(rows.mean(1), columns.mean(1)).ravel()  # of the picture that each cell paints
    wanted = (np.arange(parts.count) >= round(parts.count * (1 - area))).astype(np.float64)

    logits = _keeping(area, np.zeros(parts.count), share)
    mean, square = np.zeros_like(logits), np.zeros_like(logits)
    canvas = view.canvas.copy()
    for step in range(1, steps + 1):
        mask = _sigmoid(logits)
        painted = rows.T @ mask.reshape(parts.rows, parts.columns) @ columns
        canvas[inside] = empty[inside] + shown * painted[..., None]
        by_pixel = (view.gradient(canvas[None], target)[0][inside] * shown).sum(-1)
        score = (rows @ by_pixel @ columns.T).ravel() / scale
        order = np.empty(parts.count, int)
        order[np.argsort(mask, kind="stable")] = np.arange(parts.count)
        pull = 2 * (mask - wanted[order]) * (20 * step / steps) / parts.count
        ascent = (score - pull) * mask * (1 - mask)
        mean, square = 0.9 * mean + 0.1 * ascent, 0.99 * square + 0.01 * ascent**2
        logits += PACE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-12)
        logits = _keeping(area, logits, share)
        if step % EVERY == 0 or step == steps:
            words: tuple[str, ...] = ()
            if step == steps:
                kept = float(view.scores(canvas[None], target)[0])
                words = (f"With {painted.mean():.0%} of the picture kept the score is {kept:.1f}, with all of it "
                         f"{float(view.logits @ target):.1f}, with none {nothing:.1f}.",)  # fmt: skip
            yield Step(to_canvas(view, painted.astype(np.float32)), step / steps, words)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def _keeping(area: float, logits: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The logits, all shifted alike so that the mask keeps that area; bisection, as what is kept grows with the shift."""
    low, high = -40 - logits.max(), 40 - logits.min()
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if share @ _sigmoid(logits + middle) < area else (low, middle)
    return logits + low


def _spread(parts: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The separable weights of a soft grid's cells at every row (rows, height) and column (columns, width) of pixels."""
    height, width = parts.size
    rows = Grid((height, 1), parts.rows, 1, soft=True).paint(np.eye(parts.rows))[:, :, 0]
    columns = Grid((1, width), 1, parts.columns, soft=True).paint(np.eye(parts.columns))[:, 0, :]
    return rows.astype(np.float64), columns.astype(np.float64)
