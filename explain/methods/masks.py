"""The loop that all methods with random masks share: cells, masks over the cells, scores, an estimate.

A sampler makes masks Z (N, K) over K cells, 1 where a cell is kept. `stream_maps` scores them batch by batch and turns the
scores so far into a map. Samplers and estimators know nothing about networks, so each can be tested alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from explain.registry import Step
from explain.view import View
from models.engine import BATCH

MASKS_PER_STEP = 64  # about this many masks between two maps


@dataclass(frozen=True)
class Grid:
    """A picture of `size` (height, width) on the canvas, cut into rows x columns cells.

    `soft`: cell values are interpolated linearly between the cells. Otherwise cells have hard borders.
    """

    size: tuple[int, int]
    rows: int
    columns: int
    soft: bool

    @property
    def count(self) -> int:
        """The number of cells, K."""
        return self.rows * self.columns

    def to_pixels(self, values: np.ndarray) -> np.ndarray:
        """Values (n, K) of the cells as values of the pixels (n, height, width), float32.

        >>> Grid((2, 4), 1, 2, soft=False).to_pixels(np.array([[5, 7]])).tolist()
        [[[5.0, 5.0, 7.0, 7.0], [5.0, 5.0, 7.0, 7.0]]]
        """
        interpolation = cv2.INTER_LINEAR if self.soft else cv2.INTER_NEAREST_EXACT
        grids = np.ascontiguousarray(values, np.float32).reshape(-1, self.rows, self.columns)
        return np.stack([cv2.resize(grid, self.size[::-1], interpolation=interpolation) for grid in grids])


@dataclass(frozen=True)
class Segments:
    """A picture on the canvas, cut into segments of any shape: `labels` (height, width) from 0 to K - 1.

    `detail`: a map (height, width) that varies within the segments; see `to_pixels`.
    """

    labels: np.ndarray
    detail: np.ndarray | None = None

    @property
    def count(self) -> int:
        """The number of segments, K."""
        return int(self.labels.max()) + 1

    def to_pixels(self, values: np.ndarray) -> np.ndarray:
        """Values (n, K) of the segments as values of the pixels (n, height, width), float32.

        With one value more, that many times the detail is added.
        """
        values = values.astype(np.float32)
        pixels = values[:, self.labels]
        if self.detail is not None and values.shape[1] > self.count:
            pixels = pixels + values[:, -1:, None] * self.detail
        return pixels


Cells = Grid | Segments
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (canvases (N, h, w, 3), objective) -> scores (N,)
Estimate = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (masks (N, K), scores (N,)) -> values of the cells (K,)


def make_grid(view: View, count: int, soft: bool) -> Grid:
    """A grid of nearly square cells, `count` of them along the shorter side of the picture.

    A picture of more than twice the length gets larger cells, at most 2 * count^2 of them, because the passes of some methods
    grow with the number of cells.
    """
    _, _, height, width = view.geometry.box
    short, most = min(height, width), 2 * count**2
    share = count / short * min(1, math.sqrt(most * short**2 / (count**2 * height * width)))
    rows, columns = max(1, round(share * height)), max(1, round(share * width))
    return Grid((height, width), min(rows, most // columns or 1), min(columns, most // min(rows, columns)), soft)


def follow_side(view: View) -> float:
    """The side of a square with the area of the picture on its canvas, in pixels."""
    return math.sqrt(view.geometry.box[2] * view.geometry.box[3])


def picture_box(view: View) -> tuple[slice, slice]:
    """The rows and the columns of the canvas that hold the picture. The rest is padding."""
    top, left, height, width = view.geometry.box
    return slice(top, top + height), slice(left, left + width)


def pad_to_canvas(view: View, values: np.ndarray) -> np.ndarray:
    """A map (height, width) of the picture as a map (h, w) of the canvas, float32: zero on the padding."""
    canvas = np.zeros(view.geometry.canvas, np.float32)
    canvas[picture_box(view)] = values
    return canvas


def blend(baseline: np.ndarray, difference: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """baseline + mask * difference, for pixels (h, w, 3) and a mask (h, w), all float32.

    With difference = picture - baseline, a mask of 1 shows the picture and a mask of 0 shows the baseline.
    """
    mask_rgb = cv2.merge((mask,) * 3)  # five times faster than broadcasting the mask in NumPy
    np.multiply(difference, mask_rgb, out=mask_rgb)
    return np.add(mask_rgb, baseline, out=mask_rgb)


def score_masks(
    view: View, objective: np.ndarray, cells: Cells, masks: np.ndarray, baseline: np.ndarray, score: Score | None = None
) -> np.ndarray:
    """The score (N,) of the picture under masks (N, K) in [0, 1]; hidden pixels are those of the canvas `baseline`.

    Several baselines (B, h, w, 3) take turns, pair by pair (`turns`). `score`: by default `view.scores`.
    """
    box = picture_box(view)
    hidden = [each[box] for each in (baseline if baseline.ndim == 4 else baseline[None])]
    differences = [view.canvas[box] - each for each in hidden]
    turn = turns(len(masks), len(hidden))
    batch = np.repeat(view.canvas[None], min(BATCH, len(masks)), 0)
    scores = []
    for start in range(0, len(masks), BATCH):
        chunk = masks[start : start + BATCH]
        for canvas, mask, index in zip(
            batch, cells.to_pixels(chunk), turn[start:], strict=False
        ):  # the last may be shorter
            canvas[box] = blend(hidden[index], differences[index], mask)
        scores.append((score or view.scores)(batch[: len(chunk)], objective))
    return np.concatenate(scores)


def turns(count: int, baselines: int) -> np.ndarray:
    """Which of several baselines each of `count` masks uses: both masks of a pair the same.

    >>> turns(6, 2).tolist()
    [0, 0, 1, 1, 0, 0]
    """
    return np.arange(count) // 2 % baselines


def stream_maps(
    view: View, objective: np.ndarray, cells: Cells, masks: np.ndarray, baseline: np.ndarray, estimate: Estimate, *,
    group_size: int = 1, until: float = 0.0, score: Score | None = None,
    make_notes: Callable[[np.ndarray, np.ndarray], tuple[str, ...]] | None = None,
) -> Iterator[Step]:  # fmt: skip
    """Score masks in order and yield a map from all masks so far, after every 64 masks or so.

    The error of a map is estimated from the maps of two halves of the groups: the norm of their difference divided by the
    norm of their sum, from 0 to about 1.

    Args:
        view: The picture on its canvas.
        objective: Weights of the logits (classes,).
        cells: What the masks are over.
        masks: (N, K) in [0, 1], 1 where a cell is kept.
        baseline: The canvas (h, w, 3) that replaces hidden pixels, or several of them, see `score_masks`.
        estimate: Turns the masks and scores so far into a value per cell.
        group_size: How many consecutive masks belong together: 2 for an antithetic pair, K + 1 for a row of a Sobol design.
        until: Stop when the estimated error is at most this.
        make_notes: Makes the notes of the last map from all masks and scores.
    """
    masks_per_step = group_size * max(1, MASKS_PER_STEP // group_size)
    scores = np.zeros(0, np.float32)
    for start in range(0, len(masks), masks_per_step):
        end = min(start + masks_per_step, len(masks))
        scores = np.concatenate([scores, score_masks(view, objective, cells, masks[start:end], baseline, score)])
        error = _estimated_error(masks[:end], scores, estimate, group_size)
        done = end == len(masks) or (error is not None and error <= until)
        raw = pad_to_canvas(view, cells.to_pixels(estimate(masks[:end], scores)[None])[0])
        notes = make_notes(masks[:end], scores) if make_notes and done else ()
        yield Step(raw, 1.0 if done else end / len(masks), notes, error)
        if done:
            return


def _estimated_error(masks: np.ndarray, scores: np.ndarray, estimate: Estimate, group_size: int) -> float | None:
    """The relative error of an estimate, from its two halves. None while there are fewer than four groups."""
    if len(masks) // group_size < 4:
        return None
    odd = (np.arange(len(masks)) // group_size) % 2 == 1
    first, second = (estimate(masks[half], scores[half]) for half in (odd, ~odd))
    norm_of_sum = float(np.linalg.norm(first + second))
    return float(np.linalg.norm(first - second)) / norm_of_sum if norm_of_sum else None
