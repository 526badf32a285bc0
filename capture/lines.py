"""Straight edges of a picture: their position, their extent, and the pixels on both sides of each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

PER_FAMILY = 30  # lines kept that are nearly vertical, and as many that are nearly horizontal
STEP = 2.0  # pixels between samples along a line
REACH = 4  # pixels on each side of a line in which it is fitted
BESIDE = 3.5  # distance from a line, in pixels, at which its two sides are compared
NEAR = 1.5  # largest distance of an edge from its line, in pixels
VOTE_SPREAD = 3  # a pixel votes for directions within so many degrees of its own
UNIT = 100.0  # edge strength that equals the mean of the surroundings
AROUND = 33  # side of the surroundings, in pixels
EXPECTED = 2.0  # added gain of an edge where a side of a screen is certain
FAINT = 6.0  # added to the strength of the surroundings, so that noise is not amplified
LOW, HIGH = 110, 220  # thresholds of the Canny detector
UNEXPECTED = 0.1  # weight of a vote where no side of a screen is expected
EVERYWHERE = 0.3  # probability of a side that counts for every edge if sides are expected everywhere
UNLIKELY = 0.02  # smallest probability of a side for an edge to vote
MIN_EDGE_COSINE = 0.93  # cosine of the largest angle between an edge and its line

# The channels of `Lines.sums`: edges that get lighter along the normal; edges that get darker; the grey level and its square on
# the near side; the same on the far side; the probability of a screen's side where there is an edge.
LIGHTER, DARKER, NEAR_GREY, NEAR_SQUARED, FAR_GREY, FAR_SQUARED, SCREEN_SIDE = CHANNELS = range(7)


@dataclass(frozen=True)
class Lines:
    """Lines x cos(angle) + y sin(angle) = distance, with x and y counted from the picture's middle.

    `normal`: float32 (L, 2), unit vectors. `distance`: (L,). `vertical`: bool (L,). `sums`: float32 (L, T + 1, 7), cumulative
    sums along the line of the channels LIGHTER to SCREEN_SIDE. `start`: position of the first sample along the line.
    `unexpected`: the weight of an edge where no side of a screen is expected.
    """

    normal: np.ndarray
    distance: np.ndarray
    vertical: np.ndarray
    sums: np.ndarray
    start: float
    unexpected: float = UNEXPECTED

    @property
    def direction(self) -> np.ndarray:
        """(L, 2), the normals rotated by 90 degrees."""
        return np.stack([-self.normal[:, 1], self.normal[:, 0]], 1)

    def between(
        self, line: np.ndarray, begin: np.ndarray, end: np.ndarray, sums: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums (..., 7) over segments of lines, and the number of samples in each, at least 1.

        Args:
            line: Indices of lines (...).
            begin: Positions along the lines (...), as `start`.
            end: Positions along the lines (...).
            sums: Other cumulative sums (L, T + 1, ...); by default those of the lines.
        """
        sums = self.sums if sums is None else sums
        at = [np.rint((place - self.start) / STEP).clip(0, sums.shape[1] - 1).astype(np.intp) for place in (begin, end)]
        low, high = np.minimum(*at), np.maximum(*at)
        return sums[line, high] - sums[line, low], np.maximum(high - low, 1)


def find_lines(image: np.ndarray, likely: np.ndarray, everywhere: bool = False) -> Lines:
    """The strongest straight edges of a picture uint8 RGB (H, W, 3).

    A Hough transform in which each pixel votes for the direction of its own edge only (Ballard 1981,
    https://doi.org/10.1016/0031-3203(81)90009-1), followed by a least-squares fit of each line to the edges along it.
    `likely` (h, w): the probability of a screen's side in each part of the picture; it gives edges there more weight, unless
    sides are expected `everywhere`.
    """
    smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
    likely = cv2.resize(likely, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    expected = np.full_like(likely, EVERYWHERE) if everywhere else likely
    dx, dy = _gradient(smooth, expected)
    angles, distances = _vote(dx, dy, expected)
    if not len(angles):
        return Lines(np.zeros((0, 2)), distances, np.zeros(0, bool), np.zeros((0, 1, len(CHANNELS)), np.float32), 0.0)
    field = cv2.merge([dx, dy, cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY).astype(np.float32), likely])
    angles, distances = _fit(field, angles, distances, LOW)
    measured = _measure(field, angles, distances, LOW)
    return replace(measured, unexpected=1.0) if everywhere else measured


def _gradient(smooth: np.ndarray, likely: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients with respect to x and y, float32 (H, W), of the channel with the strongest one, relative to the
    surroundings.

    Faint edges in dark parts count as much as those in bright parts, and edges of a texture count little. Where a side of a
    screen is `likely`, faint edges get more weight, for example a dark picture on a dark web page.
    """
    steepest: tuple[np.ndarray, ...] = ()
    for channel in cv2.split(smooth):
        dx, dy = cv2.Sobel(channel, cv2.CV_32F, 1, 0), cv2.Sobel(channel, cv2.CV_32F, 0, 1)
        strength = cv2.magnitude(dx, dy)
        if steepest:
            more = cv2.compare(strength, steepest[2], cv2.CMP_GT)
            for new, old in zip((dx, dy, strength), steepest, strict=True):
                cv2.copyTo(new, more, old)
        else:
            steepest = dx, dy, strength
    dx, dy, strength = steepest
    gain = UNIT * (1 + EXPECTED * likely) / (cv2.blur(strength, (AROUND, AROUND)) + FAINT)
    return dx * gain, dy * gain


def _vote(dx: np.ndarray, dy: np.ndarray, likely: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lines with the most votes, vertical and horizontal ones: angles in radians (-45 to 135 degrees), and distances."""
    edges = cv2.Canny(dx.astype(np.int16), dy.astype(np.int16), LOW, HIGH, L2gradient=True)
    voters = cv2.findNonZero(cv2.bitwise_and(edges, (likely > UNLIKELY).view(np.uint8)))
    columns, rows = voters.reshape(-1, 2).T if voters is not None else np.zeros((2, 0), np.intp)
    angle = np.rad2deg(np.arctan2(dy[rows, columns], dx[rows, columns]))
    height, width = edges.shape
    x, y, radius = columns - (width - 1) / 2, rows - (height - 1) / 2, np.hypot(width, height) / 2
    degree = np.mod(np.rint(angle).astype(np.int32) + 45, 180)
    bins = int(2 * radius) + 5
    turn = np.deg2rad(np.arange(180) - 45).astype(np.float32)
    cosine, sine = np.cos(turn), np.sin(turn)
    x, y = x.astype(np.float32), y.astype(np.float32)
    cells = []
    for offset in range(-VOTE_SPREAD, VOTE_SPREAD + 1):
        at = np.mod(degree + offset, 180)
        cells.append(at * bins + (x * cosine[at] + y * sine[at] + (radius + 2.5)).astype(np.int32))
    weights = np.tile(UNEXPECTED + likely[rows, columns], 2 * VOTE_SPREAD + 1)
    counts = np.bincount(np.concatenate(cells), weights, minlength=180 * bins).reshape(180, bins)
    votes = cv2.blur(counts.astype(np.float32), (3, 1), borderType=cv2.BORDER_CONSTANT)
    peak = (votes == cv2.dilate(votes, np.ones((9, 5), np.uint8))) & (votes > 0)
    chosen = []
    for family in (slice(0, 90), slice(90, 180)):
        at = np.flatnonzero(peak[family])
        strength = votes[family].ravel()[at]
        best = at[np.argsort(-strength, kind="stable")[:PER_FAMILY]]
        chosen.append(best + family.start * bins)
    best = np.concatenate(chosen)
    return turn[best // bins], (best % bins - (radius + 2)).astype(np.float32)


def _sample(
    field: np.ndarray, angles: np.ndarray, distances: np.ndarray, offsets: np.ndarray, step: float
) -> tuple[np.ndarray, np.ndarray]:
    """The field sampled along lines, at offsets along their normals: (L, O, T, C), and the positions of the samples (T,)."""
    height, width = field.shape[:2]
    half = np.hypot(height, width) / 2
    along = np.arange(-half, half + step, step, dtype=np.float32)
    normal = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    away = (distances[:, None] + offsets[None]).astype(np.float32)[..., None]
    x = normal[:, 0, None, None] * away - normal[:, 1, None, None] * along + np.float32((width - 1) / 2)
    y = normal[:, 1, None, None] * away + normal[:, 0, None, None] * along + np.float32((height - 1) / 2)
    shape = x.shape
    flat = cv2.remap(
        field, x.reshape(-1, shape[2]), y.reshape(-1, shape[2]), cv2.INTER_NEAREST, borderValue=(0, 0, 0, 0)
    )
    return flat.reshape(*shape, field.shape[2]), along


def _fit(
    field: np.ndarray, angles: np.ndarray, distances: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Angles and distances of the lines, each fitted by least squares to the edges within REACH."""
    offsets = np.arange(-REACH + 1, REACH, dtype=np.float32)
    samples, along = _sample(field, angles, distances, offsets, 2 * STEP)
    across = np.abs(samples[..., 0] * np.cos(angles)[:, None, None] + samples[..., 1] * np.sin(angles)[:, None, None])
    best = across.argmax(1)[:, None]
    before, top, after = (
        np.take_along_axis(across, np.clip(best + step, 0, len(offsets) - 1), 1)[:, 0] for step in (-1, 0, 1)
    )
    weight = (top > threshold).astype(np.float32)
    place = offsets[best[:, 0]] + (after - before) / (2 * (2 * top - before - after) + 1e-3)  # maximum of a parabola
    total = weight.sum(1) + 1e-3
    mean_t, mean_o = (weight * along).sum(1) / total, (weight * place).sum(1) / total
    t = along[None] - mean_t[:, None]
    slope = (weight * t * (place - mean_o[:, None])).sum(1) / ((weight * t * t).sum(1) + 1e3)
    # offset(t) = mean_o + slope (t - mean_t): a small rotation and a shift
    turned = angles - np.arctan(slope)
    foot_x = np.cos(angles) * (distances + mean_o) - np.sin(angles) * mean_t
    foot_y = np.sin(angles) * (distances + mean_o) + np.cos(angles) * mean_t
    return turned, np.cos(turned) * foot_x + np.sin(turned) * foot_y


def _measure(field: np.ndarray, angles: np.ndarray, distances: np.ndarray, threshold: float) -> Lines:
    """The lines with the cumulative sums along them."""
    offsets = np.array([-BESIDE, -NEAR, -NEAR / 3, NEAR / 3, NEAR, BESIDE], np.float32)
    samples, along = _sample(field, angles, distances, offsets, STEP)
    inner = samples[:, 1:5]
    across = inner[..., 0] * np.cos(angles)[:, None, None] + inner[..., 1] * np.sin(angles)[:, None, None]
    steep = np.sqrt(inner[..., 0] ** 2 + inner[..., 1] ** 2)
    edge = np.where(np.abs(across) > MIN_EDGE_COSINE * steep, across, 0)
    lighter, darker = edge.max(1) > threshold, edge.min(1) < -threshold
    lighter &= edge.max(1) >= -edge.min(1)
    near, far = samples[:, 0, :, 2], samples[:, 5, :, 2]
    likely = samples[:, 2, :, 3] * (lighter | darker)
    values = np.stack(
        [lighter, darker & ~lighter, near, near * near, far, far * far, likely], 2
    )  # in the order of CHANNELS
    values = values.astype(np.float32)
    sums = np.zeros((len(angles), len(along) + 1, len(CHANNELS)), np.float32)
    np.cumsum(values, 1, out=sums[:, 1:], dtype=np.float32)
    normal = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    return Lines(normal, distances, np.abs(normal[:, 0]) > np.abs(normal[:, 1]), sums, float(along[0]) - STEP / 2)
