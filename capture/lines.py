"""Straight edges of a picture: where they lie, how far they go, and what is on either side of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

PER_FAMILY = 30  # lines kept that are nearly upright, and as many nearly level
STEP = 2.0  # pixels between samples along a line
REACH = 4  # pixels across a line that are looked at, either way
BESIDE = 3.5  # pixels from a line at which its two sides are compared
NEAR = 1.5  # pixels across that an edge may lie off its line
SPREAD = 3  # degrees, either way, over which a pixel votes
UNIT = 100.0  # of an edge's strength: as strong as its surroundings are on average
AROUND = 33  # pixels
EXPECTED = 2.0  # times by which an edge counts for stronger where a side of a screen is sure
FAINT = 6.0  # added to the surroundings: what is fainter is noise
LOW, HIGH = 110, 220  # of Canny
UNEXPECTED = 0.1  # of a vote: what an edge counts where no side of a screen is expected
UNLIKELY = 0.02  # how probable a side must be for an edge to have a vote at all
SLANT = 0.93  # cosine of the angle by which an edge may differ from its line


@dataclass(frozen=True)
class Lines:
    """Lines x cos(angle) + y sin(angle) = distance, with x and y counted from the picture's middle.

    `normal`: float32 (L, 2), unit. `distance`: (L,). `upright`: (L,) bool. `sums`: float32 (L, T + 1, 7), sums over the
    samples before each along the line (edge that gets lighter along the normal, edge that gets darker; level and its
    square on the near side, on the far side; how probable a screen's side is there, where there is an edge). `start`: the
    place along the line of the first sample.
    """

    normal: np.ndarray
    distance: np.ndarray
    upright: np.ndarray
    sums: np.ndarray
    start: float

    @property
    def direction(self) -> np.ndarray:
        """(L, 2), the normals turned by a quarter."""
        return np.stack([-self.normal[:, 1], self.normal[:, 0]], 1)

    def between(
        self, line: np.ndarray, begin: np.ndarray, end: np.ndarray, sums: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums (..., 7) over stretches of lines, and their numbers of samples, at least 1. `begin`, `end`: places; `sums`:
        others of this kind, (L, T + 1, ...)."""
        sums = self.sums if sums is None else sums
        at = [np.rint((place - self.start) / STEP).clip(0, sums.shape[1] - 1).astype(np.intp) for place in (begin, end)]
        low, high = np.minimum(*at), np.maximum(*at)
        return sums[line, high] - sums[line, low], np.maximum(high - low, 1)


def find(image: np.ndarray, likely: np.ndarray) -> Lines:
    """The straightest edges of a picture uint8 RGB (H, W, 3), by a Hough transform in which a pixel votes for its own
    direction only (Ballard 1981), each line then fitted to the edges along it. `likely` (h, w): how probable a screen's side
    is in each part of the picture, which gives its edges more weight."""
    smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
    likely = cv2.resize(likely, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    dx, dy = _gradient(smooth, likely)
    angles, distances = _vote(dx, dy, likely)
    if not len(angles):
        return Lines(np.zeros((0, 2)), distances, np.zeros(0, bool), np.zeros((0, 1, 7), np.float32), 0.0)
    field = cv2.merge([dx, dy, cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY).astype(np.float32), likely])
    angles, distances = _fit(field, angles, distances, LOW)
    return _measure(field, angles, distances, LOW)


def _gradient(smooth: np.ndarray, likely: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradient by x and by y, float32 (H, W), of the channel in which it is steepest, against its surroundings: faint
    edges in the dark count as much as those in glare, and those of a texture little. Where a side of a screen is `likely`
    a fainter one is enough, as of a dark picture on a dark page."""
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
    """The lines with the most votes, of either family: angles in radians from -45 to 135 degrees, and distances."""
    edges = cv2.Canny(dx.astype(np.int16), dy.astype(np.int16), LOW, HIGH, L2gradient=True)
    voters = cv2.findNonZero(cv2.bitwise_and(edges, (likely > UNLIKELY).view(np.uint8)))
    columns, rows = voters.reshape(-1, 2).T if voters is not None else np.zeros((2, 0), np.intp)
    angle = np.rad2deg(np.arctan2(dy[rows, columns], dx[rows, columns]))
    height, width = edges.shape
    x, y, radius = columns - (width - 1) / 2, rows - (height - 1) / 2, np.hypot(width, height) / 2
    whole = np.mod(np.rint(angle).astype(np.int32) + 45, 180)
    bins = int(2 * radius) + 5
    turn = np.deg2rad(np.arange(180) - 45).astype(np.float32)
    cosine, sine = np.cos(turn), np.sin(turn)
    x, y = x.astype(np.float32), y.astype(np.float32)
    cells = []
    for offset in range(-SPREAD, SPREAD + 1):
        at = np.mod(whole + offset, 180)
        cells.append(at * bins + (x * cosine[at] + y * sine[at] + (radius + 2.5)).astype(np.int32))
    weights = np.tile(UNEXPECTED + likely[rows, columns], 2 * SPREAD + 1)
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
    """The field along lines, at offsets along their normals: (L, O, T, C), and the places of the samples (T,)."""
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
    """Each line moved onto the edges within reach of it, by least squares."""
    offsets = np.arange(-REACH + 1, REACH, dtype=np.float32)
    seen, along = _sample(field, angles, distances, offsets, 2 * STEP)
    across = np.abs(seen[..., 0] * np.cos(angles)[:, None, None] + seen[..., 1] * np.sin(angles)[:, None, None])
    best = across.argmax(1)[:, None]
    before, top, after = (
        np.take_along_axis(across, np.clip(best + step, 0, len(offsets) - 1), 1)[:, 0] for step in (-1, 0, 1)
    )
    weight = (top > threshold).astype(np.float32)
    place = offsets[best[:, 0]] + (after - before) / (2 * (2 * top - before - after) + 1e-3)  # the crest of a parabola
    total = weight.sum(1) + 1e-3
    mean_t, mean_o = (weight * along).sum(1) / total, (weight * place).sum(1) / total
    t = along[None] - mean_t[:, None]
    slope = (weight * t * (place - mean_o[:, None])).sum(1) / ((weight * t * t).sum(1) + 1e3)
    # offset(t) = mean_o + slope (t - mean_t): a small turn and a shift
    turned = angles - np.arctan(slope)
    foot_x = np.cos(angles) * (distances + mean_o) - np.sin(angles) * mean_t
    foot_y = np.sin(angles) * (distances + mean_o) + np.cos(angles) * mean_t
    return turned, np.cos(turned) * foot_x + np.sin(turned) * foot_y


def _measure(field: np.ndarray, angles: np.ndarray, distances: np.ndarray, threshold: float) -> Lines:
    """Sums along the lines of what Lines holds."""
    offsets = np.array([-BESIDE, -NEAR, -NEAR / 3, NEAR / 3, NEAR, BESIDE], np.float32)
    seen, along = _sample(field, angles, distances, offsets, STEP)
    inner = seen[:, 1:5]
    across = inner[..., 0] * np.cos(angles)[:, None, None] + inner[..., 1] * np.sin(angles)[:, None, None]
    steep = np.sqrt(inner[..., 0] ** 2 + inner[..., 1] ** 2)
    edge = np.where(np.abs(across) > SLANT * steep, across, 0)
    lighter, darker = edge.max(1) > threshold, edge.min(1) < -threshold
    lighter &= edge.max(1) >= -edge.min(1)
    near, far = seen[:, 0, :, 2], seen[:, 5, :, 2]
    likely = seen[:, 2, :, 3] * (lighter | darker)
    values = np.stack([lighter, darker & ~lighter, near, near * near, far, far * far, likely], 2).astype(np.float32)
    sums = np.zeros((len(angles), len(along) + 1, 7), np.float32)
    np.cumsum(values, 1, out=sums[:, 1:], dtype=np.float32)
    normal = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    return Lines(normal, distances, np.abs(normal[:, 0]) > np.abs(normal[:, 1]), sums, float(along[0]) - STEP / 2)
