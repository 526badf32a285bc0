"""The parts of composed photographs: a flat arrangement, the camera that sees it, its light, and the effects of the camera."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from core.corruptions import CORRUPTIONS
from core.images import read

THUMBNAIL = (-8.0, -4.5, 8.0, 4.5)  # in the plane
VISIBLE_DIFFERENCE = 8.0  # levels of 255
AREA = (0.10, 1.0)  # of a thumbnail, as a share of the frame; smaller where it does not fit at its angle
MAX_TILT, MAX_ROLL = 35.0, 30.0  # degrees

Rng = np.random.Generator
Box = tuple[float, float, float, float]  # left, top, right, bottom in the plane


@dataclass(frozen=True)
class Light:
    """The light of a scene. `room`: limits of the light of the room; a display emits about 1. `glow`: limits of the light of a
    display. `exposed`: the level that the brightest parts get by the exposure. `blurred`: limits of the blur of the background,
    in pixels.
    """

    room: tuple[float, float] = (0.08, 1.2)
    glow: tuple[float, float] = (0.75, 1.1)
    exposed: float = 200.0
    blurred: tuple[float, float] = (0.6, 6.0)


@dataclass
class Plane:
    """Rectangles that are painted in order.

    `panels`: each a box, its picture or colour, the radius of its corners, and whether it emits light. `thumbnails`: their
    boxes. `framed`: the box at which the camera points. `area`: limits of its share of the frame. `central`: whether it is in
    the middle of the frame. `tilt`, `roll`: the largest angles of the camera, in degrees. `turned`: degrees
    by which the whole arrangement is turned.
    """

    panels: list[tuple[Box, np.ndarray | tuple[float, ...], float, bool]] = field(default_factory=list)
    thumbnails: tuple[Box, ...] = (THUMBNAIL,)
    framed: Box = THUMBNAIL
    area: tuple[float, float] = AREA
    central: bool = False
    tilt: float = MAX_TILT
    roll: float = MAX_ROLL
    turned: float = 0.0

    def paint(self, box: Box, fill: np.ndarray | tuple[float, ...], radius: float = 0.0, shines: bool = False) -> None:
        """Add a panel on top of the others."""
        self.panels.append((box, fill, radius, shines))


def light_scene(
    rng: Rng,
    plane: Plane,
    homography: np.ndarray,
    printed: bool,
    background: Path | np.ndarray,
    size: tuple[int, int],
    conditions: Light = Light(),
) -> tuple[np.ndarray, np.ndarray]:
    """The light in the camera after exposure, float32 (H, W, 3), and the share of it that a screen emits (H, W)."""
    room_light = math.exp(rng.uniform(*np.log(conditions.room)))
    pixels = draw_background(rng, background, room_light, size, conditions.blurred)
    density = 1.3 * cv2.arcLength(project(homography, box_corners(plane.thumbnails[0])).astype(np.float32), True) / 50
    glow, black = rng.uniform(*conditions.glow), rng.uniform(4, 22)
    lit = np.zeros(pixels.shape[:2], np.float32)
    for box, fill, radius, shines in plane.panels:
        colours, cover = texture(box, fill, radius, density)
        if shines:
            colours = colours * (glow * (255 - black) / 255) + (black + 12 * room_light)
        else:
            colours = colours * (max(room_light, 0.3) if printed else room_light)
        mask = paint_panel(pixels, colours, cover, box, homography)
        lit = np.maximum(lit, mask) if shines else lit * (1 - mask)
    exposure = np.clip(
        conditions.exposed / max(np.percentile(pixels[::8, ::8].max(2), 95), 1), 1, 4
    )  # like the automatic exposure of a camera
    return np.clip(pixels * exposure, 0, 255), lit


def has_visible_edges(light: np.ndarray, corners: np.ndarray) -> bool:
    """Whether each side of the thumbnail differs visibly from its surroundings along at least half of its length."""
    shares, last = np.linspace(0.05, 0.95, 60)[:, None], (light.shape[1] - 1, light.shape[0] - 1)
    for begin, end in zip(corners, np.roll(corners, -1, 0), strict=True):
        normal = np.array([begin[1] - end[1], end[0] - begin[0]]) / np.linalg.norm(end - begin)
        points = begin + shares * (end - begin)
        inside, outside = (
            light[tuple(np.clip(np.rint(points + away * normal), 0, last).astype(int).T[::-1])] for away in (4, -4)
        )
        if (np.abs(inside - outside).max(-1) > VISIBLE_DIFFERENCE).mean() < 0.5:
            return False
    return True


def draw_camera(rng: Rng, size: tuple[int, int], plane: Plane) -> np.ndarray:
    """The homography (3, 3) from the plane to pixels. The distance of the camera gives the drawn area, if it fits the frame."""
    least, most = plane.area
    share = math.exp(rng.uniform(math.log(least), math.log(most)))
    focal = rng.uniform(0.8, 1.4) * max(size)
    roll = (
        rng.uniform(-plane.roll, plane.roll)
        if rng.random() < 0.5
        else float(np.clip(rng.normal(0, 5), -plane.roll, plane.roll))
    )
    pitch, yaw = rng.normal(0, plane.tilt / 2.5, 2).clip(-plane.tilt, plane.tilt)
    turn = np.eye(3)
    for axis, angle in enumerate((pitch, yaw, roll + plane.turned)):
        turn = cv2.Rodrigues(np.eye(3)[axis] * math.radians(angle))[0] @ turn

    def view(distance: float) -> np.ndarray:
        pose = np.column_stack([turn[:, :2], (0, 0, distance)])
        return np.diag([focal, focal, 1]) @ pose

    box, (width, height) = box_corners(plane.framed), size
    distance = 30.0
    for _ in range(4):
        projected = project(view(distance), box)
        extent = np.ptp(projected, 0)
        nearest = max((extent / (width - 4, height - 4)).max(), 1e-6)
        distance *= max(math.sqrt(cv2.contourArea(projected.astype(np.float32)) / (share * width * height)), nearest)
    projected = project(view(distance), box)
    free = np.maximum((width - 2, height - 2) - np.ptp(projected, 0), 2)
    place = np.clip(rng.normal(0.5, 0.2, 2), 0, 1) if plane.central else rng.uniform(0, 1, 2)
    shift = 1 + place * (free - 1) - projected.min(0)
    return np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]]) @ view(distance)


def box_corners(box: Box) -> np.ndarray:
    """The corners (4, 2) of a box, clockwise from the top left."""
    left, top, right, bottom = box
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)


def project(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 2) of the plane in pixels."""
    return cv2.perspectiveTransform(points[None], homography)[0]


def texture(box: Box, fill: np.ndarray | tuple[float, ...], radius: float, density: float) -> tuple[np.ndarray, ...]:
    """Colours and coverage of a panel.

    The colours are float32 (h, w, 3), or (3,) for a plain panel. The coverage (h, w) has rounded corners.

    Args:
        box: Of the panel, in the plane.
        fill: Its picture or colour.
        radius: Of its corners, in the plane.
        density: Pixels per unit of the plane.
    """
    if not isinstance(fill, np.ndarray):  # a plain panel needs pixels only for its shape
        density = min(density, 300 / (box[2] - box[0])) if radius > 0 else 2 / min(box[2] - box[0], box[3] - box[1])
    width, height = (max(2, round(length * density)) for length in (box[2] - box[0], box[3] - box[1]))
    if isinstance(fill, np.ndarray):
        colours = np.asarray(cv2.resize(fill, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    else:
        colours = np.array(fill, np.float32)
    cover = np.ones((height, width), np.float32)
    if (r := round(radius * density)) > 0:
        x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        away = np.hypot(
            np.maximum(r - np.minimum(x, width - 1 - x), 0), np.maximum(r - np.minimum(y, height - 1 - y), 0)
        )
        cover = np.clip(r + 0.5 - away, 0, 1)
    return colours, cover


def paint_panel(
    pixels: np.ndarray, colours: np.ndarray, cover: np.ndarray, box: Box, homography: np.ndarray
) -> np.ndarray:
    """Paint a panel into the picture and return its mask in the frame.

    Args:
        pixels: The picture so far.
        colours: Of the panel, from `texture`.
        cover: Of the panel, from `texture`.
        box: Of the panel, in the plane.
        homography: From the plane to pixels.
    """
    height, width = cover.shape
    grid = np.array([[(box[2] - box[0]) / width, 0, box[0]], [0, (box[3] - box[1]) / height, box[1]], [0, 0, 1]])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV's coordinates start at the centre of a pixel
    warp = np.linalg.inv(half) @ homography @ grid @ half
    # Edges are drawn at 1/256 pixel, because the panel's own pixels may be large.
    polygon = project(homography, box_corners(box))
    mask = np.zeros(pixels.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, np.rint((polygon - 0.5) * 256).astype(np.int32), 255, cv2.LINE_AA, shift=8)
    alpha = mask.astype(np.float32) / 255
    x, y, wide, high = cv2.boundingRect(mask)  # the part that changes
    part, local_warp = (slice(y, y + high), slice(x, x + wide)), np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]]) @ warp
    if not wide:
        return alpha
    if cover.min() < 1:
        alpha[part] *= cv2.warpPerspective(cover, local_warp, (wide, high), borderMode=cv2.BORDER_REPLICATE)
    if colours.ndim == 3:
        colours = cv2.warpPerspective(colours, local_warp, (wide, high), borderMode=cv2.BORDER_REPLICATE)
    pixels[part] += (colours - pixels[part]) * alpha[part][..., None]
    return alpha


def draw_background(
    rng: Rng, behind: Path | np.ndarray, light: float, size: tuple[int, int], blurred: tuple[float, float]
) -> np.ndarray:
    """A background that fills the frame, out of focus."""
    pixels, (width, height) = read(behind).pixels if isinstance(behind, Path) else behind, size
    scale = max(width / pixels.shape[1], height / pixels.shape[0])
    pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)[:height, :width]
    return cv2.GaussianBlur(pixels, (0, 0), rng.uniform(*blurred)).astype(np.float32) * light


def apply_camera(rng: Rng, light: np.ndarray, lit: np.ndarray) -> np.ndarray:
    """Apply the effects of the camera: moiré on screens, the reflection of a lamp, blur, noise, JPEG."""
    pixels = light.astype(np.uint8)
    if rng.random() < 0.4:
        fringed = CORRUPTIONS["moire"](pixels, rng.uniform(0.1, 0.6), rng)
        pixels = (pixels + (fringed.astype(np.float32) - pixels) * lit[..., None]).astype(np.uint8)
    if rng.random() < 0.4:
        pixels = CORRUPTIONS["glare"](pixels, rng.uniform(0.2, 0.9), rng)
    pixels = CORRUPTIONS["blur"](pixels, rng.uniform(0.05, 0.3), rng)
    pixels = CORRUPTIONS["gaussian-noise"](pixels, rng.uniform(0.02, 0.25), rng)
    return CORRUPTIONS["jpeg"](pixels, rng.uniform(0.0, 0.7), rng)
