"""Candidate quads: four lines that may be the sides of a screen, and the features of each quad."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

from capture.lines import (
    DARKER,
    FAR_GREY,
    FAR_SQUARED,
    LIGHTER,
    NEAR_GREY,
    NEAR_SQUARED,
    SCREEN_SIDE,
    Lines,
)
from capture.quad import FOCAL, TINY, area, convex, rectangle_from_quad
from capture.segmentation import AIMED, ANY

# The number of quads whose features are computed: for the most prominent screen, and for each other screen.
CANDIDATES_OF_FIRST, CANDIDATES_OF_OTHERS = 300, 60
MIN_SIDE_SHARE = 0.15  # smallest allowed distance of opposite sides, as a share of the picture's shorter side
MIN_SUPPORT = 0.03  # smallest allowed support of the weakest side
IOU_WEIGHT = 2.0  # weight of the IoU with the segmented screen, relative to the support of a side
MAX_SIDES_ANGLE = np.deg2rad(40)  # largest allowed angle between opposite sides, in radians
EXTENSION = 0.15  # share of a side that is examined beyond each corner
# Sample points inside a quad keep this distance from its sides, as a share of a side: the cells of the segmentation are
# coarse, so the cells on a side show both inside and outside.
INSIDE_MARGIN = 0.06
OUTSIDE_MARGIN = 0.15  # sample points outside lie on the sides of the quad enlarged by this share about its centre
SAMPLES_PER_SIDE = 5

Features = dict[str, np.ndarray]  # the values (N,) of each feature by its name


def candidate_quads(
    lines: Lines, screen_maps: Sequence[np.ndarray], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The quads with the most edge support along their sides.

    Args:
        lines: The straight edges of the picture.
        screen_maps: One map (h, w) per segmented screen. The first is that of the most prominent screen; it gets the most
            candidates.
        size: (H, W) of the picture.

    Returns:
        Corners (N, 4, 2), x and y from the picture's middle, clockwise from the top left, and sides (N, 4) as indices of lines:
        top, right, bottom, left.
    """
    no_quads = np.zeros((0, 4, 2)), np.zeros((0, 4), np.intp)
    horizontal, vertical = _sort_lines(lines)
    if len(vertical) < 2 or len(horizontal) < 2:
        return no_quads
    min_distance = MIN_SIDE_SHARE * min(size)
    left, right = _opposite_sides(lines, vertical, 0, min_distance)
    top, bottom = _opposite_sides(lines, horizontal, 1, min_distance)
    if not len(left) or not len(top):
        return no_quads
    points = _intersections(lines, horizontal, vertical)  # (Y, X, 2)
    total, weakest = _quad_support(lines, horizontal, vertical, points, (top, bottom), (left, right))
    supported = weakest >= MIN_SUPPORT
    total *= supported
    supported_count = int(np.count_nonzero(supported))
    best: list[np.ndarray] = [np.zeros(0, np.intp)]
    for number, screen_map in enumerate(screen_maps if supported_count else ()):
        horizontal_y, vertical_x = _crossings(lines, horizontal, vertical, _centroid(screen_map, size))
        y, x = horizontal_y / size[0] + 0.5, vertical_x / size[1] + 0.5  # as shares of height and width
        overlap = _iou_of_boxes(screen_map, np.stack([y[top], y[bottom]]), np.stack([x[left], x[right]]))
        score = total + IOU_WEIGHT * supported * overlap
        count = min(CANDIDATES_OF_FIRST if number == 0 else CANDIDATES_OF_OTHERS, supported_count)
        best.append(np.argpartition(-score, count - 1, axis=None)[:count])
    rows, columns = np.unravel_index(np.unique(np.concatenate(best)), total.shape)
    top, bottom, left, right = top[rows], bottom[rows], left[columns], right[columns]
    corners = np.stack([points[top, left], points[top, right], points[bottom, right], points[bottom, left]], 1)
    sides = np.stack([horizontal[top], vertical[right], horizontal[bottom], vertical[left]], 1)
    inside = np.abs(corners) <= (np.array(size[::-1]) / 2 + 3)
    kept = inside.all((1, 2)) & convex(corners)
    return corners[kept], sides[kept]


def _sort_lines(lines: Lines) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the horizontal lines from top to bottom and of the vertical lines from left to right.

    Their order is that in which they cross the axes through the picture's middle.
    """
    horizontal, vertical = np.flatnonzero(~lines.vertical), np.flatnonzero(lines.vertical)
    horizontal = horizontal[np.argsort(lines.distance[horizontal] / lines.normal[horizontal, 1])]
    vertical = vertical[np.argsort(lines.distance[vertical] / lines.normal[vertical, 0])]
    return horizontal, vertical


def _opposite_sides(lines: Lines, family: np.ndarray, axis: int, min_distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of lines that may be opposite sides: far enough apart in the middle, and nearly parallel.

    Args:
        lines: The straight edges of the picture.
        family: Indices of sorted lines, all nearly horizontal or all nearly vertical.
        axis: The coordinate in which they lie apart, 0 for x and 1 for y.
        min_distance: The smallest allowed distance, in pixels.

    Returns:
        The first and the second line of each pair (pairs,), as positions in `family`.
    """
    first, second = np.triu_indices(len(family), 1)
    normal = lines.normal[family]
    position = lines.distance[family] / normal[:, axis]
    angle = np.arctan2(normal[:, 1 - axis], normal[:, axis])
    far_apart = position[second] - position[first] > min_distance
    parallel = np.abs(angle[second] - angle[first]) < MAX_SIDES_ANGLE
    kept = far_apart & parallel
    return first[kept], second[kept]


def _quad_support(
    lines: Lines,
    horizontal: np.ndarray,
    vertical: np.ndarray,
    points: np.ndarray,
    top_bottom: tuple[np.ndarray, np.ndarray],
    left_right: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """The support of every combination of a pair of horizontal lines and a pair of vertical lines.

    The weakest side counts twice in the sum. This lowers the score of three strong sides and a missing one against that of
    four sides that are equally strong.

    Args:
        lines: The straight edges of the picture.
        horizontal: Indices of lines (Y,).
        vertical: Indices of lines (X,).
        points: Their intersections (Y, X, 2).
        top_bottom: Pairs of horizontal lines, as positions in `horizontal`.
        left_right: Pairs of vertical lines, as positions in `vertical`.

    Returns:
        The sum of the support of the sides, and the support of the weakest side, both (pairs of Y, pairs of X).
    """
    (top, bottom), (left, right) = top_bottom, left_right
    along_horizontal = np.einsum("yxc,yc->yx", points, lines.direction[horizontal])
    along_vertical = np.einsum("yxc,xc->xy", points, lines.direction[vertical])
    # (Y, pairs of X) and (X, pairs of Y)
    of_horizontal = _support(lines, horizontal[:, None], along_horizontal[:, left], along_horizontal[:, right])
    of_vertical = _support(lines, vertical[:, None], along_vertical[:, top], along_vertical[:, bottom])
    of_top, of_bottom, of_left, of_right = (
        of_horizontal[top],
        of_horizontal[bottom],
        of_vertical[left],
        of_vertical[right],
    )
    weakest = np.minimum(np.minimum(of_top, of_bottom), np.minimum(of_left, of_right).T)
    return of_top + of_bottom + (of_left + of_right).T + weakest, weakest


def _centroid(screen_map: np.ndarray, size: tuple[int, int]) -> tuple[float, float]:
    """The centroid of a map (h, w), as x and y from the middle of a picture of `size` (H, W)."""
    total = screen_map.sum() + TINY
    x = (screen_map.sum(0) * np.arange(screen_map.shape[1])).sum() / total + 0.5
    y = (screen_map.sum(1) * np.arange(screen_map.shape[0])).sum() / total + 0.5
    return (x / screen_map.shape[1] - 0.5) * size[1], (y / screen_map.shape[0] - 0.5) * size[0]


def _crossings(
    lines: Lines, horizontal: np.ndarray, vertical: np.ndarray, point: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The y of the horizontal lines at the x of a point, and the x of the vertical lines at its y."""
    x, y = point
    normal = lines.normal
    return (
        (lines.distance[horizontal] - normal[horizontal, 0] * x) / normal[horizontal, 1],
        (lines.distance[vertical] - normal[vertical, 1] * y) / normal[vertical, 0],
    )


def _iou_of_boxes(screen_map: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The intersection over union of axis-aligned boxes with a soft mask.

    Args:
        screen_map: The mask (h, w), in [0, 1].
        y: Top and bottom of the boxes (2, Y), as shares of the height.
        x: Left and right of the boxes (2, X), as shares of the width.

    Returns:
        The IoU of every combination, (Y, X).
    """
    covered = []  # the covered part of each row and of each column of cells
    for ends, cells in ((y, screen_map.shape[0]), (x, screen_map.shape[1])):
        from_cell_start = (ends.clip(0, 1) * cells)[..., None] - np.arange(cells)
        covered.append(np.diff(from_cell_start.clip(0, 1), axis=0)[0].astype(np.float32))
    rows, columns = covered
    shared = rows @ screen_map @ columns.T
    return shared / (screen_map.sum() + np.outer(rows.sum(1), columns.sum(1)) - shared + 1e-6)


def _intersections(lines: Lines, horizontal: np.ndarray, vertical: np.ndarray) -> np.ndarray:
    """The intersection of each horizontal with each vertical line, (Y, X, 2), by Cramer's rule."""
    a, b = lines.normal[horizontal][:, None], lines.normal[vertical][None]
    determinant = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    determinant = np.where(np.abs(determinant) < 1e-3, 1e-3, determinant)
    p, q = lines.distance[horizontal][:, None], lines.distance[vertical][None]
    return np.stack([(p * b[..., 1] - q * a[..., 1]) / determinant, (q * a[..., 0] - p * b[..., 0]) / determinant], 2)


def _support(lines: Lines, line: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The share of a segment with an edge; edges count more where a side of a screen is expected."""
    votes = lines.unexpected * (lines.sums[..., LIGHTER] + lines.sums[..., DARKER]) + lines.sums[..., SCREEN_SIDE]
    total, count = lines.between(line, begin, end, votes)
    return total / count


def quad_features(
    lines: Lines, segments: np.ndarray, corners: np.ndarray, sides: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Compute the features of each quad for `quad_classifier.score`.

    The order of the features is the order of the trained weights. After a change, train the weights again
    (`python -m scripts.fit_capture --only classifier`).

    Args:
        lines: The straight edges of the picture.
        segments: The result (h, w, 3) of `segmentation.segment`.
        corners: The corners of the quads (N, 4, 2), from the picture's middle.
        sides: The sides of the quads (N, 4), as indices of lines.
        size: (H, W) of the picture.

    Returns:
        float32 (N, F).
    """
    direction = lines.direction[sides]  # (N, 4, 2)
    begin, end = (corners * direction).sum(2), (np.roll(corners, -1, 1) * direction).sum(2)
    sums, count = lines.between(sides, begin, end)
    means = sums / count[..., None]
    # The normal of a line points right or down: into the quad at its top and left, out of it at its right and bottom.
    inward = (lines.normal[sides] * (corners.mean(1, keepdims=True) - corners)).sum(2) > 0
    likely = np.sort(means[..., SCREEN_SIDE], 1)
    features = (
        _edge_features(means, inward)
        | _grey_features(means, inward)
        | _extension_features(lines, sides, begin, end)
        | _shape_features(corners, size)
        | _slant_features(direction)
        | {"smallest probability of a side": likely[:, 0], "mean probability of a side": likely.mean(1)}
        | _segment_features(segments, corners, size)
    )
    return np.stack(list(features.values()), 1).astype(np.float32)


def _edge_features(means: np.ndarray, inward: np.ndarray) -> Features:
    """Features of the edges along the sides, from the means (N, 4, 7) along them and the direction (N, 4) of their normals."""
    lighter, darker = means[..., LIGHTER], means[..., DARKER]
    support = np.sort(lighter + darker, 1)
    agreement = np.abs(lighter - darker)  # 1 where all edges of a side get lighter, or all get darker
    rises = np.where(inward, lighter - darker, darker - lighter)  # positive where the inside is lighter
    return {
        "support of the weakest side": support[:, 0],
        "support of the second weakest side": support[:, 1],
        "mean support": support.mean(1),
        "smallest agreement": np.sort(agreement, 1)[:, 0],
        "mean agreement": agreement.mean(1),
        "mean rise": rises.mean(1),
        "absolute mean rise": np.abs(rises.mean(1)),
        "smallest rise": np.sort(rises, 1)[:, 0],
    }


def _grey_features(means: np.ndarray, inward: np.ndarray) -> Features:
    """Features of the grey levels on both sides of each side, from the means (N, 4, 7) along the sides."""
    near_mean, far_mean = means[..., NEAR_GREY], means[..., FAR_GREY]
    near_variance = np.maximum(means[..., NEAR_SQUARED] - near_mean**2, 0)
    far_variance = np.maximum(means[..., FAR_SQUARED] - far_mean**2, 0)
    inside_mean, outside_mean = np.where(inward, far_mean, near_mean), np.where(inward, near_mean, far_mean)
    inside_deviation = np.sqrt(np.where(inward, far_variance, near_variance))
    outside_deviation = np.sqrt(np.where(inward, near_variance, far_variance))
    contrast = np.log1p(np.abs(inside_mean - outside_mean))
    return {
        "mean deviation outside": np.log1p(outside_deviation).mean(1),
        "largest deviation outside": np.log1p(outside_deviation).max(1),
        "mean deviation inside": np.log1p(inside_deviation).mean(1),
        "smallest deviation inside": np.log1p(inside_deviation).min(1),
        "difference between the surroundings of the sides": np.log1p(outside_mean.std(1)),
        "mean contrast": contrast.mean(1),
        "smallest contrast": contrast.min(1),
        "mean grey outside": outside_mean.mean(1) / 255,
        "mean grey inside": inside_mean.mean(1) / 255,
    }


def _extension_features(lines: Lines, sides: np.ndarray, begin: np.ndarray, end: np.ndarray) -> Features:
    """Features of the edges beyond the corners, where the sides of a screen do not continue."""
    reach = EXTENSION * (end - begin)
    beyond = []
    for first, last in ((begin - reach, begin), (end, end + reach)):
        sums, count = lines.between(sides, first, last)
        beyond.append((sums[..., LIGHTER] + sums[..., DARKER]) / count)
    support = np.concatenate(beyond, 1)
    return {"mean support beyond the corners": support.mean(1), "largest support beyond a corner": support.max(1)}


def _shape_features(corners: np.ndarray, size: tuple[int, int]) -> Features:
    """Features of the shape and the position of quads (N, 4, 2) in a picture of `size` (H, W)."""
    height, width = size
    length = np.linalg.norm(np.roll(corners, -1, 1) - corners, axis=2)
    aspect, skew = rectangle_from_quad(corners / (FOCAL * max(size)))
    offset_from_centre = np.linalg.norm(corners.mean(1) / (width, height), axis=1)
    distance_to_border = (np.array([width, height]) / 2 - np.abs(corners)).reshape(-1, 8).min(1)
    return {
        "aspect ratio": np.log(aspect),
        "deviation from 16:9": np.abs(np.log(aspect) - np.log(16 / 9)),
        "skew": skew,
        "ratio of top and bottom": np.abs(np.log(length[:, 0] / length[:, 2])),
        "ratio of right and left": np.abs(np.log(length[:, 1] / length[:, 3])),
        "area": np.log(area(corners) / (height * width)),
        "offset from the centre": offset_from_centre,
        "distance to the border": distance_to_border / min(size),
    }


def _slant_features(direction: np.ndarray) -> Features:
    """Features of the angles between the sides, with directions (N, 4, 2), and the picture's rows and columns.

    Drawn lines follow rows and columns exactly. Photographed lines hardly ever do.
    """
    slant = np.rad2deg(np.arcsin(np.abs(direction).min(2).clip(0, 1)))
    return {"largest slant": np.log(slant.max(1) + 0.1), "mean slant": np.log(slant.mean(1) + 0.1)}


def _segment_features(segments: np.ndarray, corners: np.ndarray, size: tuple[int, int]) -> Features:
    """Features of each quad from the segmentation: means inside and outside, and its share of the segmented screen."""
    points, inside_count = _sample_points()
    grid, extent = np.array(segments.shape[1::-1], np.float32), np.array(size[::-1], np.float32)
    sample_positions = points @ (corners * (grid / extent)).astype(np.float32) + (grid - 1) / 2
    values = cv2.remap(segments, sample_positions[..., 0], sample_positions[..., 1], cv2.INTER_LINEAR)
    inside, outside = values[:, :inside_count].mean(1), values[:, inside_count:].mean(1)
    area_share = area(corners) / (size[0] * size[1])
    total = float(segments[..., AIMED].mean())
    covered_share = np.clip(area_share * inside[:, AIMED] / max(total, 1e-3), 0, 2)
    peak = np.full(len(corners), float(segments[..., AIMED].max()))
    return {
        "the prominent screen inside": inside[:, AIMED],
        "the prominent screen outside": outside[:, AIMED],
        "any screen inside": inside[:, ANY],
        "any screen outside": outside[:, ANY],
        "share of the prominent screen that is covered": covered_share,
        "largest probability of the prominent screen": peak,
        "mean probability of the prominent screen": np.full_like(peak, total),
    }


@cache
def _sample_points() -> tuple[np.ndarray, int]:
    """Sample points of a quad as weights (P, 4) of its corners, and how many lie inside: 25 inside, then 20 just outside."""
    across = np.linspace(INSIDE_MARGIN, 1 - INSIDE_MARGIN, SAMPLES_PER_SIDE)
    u, v = (weights.ravel() for weights in np.meshgrid(across, across))
    inside = np.stack([(1 - v) * (1 - u), (1 - v) * u, v * u, v * (1 - u)], 1)
    along = np.linspace(0, 1, SAMPLES_PER_SIDE, endpoint=False)[:, None]
    corner = np.eye(4)
    on_sides = np.concatenate([(1 - along) * corner[i] + along * corner[i - 3] for i in range(4)])
    # Enlarged about the centre, where each corner has the weight 1/4.
    outside = (1 + OUTSIDE_MARGIN) * on_sides - OUTSIDE_MARGIN / 4
    return np.concatenate([inside, outside]).astype(np.float32), len(inside)
