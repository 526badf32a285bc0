"""Composed photographs of thumbnails on screens and on paper, with their four corners known.

A scene is a flat arrangement (a device, a letterboxed player, a page of thumbnails, a print) in a plane, seen by a camera
at an angle in front of a background, then what models/distortions.py does to it. Everything random comes from one seed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from capture.quads import area, prominence
from models.distortions import DISTORTIONS
from models.picture import read

WIDE, UPRIGHT = (1280, 720), ((720, 1280), (960, 1280))  # width and height of a frame, as a phone is held
KINDS = {"device": 0.4, "player": 0.15, "page": 0.3, "print": 0.15}  # and how often
THUMBNAIL = (-8.0, -4.5, 8.0, 4.5)  # in the plane
SEEN = 8.0  # levels of difference that can be seen
CLEAR = 1.1  # times by which the thumbnail aimed at is more prominent than any other on its page
AREA = (0.10, 1.0)  # of the frame, of a thumbnail; what does not fit at its angle is smaller
WHOLE = (0.6, 1.0)  # of the frame, of a page that is photographed as a whole
TILT, ROLL = 35.0, 30.0  # degrees
PICTURES = {".jpg", ".jpeg", ".png", ".webp"}

Rng = np.random.Generator
Box = tuple[float, float, float, float]  # left, top, right, bottom in the plane


@dataclass(frozen=True)
class Scene:
    """`pixels`: uint8 RGB (H, W, 3). `corners`: float64 (4, 2), x and y, clockwise from the thumbnail's top left.

    `others`: the corners (N, 4, 2) of the other thumbnails of a page that are wholly in the frame.
    """

    pixels: np.ndarray
    corners: np.ndarray
    others: np.ndarray
    kind: str
    thumbnail: Path


@dataclass
class _Plane:
    """Rectangles of light and of matter to be painted in order. `thumbnails`: where they are; `framed`: what the camera is
    pointed at, `area` how much of the frame that may take, and `central` whether it is in the middle."""

    panels: list[tuple[Box, np.ndarray | tuple[float, ...], float, bool]] = field(default_factory=list)
    thumbnails: tuple[Box, ...] = (THUMBNAIL,)
    framed: Box = THUMBNAIL
    area: tuple[float, float] = AREA
    central: bool = False

    def paint(self, box: Box, what: np.ndarray | tuple[float, ...], radius: float = 0.0, shines: bool = False) -> None:
        self.panels.append((box, what, radius, shines))


def pictures(folder: Path) -> list[Path]:
    """All pictures below a folder, in order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)


def compose(
    seed: int,
    thumbnails: Sequence[Path],
    backgrounds: Sequence[Path],
    size: tuple[int, int] = WIDE,
    least: float = AREA[0],
) -> Scene:
    """The scene of that seed in a frame of `size` (width, height), equal for equal arguments. `least`: of the frame, what the
    thumbnail aimed at takes on a page that is photographed as a whole.

    One in which nobody could see where the thumbnail ends, such as black on a black page, or which of several is aimed at, is
    drawn again.
    """
    kind = ""
    for attempt in itertools.count():
        rng = np.random.default_rng([seed, attempt])
        drawn = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        kind = kind or drawn  # what is drawn again stays of its kind
        chosen = [thumbnails[i] for i in rng.integers(len(thumbnails), size=12)]
        plane = _PLANES[kind](rng, chosen)
        homography = _camera(rng, size, plane)
        room = backgrounds[int(rng.integers(len(backgrounds)))]
        there = np.array([_project(homography, _corners(box)) for box in plane.thumbnails])
        whole = np.flatnonzero(((there >= 0) & (there <= size)).all((1, 2)))
        weight = prominence(there[whole], size[::-1])
        order = np.argsort(-weight)
        if not len(whole) or (len(whole) > 1 and weight[order[0]] < CLEAR * weight[order[1]]):
            continue
        aimed, *others = whole[order]
        if plane.framed != THUMBNAIL and area(there[aimed]) < least * size[0] * size[1]:
            continue
        light, lit = _shine(rng, plane, homography, kind, room, size)
        if _visible(light, there[aimed]):
            break
    return Scene(_photograph(rng, light, lit), there[aimed], there[others], kind, chosen[aimed % len(chosen)])


def _shine(
    rng: Rng, plane: _Plane, homography: np.ndarray, kind: str, background: Path, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The light that reaches the camera, float32 (H, W, 3) as exposed, and where it comes from a screen."""
    room = math.exp(rng.uniform(math.log(0.08), math.log(1.2)))
    pixels = _room(rng, background, room, size)
    density = 1.3 * cv2.arcLength(_project(homography, _corners(THUMBNAIL)).astype(np.float32), True) / 50
    glow, black = rng.uniform(0.75, 1.1), rng.uniform(4, 22)
    lit = np.zeros(pixels.shape[:2], np.float32)
    for box, what, radius, shines in plane.panels:
        colours, cover = _texture(box, what, radius, density)
        if shines:
            colours = colours * (glow * (255 - black) / 255) + (black + 12 * room)
        else:
            colours = colours * (room if kind != "print" else max(room, 0.3))
        mask = _lay(pixels, colours, cover, box, homography)
        lit = np.maximum(lit, mask) if shines else lit * (1 - mask)
    exposure = np.clip(
        200 / max(np.percentile(pixels[::8, ::8].max(2), 95), 1), 1, 4
    )  # as far as cameras go by themselves
    return np.clip(pixels * exposure, 0, 255), lit


def _visible(light: np.ndarray, corners: np.ndarray) -> bool:
    """Whether each side of the thumbnail differs from what is beside it along at least half of its length."""
    shares, last = np.linspace(0.05, 0.95, 60)[:, None], (light.shape[1] - 1, light.shape[0] - 1)
    for begin, end in zip(corners, np.roll(corners, -1, 0), strict=True):
        normal = np.array([begin[1] - end[1], end[0] - begin[0]]) / np.linalg.norm(end - begin)
        points = begin + shares * (end - begin)
        inside, outside = (
            light[tuple(np.clip(np.rint(points + away * normal), 0, last).astype(int).T[::-1])] for away in (4, -4)
        )
        if (np.abs(inside - outside).max(-1) > SEEN).mean() < 0.5:
            return False
    return True


def _device(rng: Rng, chosen: list[Path]) -> _Plane:
    """The thumbnail fills the screen of a monitor, laptop, phone or television."""
    plane = _Plane()
    _body(plane, rng, THUMBNAIL)
    plane.paint(THUMBNAIL, _thumbnail(chosen[0]), rng.choice([0, rng.uniform(0, 0.7)]), shines=True)
    return plane


def _player(rng: Rng, chosen: list[Path]) -> _Plane:
    """A screen of another shape with black bars, above and below or left and right."""
    plane = _Plane()
    bar = rng.uniform(0.3, 2.5)
    box = (-8 - bar, -4.5, 8 + bar, 4.5) if rng.random() < 0.4 else (-8.0, -4.5 - bar, 8.0, 4.5 + bar)
    _body(plane, rng, box)
    plane.paint(box, (0.0, 0.0, 0.0), shines=True)
    plane.paint(THUMBNAIL, _thumbnail(chosen[0]), shines=True)
    return plane


def _page(rng: Rng, chosen: list[Path]) -> _Plane:
    """One of several on a page, dark or light, with lines of text: a grid, or a player beside a column."""
    plane = _Plane(central=True)
    dark = rng.random() < 0.5
    paper = (15.0,) * 3 if dark else (250.0,) * 3
    ink = (225.0,) * 3 if dark else (30.0,) * 3
    radius = rng.choice([0.0, rng.uniform(0.1, 0.7)])
    boxes: list[Box] = [THUMBNAIL]
    if rng.random() < 0.7:
        wide, tall = 16 + rng.uniform(0.6, 2), 9 + rng.uniform(1, 6)
        whole = rng.random() < 0.7
        left, right, above, below = rng.integers(0, 2 if whole else 3, 4)  # columns and rows beside the first
        page = (-(left + 0.5) * wide - 1, -(above + 0.5) * tall, (right + 0.5) * wide + 1, (below + 0.5) * tall)
        if whole:
            plane.framed, plane.area = page, WHOLE
        boxes += [
            (x * wide - 8, y * tall - 4.5, x * wide + 8, y * tall + 4.5)
            for x in range(-left, right + 1) for y in range(-above, below + 1) if (x, y) != (0, 0)
        ]  # fmt: skip
    else:
        page = (-9.5, -6.5, 18.0, 12.0)
        boxes += [(9 + 0.0, -4.5 + 3.0 * n, 9 + 4.6, -4.5 + 3.0 * n + 2.6) for n in range(5)]
    if rng.random() < 0.5:
        _body(plane, rng, page)
    plane.paint(page, paper, shines=True)
    plane.thumbnails = tuple(boxes)
    for box, path in zip(boxes, itertools.cycle(chosen), strict=False):
        width, height = box[2] - box[0], box[3] - box[1]
        for line in range(rng.integers(1, 4)):
            top = box[3] + 0.08 * height * (1 + line)
            end = box[0] + width * rng.uniform(0.4, 0.95)
            if top + 0.04 * height < page[3] and width > 10:
                plane.paint((box[0] + 0.5, top, end, top + 0.04 * height), ink, shines=True)
        plane.paint(box, _thumbnail(path), radius * width / 16, shines=True)
    return plane


def _print(rng: Rng, chosen: list[Path]) -> _Plane:
    """On paper, with a margin or cut to its edge."""
    plane = _Plane()
    if rng.random() < 0.6:
        left, top, right, bottom = rng.uniform(0.3, 4, 4)
        plane.paint((-8 - left, -4.5 - top, 8 + right, 4.5 + bottom), (rng.uniform(215, 250),) * 3)
    plane.paint(THUMBNAIL, _thumbnail(chosen[0]))
    return plane


_PLANES = {"device": _device, "player": _player, "page": _page, "print": _print}


def _body(plane: _Plane, rng: Rng, screen: Box) -> None:
    """A bezel around a screen: mostly dark, with a wider chin or without, and a stand or keyboard below now and then."""
    side = rng.uniform(0.15, 1.3)
    chin = side * rng.choice([1, rng.uniform(1, 3)])
    level = rng.choice([rng.uniform(8, 45), rng.uniform(8, 45), rng.uniform(120, 230)])
    colour = tuple(float(np.clip(level + tint, 0, 255)) for tint in rng.uniform(-6, 6, 3))
    left, top, right, bottom = screen
    if rng.random() < 0.5:
        shade = tuple(float(rng.uniform(20, 180)) for _ in range(3))
        middle, half = (left + right) / 2, (right - left) * rng.uniform(0.08, 0.5)
        plane.paint((middle - half, bottom + chin, middle + half, bottom + chin + rng.uniform(1, 6)), shade)
    plane.paint((left - side, top - side, right + side, bottom + chin), colour, rng.uniform(0, 1) * side)


def _camera(rng: Rng, size: tuple[int, int], plane: _Plane) -> np.ndarray:
    """Plane -> pixels (3, 3): a phone's camera at an angle, as near as the area drawn asks and the frame allows."""
    least, most = plane.area
    share = math.exp(rng.uniform(math.log(least), math.log(most)))
    focal = rng.uniform(0.8, 1.4) * max(size)
    roll = rng.uniform(-ROLL, ROLL) if rng.random() < 0.5 else float(np.clip(rng.normal(0, 5), -ROLL, ROLL))
    pitch, yaw = rng.normal(0, TILT / 2.5, 2).clip(-TILT, TILT)
    turn = np.eye(3)
    for axis, angle in enumerate((pitch, yaw, roll)):
        turn = cv2.Rodrigues(np.eye(3)[axis] * math.radians(angle))[0] @ turn

    def view(distance: float) -> np.ndarray:
        pose = np.column_stack([turn[:, :2], (0, 0, distance)])
        return np.diag([focal, focal, 1]) @ pose

    box, (width, height) = _corners(plane.framed), size
    distance = 30.0
    for _ in range(4):
        seen = _project(view(distance), box)
        extent = np.ptp(seen, 0)
        nearest = max((extent / (width - 4, height - 4)).max(), 1e-6)
        distance *= max(math.sqrt(cv2.contourArea(seen.astype(np.float32)) / (share * width * height)), nearest)
    seen = _project(view(distance), box)
    room = np.maximum((width - 2, height - 2) - np.ptp(seen, 0), 2)
    place = np.clip(rng.normal(0.5, 0.2, 2), 0, 1) if plane.central else rng.uniform(0, 1, 2)
    shift = 1 + place * (room - 1) - seen.min(0)
    return np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]]) @ view(distance)


def _corners(box: Box) -> np.ndarray:
    left, top, right, bottom = box
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)


def _project(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    return cv2.perspectiveTransform(points[None], homography)[0]


def _thumbnail(path: Path) -> np.ndarray:
    return cv2.resize(read(path).pixels, (1280, 720), interpolation=cv2.INTER_AREA)


def _texture(box: Box, what: np.ndarray | tuple[float, ...], radius: float, density: float) -> tuple[np.ndarray, ...]:
    """A panel's colours float32 (h, w, 3), or (3,) where there is one, and where it covers (h, w), rounded at its corners."""
    if not isinstance(what, np.ndarray):  # its shape is all there is to see of it
        density = min(density, 300 / (box[2] - box[0])) if radius > 0 else 2 / min(box[2] - box[0], box[3] - box[1])
    width, height = (max(2, round(length * density)) for length in (box[2] - box[0], box[3] - box[1]))
    if isinstance(what, np.ndarray):
        colours = np.asarray(cv2.resize(what, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    else:
        colours = np.array(what, np.float32)
    cover = np.ones((height, width), np.float32)
    if (r := round(radius * density)) > 0:
        x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        away = np.hypot(
            np.maximum(r - np.minimum(x, width - 1 - x), 0), np.maximum(r - np.minimum(y, height - 1 - y), 0)
        )
        cover = np.clip(r + 0.5 - away, 0, 1)
    return colours, cover


def _lay(pixels: np.ndarray, colours: np.ndarray, cover: np.ndarray, box: Box, homography: np.ndarray) -> np.ndarray:
    """Paint the panel over the picture so far, and return its mask in the frame."""
    height, width = cover.shape
    grid = np.array([[(box[2] - box[0]) / width, 0, box[0]], [0, (box[3] - box[1]) / height, box[1]], [0, 0, 1]])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV counts from the middles of pixels
    warp = np.linalg.inv(half) @ homography @ grid @ half
    # Edges are drawn finer than the panel's own pixels, which may be large.
    polygon = _project(homography, _corners(box))
    mask = np.zeros(pixels.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, np.rint((polygon - 0.5) * 256).astype(np.int32), 255, cv2.LINE_AA, shift=8)
    alpha = mask.astype(np.float32) / 255
    x, y, wide, high = cv2.boundingRect(mask)  # all that changes
    part, there = (slice(y, y + high), slice(x, x + wide)), np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]]) @ warp
    if not wide:
        return alpha
    if cover.min() < 1:
        alpha[part] *= cv2.warpPerspective(cover, there, (wide, high), borderMode=cv2.BORDER_REPLICATE)
    if colours.ndim == 3:
        colours = cv2.warpPerspective(colours, there, (wide, high), borderMode=cv2.BORDER_REPLICATE)
    pixels[part] += (colours - pixels[part]) * alpha[part][..., None]
    return alpha


def _room(rng: Rng, path: Path, light: float, size: tuple[int, int]) -> np.ndarray:
    """A background that fills the frame, at most so sharp as it is far behind."""
    pixels, (width, height) = read(path).pixels, size
    scale = max(width / pixels.shape[1], height / pixels.shape[0])
    pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)[:height, :width]
    return cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.6, 6)).astype(np.float32) * light


def _photograph(rng: Rng, light: np.ndarray, lit: np.ndarray) -> np.ndarray:
    """What the camera makes of it: fringes where a screen shines, a lamp's reflection, blur, noise, JPEG."""
    pixels = light.astype(np.uint8)
    if rng.random() < 0.4:
        fringed = DISTORTIONS["moire"](pixels, rng.uniform(0.1, 0.6), rng)
        pixels = (pixels + (fringed.astype(np.float32) - pixels) * lit[..., None]).astype(np.uint8)
    if rng.random() < 0.4:
        pixels = DISTORTIONS["glare"](pixels, rng.uniform(0.2, 0.9), rng)
    pixels = DISTORTIONS["blur"](pixels, rng.uniform(0.05, 0.3), rng)
    pixels = DISTORTIONS["gaussian-noise"](pixels, rng.uniform(0.02, 0.25), rng)
    return DISTORTIONS["jpeg"](pixels, rng.uniform(0.0, 0.7), rng)
