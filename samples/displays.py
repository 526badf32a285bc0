"""Composed photographs of displays and prints of every shape, as people take them, and of rooms without any.

samples/photographs.py composes 16:9 thumbnails. Here the shape of what is shown varies from that of an upright phone to that
of a cinema; displays are dim or overexposed, small or cut by a person in front, and other things with straight edges stand
around. All random choices depend on one seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from core.images import read
from samples.clutter import canvas, fill, furnish, keyboard, tint
from samples.scenery import (
    Box,
    Light,
    Plane,
    Rng,
    apply_camera,
    box_corners,
    draw_camera,
    has_visible_edges,
    light_scene,
    project,
)

KINDS = {"phone": 0.3, "viewer": 0.25, "display": 0.25, "projection": 0.08, "sheet": 0.12}  # with their probabilities
SHAPES = (9 / 20, 9 / 16, 2 / 3, 3 / 4, 1.0, 5 / 4, 4 / 3, 3 / 2, 16 / 10, 16 / 9, 2.35)
FRAMES = ((16, 9), (4, 3), (3, 4), (9, 16))
LONGER_SIDES = (400, 480, 560, 720)  # pixels
SURFACE = 144.0  # area of what is shown, in the plane
# Of the light of a scene, with its probability: usual; a dark room; a bright room; overexposed; a dim display.
LIGHTS = {
    Light(blurred=(0.3, 4)): 0.4,
    Light(room=(0.004, 0.08), blurred=(0.3, 4)): 0.25,
    Light(room=(0.8, 1.6), glow=(0.5, 0.9), blurred=(0.3, 3)): 0.12,
    Light(room=(0.1, 0.6), exposed=600, blurred=(0.3, 4)): 0.13,
    Light(room=(0.05, 0.6), glow=(0.12, 0.45), blurred=(0.3, 4)): 0.1,
}
PERSON = 0.08  # probability that someone stands in front
MARGIN = 0.004  # share of the frame by which a corner may lie outside


@dataclass(frozen=True)
class Display:
    """`pixels`: uint8 RGB (H, W, 3). `corners`: float64 (4, 2) of what is shown. `fair`: other right answers (N, 4, 2).

    A scene without a display has no corners: (0, 2).
    """

    pixels: np.ndarray
    corners: np.ndarray
    fair: np.ndarray
    kind: str


@dataclass
class _Arrangement:
    """A plane, the box of what is shown, other boxes that are right answers, and whether it is printed."""

    plane: Plane
    target: Box
    fair: tuple[Box, ...] = ()
    printed: bool = False


def compose_display(seed: int, pictures: Sequence[Path], backgrounds: Sequence[Path]) -> Display:
    """Compose a scene; equal arguments give equal scenes. `pictures` are shown, `backgrounds` stand behind."""
    kind = ""
    for attempt in itertools.count():
        rng = np.random.default_rng([seed, attempt, 7])
        kind = kind or str(rng.choice(list(KINDS), p=list(KINDS.values())))
        arranged = _ARRANGEMENTS[kind](rng, pictures)
        plane, size = arranged.plane, _draw_frame(rng)
        plane.thumbnails, plane.framed = (arranged.target,), arranged.target
        plane.roll = 30.0 if rng.random() < 0.3 else 8.0
        homography = draw_camera(rng, size, plane)
        corners, *fair = (project(homography, box_corners(box)) for box in (arranged.target, *arranged.fair))
        slack = MARGIN * np.array(size)
        if not ((corners >= -slack) & (corners <= size + slack)).all():
            continue
        lights = list(LIGHTS)
        conditions = lights[rng.choice(len(lights), p=list(LIGHTS.values()))]
        behind = furnish(rng, backgrounds, size, int(rng.integers(0, 5)), (0.02, 0.5))
        light, lit = light_scene(rng, plane, homography, arranged.printed, behind, size, conditions)
        if rng.random() < PERSON:
            _stand_in_front(rng, light, corners)
        if has_visible_edges(light, corners):
            break
    inside = [quad for quad in fair if ((quad >= -slack) & (quad <= size + slack)).all()]
    return Display(apply_camera(rng, light, lit), corners, np.array(inside).reshape(-1, 4, 2), kind)


def compose_room(seed: int, backgrounds: Sequence[Path]) -> Display:
    """Compose a scene without a display: furniture, windows, doors, displays that are off."""
    rng = np.random.default_rng([seed, 11])
    size = _draw_frame(rng)
    area = (0.05, 0.4) if rng.random() < 0.4 else (0.25, 1.0)
    pixels = furnish(rng, backgrounds, size, int(rng.integers(1, 5)), area).astype(np.float32)
    pixels = np.clip(pixels * rng.choice([0.3, 0.7, 1, 1, 1.5]), 0, 255)
    dark = np.zeros(pixels.shape[:2], np.float32)
    return Display(apply_camera(rng, pixels, dark), np.zeros((0, 2)), np.zeros((0, 4, 2)), "room")


def _draw_frame(rng: Rng) -> tuple[int, int]:
    """Width and height of the frame."""
    wide, high = FRAMES[rng.integers(len(FRAMES))]
    scale = LONGER_SIDES[rng.integers(len(LONGER_SIDES))] / max(wide, high)
    return round(wide * scale), round(high * scale)


def _box(aspect: float) -> Box:
    width, height = (SURFACE * aspect) ** 0.5 / 2, (SURFACE / aspect) ** 0.5 / 2
    return (-width, -height, width, height)


def _grown(box: Box, left: float, top: float, right: float, bottom: float) -> Box:
    return (box[0] - left, box[1] - top, box[2] + right, box[3] + bottom)


def _fitted(path: Path, aspect: float) -> np.ndarray:
    """The largest part of a picture with an aspect ratio."""
    pixels = read(path).pixels
    height, width = pixels.shape[:2]
    wide, high = min(width, round(height * aspect)), min(height, round(width / aspect))
    left, top = (width - wide) // 2, (height - high) // 2
    scale = 480 / max(wide, high)
    return cv2.resize(
        pixels[top : top + high, left : left + wide], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )


def _picture(rng: Rng, pictures: Sequence[Path], aspect: float) -> np.ndarray:
    return _fitted(pictures[int(rng.integers(len(pictures)))], aspect)


def _text(rng: Rng, pixels: np.ndarray, ink: np.ndarray, top: float, bottom: float, left: float = 0.05) -> None:
    """Lines of text as rows of short bars."""
    high = rng.uniform(0.008, 0.02)
    while top + high < bottom:
        x, end = left, rng.uniform(0.4, 0.97)
        while x < end:
            wide = rng.uniform(0.01, 0.08)
            fill(pixels, x, top, min(x + wide, end), top + high, ink)
            x += wide + 0.012
        top += high * rng.uniform(1.6, 3.5)


def _document(rng: Rng, pictures: Sequence[Path], aspect: float) -> np.ndarray:
    """A page, a window or a list of a user interface."""
    dark = rng.random() < 0.4
    paper, ink = (tint(rng, 8, 60), tint(rng, 170, 250)) if dark else (tint(rng, 190, 255, 20), tint(rng, 10, 110))
    if rng.random() < 0.15:
        paper = rng.uniform(20, 230, 3)
    pixels = canvas(aspect, paper, 480)
    for _ in range(rng.integers(0, 4)):
        left, top = rng.uniform(0, 0.7, 2)
        wide, high = rng.uniform(0.15, 0.6, 2)
        box = left, top, min(left + wide, 0.98), min(top + high, 0.97)
        if rng.random() < 0.5:
            fill(pixels, *box, np.clip(paper + rng.uniform(-40, 40, 3), 0, 255))
        else:
            x0, y0, x1, y1 = (round(share * side) for share, side in zip(box, pixels.shape[1::-1] * 2, strict=True))
            pixels[y0:y1, x0:x1] = cv2.resize(_picture(rng, pictures, 1.0), (x1 - x0, y1 - y0))
    _text(rng, pixels, ink, rng.uniform(0.05, 0.5), rng.uniform(0.5, 0.98), rng.uniform(0.02, 0.4))
    for top, bottom in ((0, rng.uniform(0.02, 0.09)), (1 - rng.uniform(0.02, 0.08), 1)):
        if rng.random() < 0.5:
            fill(pixels, 0, top, 1, bottom, np.clip(paper + rng.uniform(-120, 120), 0, 255))
    return pixels


def _content(rng: Rng, pictures: Sequence[Path], aspect: float) -> np.ndarray:
    return _picture(rng, pictures, aspect) if rng.random() < 0.6 else _document(rng, pictures, aspect)


def _skin(rng: Rng) -> tuple[float, ...]:
    return tuple((np.array([1.0, 0.72, 0.58]) * rng.uniform(60, 235)).tolist())


def _hold(rng: Rng, plane: Plane, body: Box) -> None:
    """Fingers at the sides of a body that is held in a hand."""
    skin = _skin(rng)
    for left in (True, False):
        for _ in range(rng.integers(1, 5)):
            y, thick = rng.uniform(body[1], body[3]), rng.uniform(0.8, 2.2)
            over, away = rng.uniform(-0.1, 0.5), rng.uniform(1, 6)
            x = (body[0] - away, body[0] + over) if left else (body[2] - over, body[2] + away)
            plane.paint((x[0], y, x[1], y + thick), skin, 0.49 * min(thick, x[1] - x[0]))


def _phone(rng: Rng, pictures: Sequence[Path]) -> _Arrangement:
    """An upright or turned phone: the whole screen, or a picture of any shape on it."""
    plane = Plane(area=(0.06, 0.8), turned=float(rng.choice([0, 0, 0, 90, -90, 180])))
    aspect = float(rng.choice([9 / 16, 9 / 18, 9 / 19.5, 9 / 20, 9 / 21, 3 / 4]))
    screen = _box(aspect)
    inner = screen
    fair: tuple[Box, ...] = ()
    if rng.random() < 0.45:  # a picture as wide as the screen
        shape = max(float(rng.choice(SHAPES)), aspect * 1.05)
        wide = screen[2] - screen[0]
        high = wide / shape
        middle = rng.uniform(-0.3, 0.3) * (screen[3] - screen[1] - high)
        inner = (screen[0], middle - high / 2, screen[2], middle + high / 2)
        fair = (screen,)
    edge, radius = rng.uniform(0.08, 0.6), rng.choice([0, rng.uniform(0.2, 1.3)])
    body = _grown(
        screen, edge, edge + rng.choice([0, rng.uniform(0, 2)]), edge, edge + rng.choice([0, rng.uniform(0, 2)])
    )
    held = rng.random() < 0.5
    if held and rng.random() < 0.5:
        _hold(rng, plane, body)
    colour = tint(rng, 5, 45, 5) if rng.random() < 0.75 else tint(rng, 120, 240, 20)
    plane.paint(_grown(body, 0.12, 0.12, 0.12, 0.12), tuple(tint(rng, 30, 220).tolist()), radius + edge)
    plane.paint(body, tuple(colour.tolist()), radius + edge)
    paper = tuple(tint(rng, 0, 12, 2).tolist()) if rng.random() < 0.7 else tuple(tint(rng, 215, 255, 5).tolist())
    if inner == screen:
        plane.paint(screen, _content(rng, pictures, aspect), radius, shines=True)
        if rng.random() < 0.4:  # the hole of the camera
            hole = rng.uniform(0.1, 0.3)
            plane.paint((-hole, screen[1] + 0.2, hole, screen[1] + 0.2 + 2 * hole), (3.0, 3.0, 3.0), hole)
    else:
        plane.paint(screen, paper, radius, shines=True)
        if rng.random() < 0.5:
            strip = canvas((screen[2] - screen[0]) / 4, paper, 320)
            _text(rng, strip, 255 - np.array(paper), 0.1, 0.9)
            bottom = min(inner[3] + rng.uniform(0.3, 2), screen[3] - 4)
            if bottom > inner[3]:
                plane.paint((screen[0], bottom, screen[2], bottom + 4), strip, shines=True)
        shown = _picture(rng, pictures, (inner[2] - inner[0]) / (inner[3] - inner[1]))
        plane.paint(inner, shown, shines=True)
    if held:
        _hold(rng, plane, body)
    return _Arrangement(plane, inner, fair if _surface(inner) > 0.45 * _surface(screen) else ())


def _surface(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _viewer(rng: Rng, pictures: Sequence[Path]) -> _Arrangement:
    """A picture of any shape in a viewer or on a page that is larger than the frame or ends at a bezel."""
    plane = Plane(area=(0.1, 0.85))
    inner = _box(float(rng.choice(SHAPES)) * rng.uniform(0.92, 1.08))
    page = _grown(inner, *rng.uniform(0.3, 14, 4))
    level = rng.random()
    paper = tint(rng, 0, 30, 3) if level < 0.45 else tint(rng, 30, 90, 8) if level < 0.6 else tint(rng, 200, 255, 6)
    ink = tint(rng, 150, 250) if paper.mean() < 128 else tint(rng, 10, 120)
    if rng.random() < 0.5:
        edge = rng.uniform(0.1, 1.2)
        plane.paint(
            _grown(page, edge, edge, edge, edge * rng.uniform(1, 4)), tuple(tint(rng, 5, 60, 5).tolist()), edge / 2
        )
    plane.paint(page, tuple(paper.tolist()), shines=True)
    gap = rng.uniform(0.3, 1.5)
    for top, bottom in ((page[1], inner[1] - gap), (inner[3] + gap, page[3])):
        if bottom - top > 1 and rng.random() < 0.6:
            block = canvas((page[2] - page[0]) / (bottom - top), paper, 480)
            _text(rng, block, ink, rng.uniform(0.05, 0.4), 0.95, rng.uniform(0.02, 0.5))
            if rng.random() < 0.4:
                fill(block, 0, 0, 1, 0.25, np.clip(paper + rng.uniform(-60, 60), 0, 255))
            plane.paint((page[0], top, page[2], bottom), block, shines=True)
    radius = rng.choice([0, 0, rng.uniform(0.1, 0.6)])
    plane.paint(inner, _picture(rng, pictures, (inner[2] - inner[0]) / (inner[3] - inner[1])), radius, shines=True)
    return _Arrangement(plane, inner)


def _display(rng: Rng, pictures: Sequence[Path]) -> _Arrangement:
    """A television, monitor, laptop or tablet; some with bars beside the picture."""
    plane = Plane(area=(0.025, 0.8), tilt=45.0)
    aspect = float(rng.choice([4 / 3, 5 / 4, 3 / 2, 16 / 10, 16 / 9, 16 / 9, 16 / 9, 21 / 9, 3 / 4]))
    screen = inner = _box(aspect)
    fair: tuple[Box, ...] = ()
    if rng.random() < 0.2:
        bar = rng.uniform(0.04, 0.16)
        x, y = (bar * (screen[2] - screen[0]), 0.0) if rng.random() < 0.5 else (0.0, bar * (screen[3] - screen[1]))
        inner, fair = _grown(screen, -x, -y, -x, -y), (screen,)
    edge = rng.uniform(0.08, 0.4) if rng.random() < 0.5 else rng.uniform(0.4, 1.4)
    chin = edge * rng.choice([1, rng.uniform(1, 4)])
    colour = tint(rng, 4, 40, 4) if rng.random() < 0.75 else tint(rng, 90, 240, 10)
    body = _grown(screen, edge, edge, edge, chin)
    if rng.random() < 0.4:
        deep = rng.uniform(3, 9)
        keys = keyboard(rng) if rng.random() < 0.7 else canvas(2, tint(rng, 10, 200), 64)
        plane.paint((body[0] - 0.3, body[3], body[2] + 0.3, body[3] + deep), keys)
    elif rng.random() < 0.5:
        half = (body[2] - body[0]) * rng.uniform(0.05, 0.4)
        plane.paint((-half, body[3], half, body[3] + rng.uniform(0.5, 4)), tuple(tint(rng, 10, 200).tolist()))
    plane.paint(body, tuple(colour.tolist()), rng.choice([0, rng.uniform(0, 1) * edge]))
    if fair:
        plane.paint(screen, (0.0, 0.0, 0.0), shines=True)
    plane.paint(inner, _content(rng, pictures, (inner[2] - inner[0]) / (inner[3] - inner[1])), shines=True)
    return _Arrangement(plane, inner, fair)


def _projection(rng: Rng, pictures: Sequence[Path]) -> _Arrangement:
    """A picture on a wall or a white screen, often faint."""
    plane = Plane(area=(0.1, 0.8))
    inner = _box(float(rng.choice([4 / 3, 4 / 3, 16 / 10, 16 / 9])))
    wall = float(rng.uniform(10, 110))
    if rng.random() < 0.6:
        plane.paint((-40, -40, 40, 40), (wall,) * 3, shines=True)
    if rng.random() < 0.5:
        board = _grown(inner, *rng.uniform(0, 2.5, 4))
        rim = rng.uniform(0.1, 0.8)
        plane.paint(_grown(board, rim, rim, rim, rim), (5.0, 5.0, 5.0), shines=True)
        plane.paint(board, (wall * rng.uniform(1, 1.5),) * 3, shines=True)
    haze = rng.uniform(0, 0.7)
    shown = _content(rng, pictures, (inner[2] - inner[0]) / (inner[3] - inner[1])) * (1 - haze) + haze * (wall + 60)
    plane.paint(inner, np.clip(shown, 0, 255).astype(np.uint8), shines=True)
    return _Arrangement(plane, inner)


def _sheet(rng: Rng, pictures: Sequence[Path]) -> _Arrangement:
    """A book, a notepad, a poster or a framed picture."""
    plane = Plane(area=(0.08, 0.8), turned=float(rng.choice([0, 0, 0, 90])))
    inner = _box(float(rng.choice(SHAPES)) * rng.uniform(0.92, 1.08))
    aspect = (inner[2] - inner[0]) / (inner[3] - inner[1])
    fair: tuple[Box, ...] = ()
    if rng.random() < 0.3:
        rim = rng.uniform(0.2, 1.5)
        fair = (_grown(inner, rim, rim, rim, rim),)
        plane.paint(fair[0], tuple(tint(rng, 5, 250, 30).tolist()))
    shown = _content(rng, pictures, aspect)
    if rng.random() < 0.3:  # large plain areas, as on a cover
        shown = canvas(aspect, rng.uniform(20, 250, 3), 480)
        ellipse = (rng.uniform(80, 300, 2).tolist(), rng.uniform(60, 250, 2).tolist(), 0.0)
        cv2.ellipse(shown, ellipse, rng.uniform(0, 255, 3).tolist(), -1)
        _text(rng, shown, rng.uniform(0, 255, 3), rng.uniform(0.05, 0.3), rng.uniform(0.3, 0.9), 0.1)
    plane.paint(inner, shown)
    if rng.random() < 0.25:  # a spiral binding
        for y in np.arange(inner[1] + 0.3, inner[3] - 0.3, rng.uniform(0.5, 1)):
            plane.paint((inner[0] - 0.4, y, inner[0] + 0.4, y + 0.2), (20.0, 20.0, 20.0), 0.1)
    if rng.random() < 0.3:
        _hold(rng, plane, inner)
    return _Arrangement(plane, inner, fair, printed=True)


_ARRANGEMENTS = {"phone": _phone, "viewer": _viewer, "display": _display, "projection": _projection, "sheet": _sheet}


def _stand_in_front(rng: Rng, light: np.ndarray, corners: np.ndarray) -> None:
    """Paint the silhouette of someone who hides a part of the lower side."""
    low, high = corners.min(0), corners.max(0)
    span = high - low
    x, head = rng.uniform(low[0], high[0]), rng.uniform(0.05, 0.13) * span[1]
    top = rng.uniform(0.3, 0.9) * span[1] + low[1]
    colour = rng.uniform(5, 160, 3).tolist()
    cv2.circle(light, (round(x), round(top + head)), max(1, round(head)), _skin(rng), -1, cv2.LINE_AA)
    body = np.array([(x - 1.9 * head, top + 2.6 * head), (x + 1.9 * head, top + 2.6 * head),
                     (x + 2.2 * head, light.shape[0]), (x - 2.2 * head, light.shape[0])])  # fmt: skip
    cv2.fillConvexPoly(light, np.rint(body).astype(np.int32), colour, cv2.LINE_AA)
