"""Four lines that may be the sides of a screen, and what speaks for it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from capture.lines import UNEXPECTED, Lines
from capture.outline import AIMED, ANY

CANDIDATES = (300, 60)  # quads that are looked at closely: for what is aimed at, and for each other place
LEAST_SIDE = 0.15  # of the picture's shorter side: what is nearer to its opposite is no screen
LEAST_SUPPORT = 0.03  # of the weakest side
COVER = 2.0  # how much an IoU with what is aimed at counts against an edge along all of a side
SLANT = np.deg2rad(40)  # opposite sides differ by less, whatever the perspective
EXTENSION = 0.15  # of a side, beyond its corners
FOCAL = 1.1  # of the picture's longer side: what a phone's camera has, roughly
CENTRAL = 2.0  # how much being central counts against being large
TINY = 1e-9
SHAPES = {16 / 9: 0.5, 4 / 3: 1.0, 2.35: 1.0, 1.0: 1.0, 9 / 16: 1.0}  # of what is shown; how much being off them counts

Index = np.ndarray


def candidates(lines: Lines, places: Sequence[np.ndarray], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Quads whose sides have the most edge along them, for each of the `places` (h, w) that they may cover, the first of which
    is looked at most closely.

    Returns their corners (N, 4, 2), x and y from the picture's middle, clockwise from the top left, and their sides
    (N, 4) as indices of lines: top, right, bottom, left. `size`: (H, W).
    """
    upright, level = np.flatnonzero(lines.upright), np.flatnonzero(~lines.upright)
    if len(upright) < 2 or len(level) < 2:
        return np.zeros((0, 4, 2)), np.zeros((0, 4), np.intp)
    # In the order in which they cross the middle: left to right, top to bottom.
    upright = upright[np.argsort(lines.distance[upright] / lines.normal[upright, 0])]
    level = level[np.argsort(lines.distance[level] / lines.normal[level, 1])]
    points = _meet(lines, level, upright)  # (Y, X, 2)
    along_level = np.einsum("yxc,yc->yx", points, lines.direction[level])
    along_upright = np.einsum("yxc,xc->yx", points, lines.direction[upright])

    left, right = np.triu_indices(len(upright), 1)
    top, bottom = np.triu_indices(len(level), 1)
    least = LEAST_SIDE * min(size)
    narrow = _apart(lines, upright, left, right, 0, least)
    left, right = left[narrow], right[narrow]
    narrow = _apart(lines, level, top, bottom, 1, least)
    top, bottom = top[narrow], bottom[narrow]
    if not len(left) or not len(top):
        return np.zeros((0, 4, 2)), np.zeros((0, 4), np.intp)

    support_level = _support(lines, level[:, None], along_level[:, left], along_level[:, right])  # (Y, pairs of X)
    support_upright = _support(
        lines, upright[:, None], along_upright.T[:, top], along_upright.T[:, bottom]
    )  # (X, pairs)
    pairs = (
        np.stack([support_level[top], support_level[bottom]]),
        np.stack([support_upright[left], support_upright[right]]),
    )
    weakest = np.minimum(pairs[0].min(0), pairs[1].min(0).T)  # (pairs of Y, pairs of X)
    total = pairs[0].sum(0) + pairs[1].sum(0).T + weakest
    some = weakest >= LEAST_SUPPORT
    total *= some
    most = int(np.count_nonzero(some))
    best: list[np.ndarray] = []
    for number, place in enumerate(places if most else ()):
        y, x = _crossings(lines, level, upright, _middle(place, size))
        y, x = y / size[0] + 0.5, x / size[1] + 0.5
        worth = total + COVER * some * _cover(place, np.stack([y[top], y[bottom]]), np.stack([x[left], x[right]]))
        count = min(CANDIDATES[number > 0], most)
        best.append(np.argpartition(-worth, count - 1, axis=None)[:count])
    rows, columns = np.unravel_index(np.unique(np.concatenate([np.zeros(0, np.intp), *best])), total.shape)
    t, b, le, r = top[rows], bottom[rows], left[columns], right[columns]
    corners = np.stack([points[t, le], points[t, r], points[b, r], points[b, le]], 1)
    sides = np.stack([level[t], upright[r], level[b], upright[le]], 1)
    inside = np.abs(corners) <= (np.array(size[::-1]) / 2 + 3)
    kept = inside.all((1, 2)) & convex(corners)
    return corners[kept], sides[kept]


def _middle(place: np.ndarray, size: tuple[int, int]) -> tuple[float, float]:
    """The centroid of a map (h, w), as x and y from the middle of a picture of `size` (H, W)."""
    total = place.sum() + TINY
    x = (place.sum(0) * np.arange(place.shape[1])).sum() / total + 0.5
    y = (place.sum(1) * np.arange(place.shape[0])).sum() / total + 0.5
    return (x / place.shape[1] - 0.5) * size[1], (y / place.shape[0] - 0.5) * size[0]


def _crossings(lines: Lines, level: Index, upright: Index, at: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Where the level lines pass above or below a point, and where the upright ones pass beside it."""
    x, y = at
    normal = lines.normal
    return (
        (lines.distance[level] - normal[level, 0] * x) / normal[level, 1],
        (lines.distance[upright] - normal[upright, 1] * y) / normal[upright, 0],
    )


def _cover(aimed: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """How well upright boxes cover what is aimed at (h, w), as IoUs (Y, X). `y`, `x`: from where to where they reach, (2, Y)
    and (2, X), as shares of the height and width."""
    held = []
    for ends, cells in ((y, aimed.shape[0]), (x, aimed.shape[1])):
        to = (ends.clip(0, 1) * cells)[..., None] - np.arange(cells)
        held.append(np.diff(to.clip(0, 1), axis=0)[0].astype(np.float32))  # which part of each cell
    rows, columns = held
    inside = rows @ aimed @ columns.T
    return inside / (aimed.sum() + np.outer(rows.sum(1), columns.sum(1)) - inside + 1e-6)


def _meet(lines: Lines, level: Index, upright: Index) -> np.ndarray:
    """Where each level line crosses each upright one, (Y, X, 2)."""
    a, b = lines.normal[level][:, None], lines.normal[upright][None]
    determinant = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    determinant = np.where(np.abs(determinant) < 1e-3, 1e-3, determinant)
    p, q = lines.distance[level][:, None], lines.distance[upright][None]
    return np.stack([(p * b[..., 1] - q * a[..., 1]) / determinant, (q * a[..., 0] - p * b[..., 0]) / determinant], 2)


def _apart(lines: Lines, family: Index, one: Index, other: Index, axis: int, least: float) -> np.ndarray:
    """Which pairs of a family are far enough apart in the middle and not too aslant."""
    normal = lines.normal[family]
    place = lines.distance[family] / normal[:, axis]
    turn = np.arctan2(normal[:, 1 - axis], normal[:, axis])
    return (place[other] - place[one] > least) & (np.abs(turn[other] - turn[one]) < SLANT)


def _support(lines: Lines, family: Index, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The share of a stretch that has an edge, where a side of a screen is expected more than elsewhere."""
    votes = UNEXPECTED * (lines.sums[..., 0] + lines.sums[..., 1]) + lines.sums[..., 6]
    found, count = lines.between(family, begin, end, votes)
    return found / count


def convex(corners: np.ndarray) -> np.ndarray:
    """Which quads turn the same way at all corners, clockwise as the picture is seen."""
    side = np.roll(corners, -1, 1) - corners
    following = np.roll(side, -1, 1)
    return (side[..., 0] * following[..., 1] - side[..., 1] * following[..., 0] > 0).all(1)


def clockwise(points: np.ndarray) -> np.ndarray:
    """Four points (4, 2) in any order -> clockwise as the picture is seen, from the one nearest to the top left."""
    away = points - points.mean(0)
    ordered = points[np.argsort(np.arctan2(away[:, 1], away[:, 0]), kind="stable")]
    return np.roll(ordered, -int(ordered.sum(1).argmin()), 0)


def area(corners: np.ndarray) -> np.ndarray:
    """Of quads (..., 4, 2), in pixels."""
    one, other = corners[..., 2, :] - corners[..., 0, :], corners[..., 3, :] - corners[..., 1, :]  # the diagonals
    return np.abs(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]) / 2


def prominence(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """How large and how central quads (..., 4, 2) are in a picture of `size` (H, W): which of several is meant."""
    middle = (corners.mean(-2) / size[::-1] - 0.5).astype(np.float64)
    return np.sqrt(area(corners) / (size[0] * size[1])) * np.exp(-CENTRAL * (middle**2).sum(-1))


def _rectangle(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the quads (N, 4, 2) are in the plane they lie in, if a camera of focal length 1 looks along the origin: width by
    height, and how far from right their corners are (the cosine), 0 for rectangles (Zhang & He 2007)."""
    rays = np.concatenate([corners, np.ones((len(corners), 4, 1))], 2)
    top_left, top_right, far, bottom_left = rays.transpose(1, 0, 2)
    diagonal = np.cross(top_left, far)
    # How much further away than the first corner its two neighbours are, if the four are those of a parallelogram.
    right = (diagonal * bottom_left).sum(1) / ((np.cross(top_right, far) * bottom_left).sum(1) + TINY)
    below = (diagonal * top_right).sum(1) / ((np.cross(bottom_left, far) * top_right).sum(1) - TINY)
    wide, tall = right[:, None] * top_right - top_left, below[:, None] * bottom_left - top_left
    width, height = np.linalg.norm(wide, axis=1) + TINY, np.linalg.norm(tall, axis=1) + TINY
    return np.clip(width / height, 0.05, 20), np.abs((wide * tall).sum(1)) / (width * height)


def shape_of(corners: np.ndarray, size: tuple[int, int]) -> float:
    """Width by height, of SHAPES, of what lies within the corners (4, 2) in a picture of `size` (H, W)."""
    aspect, _ = _rectangle((corners - np.array(size[::-1]) / 2)[None] / (FOCAL * max(size)))
    return min(SHAPES, key=lambda shape: SHAPES[shape] * abs(np.log(aspect[0] / shape)))


def _places() -> tuple[np.ndarray, int]:
    """Where a quad is looked at, as shares (P, 4) of its four corners, and how many of those lie within: 25 over all of it,
    then 20 a little beyond its sides."""
    across = np.linspace(0.06, 0.94, 5)
    u, v = (part.ravel() for part in np.meshgrid(across, across))
    within = np.stack([(1 - v) * (1 - u), (1 - v) * u, v * u, v * (1 - u)], 1)
    along = np.linspace(0, 1, 5, endpoint=False)[:, None]
    corner = np.eye(4)
    sides = np.concatenate([(1 - along) * corner[i] + along * corner[i - 3] for i in range(4)])
    return np.concatenate([within, 1.15 * sides - 0.15 / 4]).astype(np.float32), len(within)


WITHIN_AND_AROUND, WITHIN = _places()


def _seen(sight: np.ndarray, corners: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
    """What of each quad `outline.look` has seen: inside, around it, and the part of all that is seen that it holds."""
    grid, extent = np.array(sight.shape[1::-1], np.float32), np.array(size[::-1], np.float32)
    at = WITHIN_AND_AROUND @ (corners * (grid / extent)).astype(np.float32) + (grid - 1) / 2
    values = cv2.remap(sight, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    inside, outside = values[:, :WITHIN].mean(1), values[:, WITHIN:].mean(1)
    share = area(corners) / (size[0] * size[1])
    total = float(sight[..., AIMED].mean())
    held = np.clip(share * inside[:, AIMED] / max(total, 1e-3), 0, 2)
    whole = np.full(len(corners), float(sight[..., AIMED].max()))
    return [
        inside[:, AIMED],
        outside[:, AIMED],
        inside[:, ANY],
        outside[:, ANY],
        held,
        whole,
        np.full_like(whole, total),
    ]


def features(
    lines: Lines, sight: np.ndarray, corners: np.ndarray, sides: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """What speaks for and against each quad, float32 (N, F), for `evidence.score`. `sight`: what `outline.look` saw."""
    direction = lines.direction[sides]  # (N, 4, 2)
    ends = np.roll(corners, -1, 1)
    begin, end = (corners * direction).sum(2), (ends * direction).sum(2)
    sums, count = lines.between(sides, begin, end)
    lighter, darker = sums[..., 0] / count, sums[..., 1] / count
    support = lighter + darker
    agreement = np.abs(lighter - darker)
    likely = np.sort(sums[..., 6] / count, 1)
    near_mean, far_mean = sums[..., 2] / count, sums[..., 4] / count
    near_var = np.maximum(sums[..., 3] / count - near_mean**2, 0)
    far_var = np.maximum(sums[..., 5] / count - far_mean**2, 0)
    # The normal of a line points right or down: into the quad at its top and left, out of it at its right and bottom.
    inward = (lines.normal[sides] * (corners.mean(1, keepdims=True) - corners)).sum(2) > 0
    in_mean, out_mean = np.where(inward, far_mean, near_mean), np.where(inward, near_mean, far_mean)
    in_sd = np.sqrt(np.where(inward, far_var, near_var))
    out_sd = np.sqrt(np.where(inward, near_var, far_var))
    rises = np.where(inward, lighter - darker, darker - lighter)

    length = np.linalg.norm(ends - corners, axis=2)
    reach = EXTENSION * (end - begin)
    beyond = []
    for first, last in ((begin - reach, begin), (end, end + reach)):
        sums, count = lines.between(sides, first, last)
        beyond.append((sums[..., 0] + sums[..., 1]) / count)
    beyond_all = np.concatenate(beyond, 1)
    level_of_room = out_mean.std(1)
    aspect, skew = _rectangle(corners / (FOCAL * max(size)))
    height, width = size
    share = area(corners) / (height * width)
    middle = np.linalg.norm(corners.mean(1) / (width, height), axis=1)
    edge = np.sort((np.array([width, height]) / 2 - np.abs(corners)).reshape(-1, 8), 1)
    ordered = np.sort(support, 1)
    # What is drawn lies exactly along the picture's rows and columns; what is photographed hardly ever.
    aslant = np.rad2deg(np.arcsin(np.abs(direction).min(2).clip(0, 1)))
    columns = [
        ordered[:, 0], ordered[:, 1], ordered.mean(1),
        np.sort(agreement, 1)[:, 0], agreement.mean(1), rises.mean(1), np.abs(rises.mean(1)), np.sort(rises, 1)[:, 0],
        np.log1p(out_sd).mean(1), np.log1p(out_sd).max(1), np.log1p(in_sd).mean(1), np.log1p(in_sd).min(1),
        np.log1p(level_of_room), np.log1p(np.abs(in_mean - out_mean)).mean(1), np.log1p(np.abs(in_mean - out_mean)).min(1),
        out_mean.mean(1) / 255, in_mean.mean(1) / 255,
        beyond_all.mean(1), np.sort(beyond_all, 1)[:, -1],
        np.log(aspect), np.abs(np.log(aspect) - np.log(16 / 9)), skew,
        np.abs(np.log(length[:, 0] / length[:, 2])), np.abs(np.log(length[:, 1] / length[:, 3])),
        np.log(share), middle, edge[:, 0] / min(size), np.log(aslant.max(1) + 0.1), np.log(aslant.mean(1) + 0.1),
        likely[:, 0], likely.mean(1), *_seen(sight, corners, size),
    ]  # fmt: skip
    return np.stack(columns, 1).astype(np.float32)
