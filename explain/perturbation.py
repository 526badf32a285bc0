"""Change the picture and watch the score: nothing is assumed about the network.

These are generators: each Step is a better map, and stopping early leaves the best so far.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from explain.registry import Step, register
from explain.view import View
from models.errors import UserError, unknown
from models.geometry import FILL

BATCH = 16
PREVIEWS = (4, 2)  # patches so many times larger come first, to have something to show at once


@register(
    "occlusion",
    title="Occlusion",
    family="perturbation",
    summary="Covers one patch after the other and shows where the score drops. Slow, but hard to argue with.",
    cost="about 200 forward passes",
    paper="Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks",
)
def occlusion(
    view: View, target: np.ndarray, *, patch: int = 32, stride: int = 16, fill: str = "mean"
) -> Iterator[Step]:
    """The mean drop of the score over the patches that cover a pixel (Zeiler & Fergus 2014, section 4.2).

    `patch` and `stride` in pixels of the canvas. `fill`: "mean" (of this picture), "black", or "grey" (the mean of
    ImageNet). Signed, (h, w): disjoint tiles hold the drop of each tile. Coarse previews with larger patches come first;
    each patch of the final size then replaces its part of them. Raises UserError for sizes that leave gaps.
    """
    if not 1 <= stride <= patch:
        raise UserError(f"occlusion needs 1 <= stride <= patch; got stride {stride} and patch {patch}.")
    top, left, height, width = view.geometry.box
    colour = _colour(view, fill)
    whole = float(view.logits @ target)
    rounding = 1e-5 * float(np.abs(view.logits).max())  # what a pass may differ by where nothing was changed
    levels = [patch * factor for factor in PREVIEWS if patch * factor <= min(height, width)] + [patch]
    plan = [_positions((height, width), (size, size), stride * size // patch) for size in levels]
    total = sum(map(len, plan))
    batch = np.empty((BATCH, *view.canvas.shape), np.float32)
    preview = np.zeros((height, width), np.float32)
    done = 0
    for size, positions in zip(levels, plan, strict=True):
        drops, coverage = np.zeros_like(preview), np.zeros_like(preview)
        for start in range(0, len(positions), BATCH):
            chunk = positions[start : start + BATCH]
            batch[: len(chunk)] = view.canvas
            for canvas, (y, x) in zip(batch, chunk, strict=False):  # the last chunk may be shorter
                canvas[top + y : top + min(y + size, height), left + x : left + min(x + size, width)] = colour
            found = whole - view.scores(batch[: len(chunk)], target)
            found[np.abs(found) <= rounding] = 0
            for (y, x), drop in zip(chunk, found, strict=True):
                drops[y : y + size, x : x + size] += drop
                coverage[y : y + size, x : x + size] += 1
            done += len(chunk)
            current = np.where(coverage > 0, drops / np.maximum(coverage, 1), preview)
            yield Step(np.pad(current, _margins(view)), done / total)
        preview = current


def _colour(view: View, fill: str) -> np.ndarray:
    top, left, height, width = view.geometry.box
    fills = {
        "mean": lambda: view.canvas[top : top + height, left : left + width].mean((0, 1)),
        "black": lambda: np.zeros(3, np.float32),
        "grey": lambda: np.array(FILL, np.float32),
    }
    if fill not in fills:
        raise unknown("fill for occlusion", fill, fills)
    return fills[fill]()


def _positions(extent: tuple[int, int], patch: tuple[int, int], stride: int) -> list[tuple[int, int]]:
    """Upper left corners of patches at every stride, the last ones flush with the far edges."""

    def starts(length: int, size: int) -> list[int]:
        last = max(0, length - size)
        return [*range(0, last, stride), last]

    return [(y, x) for y in starts(extent[0], patch[0]) for x in starts(extent[1], patch[1])]


def _margins(view: View) -> tuple[tuple[int, int], tuple[int, int]]:
    """The padding around the picture on its canvas, for np.pad."""
    top, left, height, width = view.geometry.box
    (h, w) = view.geometry.canvas
    return (top, h - top - height), (left, w - left - width)
