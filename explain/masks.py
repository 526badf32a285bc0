"""One loop for every method that hides parts of the picture at random: cells, masks over them, scores, an estimate.

A sampler makes masks Z (N, K) over K cells, 1 where a cell is kept; `refine` scores them batch by batch and turns what it
has into a map. Samplers and estimators know nothing of networks, and each can be tested alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from explain.registry import Step
from explain.view import View
from models.engine import BATCH

EVERY = 64  # masks between two maps


@dataclass(frozen=True)
class Grid:
    """A picture of `size` (height, width) on the canvas, cut into rows x columns cells with soft or hard borders."""

    size: tuple[int, int]
    rows: int
    columns: int
    soft: bool

    @property
    def count(self) -> int:
        """How many cells there are."""
        return self.rows * self.columns

    def paint(self, values: np.ndarray) -> np.ndarray:
        """Values (n, K) of the cells at every pixel: (n, height, width)."""
        kind = cv2.INTER_LINEAR if self.soft else cv2.INTER_NEAREST_EXACT
        cells = np.ascontiguousarray(values, np.float32).reshape(-1, self.rows, self.columns)
        return np.stack([cv2.resize(one, self.size[::-1], interpolation=kind) for one in cells])


@dataclass(frozen=True)
class Segments:
    """A picture on the canvas, cut into segments: `labels` (height, width) from 0 to K - 1."""

    labels: np.ndarray

    @property
    def count(self) -> int:
        """How many segments there are."""
        return int(self.labels.max()) + 1

    def paint(self, values: np.ndarray) -> np.ndarray:
        """Values (n, K) of the segments at every pixel: (n, height, width)."""
        return values.astype(np.float32)[:, self.labels]


Cells = Grid | Segments


def grid(view: View, cells: int, soft: bool) -> Grid:
    """A grid of nearly square cells, `cells` of them along the picture's shorter side."""
    _, _, height, width = view.geometry.box
    short = min(height, width)
    return Grid((height, width), max(1, round(cells * height / short)), max(1, round(cells * width / short)), soft)


def scores(view: View, target: np.ndarray, cells: Cells, masks: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """The score (N,) of the picture under masks (N, K) in [0, 1], with `empty` (h, w, 3) where it is hidden."""
    top, left, height, width = view.geometry.box
    inside = slice(top, top + height), slice(left, left + width)
    behind = empty[inside]
    shown = view.canvas[inside] - behind
    batch = np.repeat(view.canvas[None], min(BATCH, len(masks)), 0)
    found = []
    for start in range(0, len(masks), BATCH):
        chunk = masks[start : start + BATCH]
        for canvas, painted in zip(batch, cells.paint(chunk), strict=False):  # the last chunk may be shorter
            canvas[inside] = blend(behind, shown, painted)
        found.append(view.scores(batch[: len(chunk)], target))
    return np.concatenate(found)


def blend(behind: np.ndarray, shown: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """behind + mask * shown, for pixels (h, w, 3) and a mask (h, w), all float32."""
    three = cv2.merge((mask,) * 3)  # five times as quick as having NumPy repeat it for each colour
    np.multiply(shown, three, out=three)
    return np.add(three, behind, out=three)


def to_canvas(view: View, inside: np.ndarray) -> np.ndarray:
    """A map over the picture's box, as one over the whole canvas: nothing is known of the padding."""
    top, left, height, width = view.geometry.box
    canvas = np.zeros(view.geometry.canvas, np.float32)
    canvas[top : top + height, left : left + width] = inside
    return canvas


Estimate = Callable[[np.ndarray, np.ndarray], np.ndarray]


def refine(
    view: View,
    target: np.ndarray,
    cells: Cells,
    masks: np.ndarray,
    empty: np.ndarray,
    estimate: Estimate,
    *,
    unit: int = 1,
    until: float = 0.0,
    notes: Callable[[np.ndarray, np.ndarray], tuple[str, ...]] | None = None,
) -> Iterator[Step]:
    """Score masks (N, K) in order and yield the map of `estimate(masks, scores) -> (K,)` as they come in.

    `unit`: how many consecutive masks belong together (an antithetic pair, a row of a design). The error of a map is
    estimated from two halves of the units: half their distance relative to their mean, 0 to about 1. The work ends when it
    is at most `until`.
    """
    every = unit * max(1, EVERY // unit)
    found = np.zeros(0, np.float32)
    for start in range(0, len(masks), every):
        end = min(start + every, len(masks))
        found = np.concatenate([found, scores(view, target, cells, masks[start:end], empty)])
        error = _error(masks[:end], found, estimate, unit)
        done = end == len(masks) or (error is not None and error <= until)
        values = estimate(masks[:end], found)
        words = notes(masks[:end], found) if notes and done else ()
        painted = to_canvas(view, cells.paint(values[None])[0])
        yield Step(painted, 1.0 if done else end / len(masks), words, error)
        if done:
            return


def _error(masks: np.ndarray, found: np.ndarray, estimate: Estimate, unit: int) -> float | None:
    """None while there are too few units for two halves."""
    units = len(masks) // unit
    if units < 4:
        return None
    odd = (np.arange(len(masks)) // unit) % 2 == 1
    first, second = (estimate(masks[half], found[half]) for half in (odd, ~odd))
    size = float(np.linalg.norm(first + second))
    return float(np.linalg.norm(first - second)) / size if size else None
