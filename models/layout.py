"""Whether a map of features is laid out like the picture, proven by changing parts of the picture.

Not every array (N, h, w, C) in a network is a map of the picture: channels can come first, axes can be exchanged, rows can be
folded, a dense layer can mix all positions, and a crop inside the network shows a part of the picture only. A heatmap of such
an array would show the wrong place. `is_map_of_picture` therefore changes parts of a picture and looks which cells react.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

PICTURES = 3  # pictures that are tried before a map is rejected
MIN_CORRELATION = 0.7  # between the place of a cell and the place of the pixels that it reacts to
MIN_REACTION = 1e-4  # of the largest reaction; less than this is rounding


def is_map_of_picture(features: Callable[[np.ndarray], np.ndarray], canvas: tuple[int, int]) -> bool:
    """Whether the cells of a map lie where the pixels lie that change them.

    There are two conditions. Each corner cell reacts to its own corner of the picture, more than to the other corners. The
    quarters of the picture to which the cells react most have the order of the cells, in both directions.

    A map that reacts to nothing counts as a map of the picture: all of its cells are equal, so it shows no wrong place.

    Args:
        features: Canvases (N, h, w, 3) in [0, 255] -> maps (N, fh, fw, C).
        canvas: The shape (h, w) of a canvas.

    >>> is_map_of_picture(lambda batch: batch[:, ::4, ::4], (32, 32))
    True
    >>> is_map_of_picture(lambda batch: batch[:, 8:24, 8:24], (32, 32))  # a part of the picture only
    False
    """
    total: np.ndarray | None = None
    for seed in range(PICTURES):
        picture = _draw_picture(canvas, seed)
        if total is None:  # the number of cells decides the size of the corners
            cells = features(picture[None]).shape[1:3]
        changed = [picture, *(_change(picture, area) for area in _areas(canvas, cells))]
        maps = features(np.stack(changed)).astype(np.float64)
        reactions = np.sqrt(((maps[1:] - maps[0]) ** 2).sum(-1))
        total = reactions if total is None else total + reactions
        if _is_in_place(total):
            return True
    return total is not None and not total.any()


def _draw_picture(canvas: tuple[int, int], seed: int) -> np.ndarray:
    """Smooth random colours with some noise (h, w, 3)."""
    rng = np.random.default_rng(seed)
    colours = cv2.resize(rng.uniform(0, 255, (8, 8, 3)).astype(np.float32), canvas[::-1])
    return np.clip(colours + rng.normal(0, 20, colours.shape), 0, 255).astype(np.float32)


def _change(picture: np.ndarray, area: tuple[slice, slice]) -> np.ndarray:
    """A copy of a picture in which every value of an area differs by half of the range."""
    changed = picture.copy()
    changed[area] = (changed[area] + 128) % 256
    return changed


def _areas(canvas: tuple[int, int], cells: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """The parts of a canvas that are changed: the four corners, each as large as a cell, then the four quarters."""
    height, width = (max(1, side // 16, -(-side // count)) for side, count in zip(canvas, cells, strict=True))
    rows, columns = slice(height), slice(width)
    last_rows, last_columns = slice(canvas[0] - height, None), slice(canvas[1] - width, None)
    corners = [(y, x) for y in (rows, last_rows) for x in (columns, last_columns)]
    upper, lower = slice(canvas[0] // 2), slice(canvas[0] // 2, None)
    left, right = slice(canvas[1] // 2), slice(canvas[1] // 2, None)
    return corners + [(y, x) for y in (upper, lower) for x in (left, right)]


def _is_in_place(reactions: np.ndarray) -> bool:
    """Whether the reactions (8, fh, fw) to the corners and quarters of `_areas` lie at the right cells."""
    least = MIN_REACTION * reactions.max()
    means = reactions.mean((1, 2), keepdims=True)
    if not (means > 0).all():
        return False
    shares = (
        reactions / means
    )  # a part of the picture may have a strong effect everywhere; only its distribution counts
    corner_cells = np.s_[:4, [0, 0, -1, -1], [0, -1, 0, -1]]  # (changed corner, corner cell)
    own, others = np.diag(shares[corner_cells]), shares[corner_cells] - np.diag(np.full(4, np.inf))
    if not ((own > others.max(0)) & (np.diag(reactions[corner_cells]) > least)).all():
        return False
    quarters = shares[4:]
    total = quarters.sum(0)
    reacting = reactions[4:].max(0) > least
    low, right = quarters[[2, 3]].sum(0), quarters[[1, 3]].sum(0)
    return all(
        _correlation((changed / np.maximum(total, 1e-30))[reacting], place[reacting]) >= MIN_CORRELATION
        for changed, place in zip((low, right), np.indices(total.shape), strict=True)
    )


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation, 0 where one of both is constant."""
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norm if norm > 0 else 0.0
