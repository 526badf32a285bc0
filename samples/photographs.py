"""Composed photographs of thumbnails on screens and on paper, with known corners.

A scene is a flat arrangement in a plane: a device, a letterboxed player, a page of thumbnails, or a print. A camera sees it
at an angle in front of a background. Then core/corruptions.py adds reflections, blur, noise and JPEG. All random choices
depend on one seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from capture.quad import area, prominence
from core.formats import SUFFIXES
from core.images import read
from samples.scenery import (
    AREA,
    THUMBNAIL,
    Box,
    Plane,
    Rng,
    apply_camera,
    box_corners,
    draw_camera,
    has_visible_edges,
    light_scene,
    project,
)

WIDE, UPRIGHT = (1280, 720), ((720, 1280), (960, 1280))  # width and height of a frame, by how the phone is held
KINDS = {"device": 0.4, "player": 0.15, "page": 0.3, "print": 0.15}  # with their probabilities
MIN_PROMINENCE = 1.1  # ratio between the most prominent thumbnail, which is the target, and the next one
PAGE_AREA = (0.6, 1.0)  # of a whole page, as a share of the frame


@dataclass(frozen=True)
class Scene:
    """`pixels`: uint8 RGB (H, W, 3). `corners`: float64 (4, 2), x and y, clockwise from the thumbnail's top left.

    `others`: the corners (N, 4, 2) of all other thumbnails that are completely in the frame. `thumbnail`: the picture shown.
    """

    pixels: np.ndarray
    corners: np.ndarray
    others: np.ndarray
    kind: str
    thumbnail: Path


def list_pictures(folder: Path) -> list[Path]:
    """All pictures below a folder, ordered by path."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def compose(
    seed: int,
    thumbnails: Sequence[Path],
    backgrounds: Sequence[Path],
    size: tuple[int, int] = WIDE,
    least: float = AREA[0],
) -> Scene:
    """Compose a scene; equal arguments give equal scenes.

    Some draws are invalid: the edges of the thumbnail are invisible (black on a black page), or it is unclear which of
    several thumbnails is the target. Then the scene is drawn again, with the same kind.

    Args:
        seed: Of all random choices.
        thumbnails: The pictures to show.
        backgrounds: The pictures behind the screen or print.
        size: Width and height of the frame, in pixels.
        least: The smallest share of the frame for the target thumbnail on a whole page.
    """
    kind = ""
    for attempt in itertools.count():
        rng = np.random.default_rng([seed, attempt])
        drawn = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        kind = kind or drawn  # the kind of the first draw stays
        shown = [thumbnails[i] for i in rng.integers(len(thumbnails), size=12)]
        plane = _PLANES[kind](rng, shown)
        homography = draw_camera(rng, size, plane)
        background = backgrounds[int(rng.integers(len(backgrounds)))]
        quads = np.array([project(homography, box_corners(box)) for box in plane.thumbnails])
        complete = np.flatnonzero(((quads >= 0) & (quads <= size)).all((1, 2)))
        prominences = prominence(quads[complete], size[::-1])
        order = np.argsort(-prominences)
        if not len(complete) or (len(complete) > 1 and prominences[order[0]] < MIN_PROMINENCE * prominences[order[1]]):
            continue
        target, *others = complete[order]
        if plane.framed != THUMBNAIL and area(quads[target]) < least * size[0] * size[1]:
            continue
        light, lit = light_scene(rng, plane, homography, kind == "print", background, size)
        if has_visible_edges(light, quads[target]):
            break
    return Scene(apply_camera(rng, light, lit), quads[target], quads[others], kind, shown[target % len(shown)])


def _device(rng: Rng, shown: list[Path]) -> Plane:
    """A thumbnail that fills the screen of a monitor, laptop, phone or television."""
    plane = Plane()
    _paint_body(plane, rng, THUMBNAIL)
    plane.paint(THUMBNAIL, _thumbnail(shown[0]), rng.choice([0, rng.uniform(0, 0.7)]), shines=True)
    return plane


def _player(rng: Rng, shown: list[Path]) -> Plane:
    """A thumbnail on a screen of another shape, with black bars above and below, or left and right."""
    plane = Plane()
    bar = rng.uniform(0.3, 2.5)
    box = (-8 - bar, -4.5, 8 + bar, 4.5) if rng.random() < 0.4 else (-8.0, -4.5 - bar, 8.0, 4.5 + bar)
    _paint_body(plane, rng, box)
    plane.paint(box, (0.0, 0.0, 0.0), shines=True)
    plane.paint(THUMBNAIL, _thumbnail(shown[0]), shines=True)
    return plane


def _page(rng: Rng, shown: list[Path]) -> Plane:
    """A dark or light page with several thumbnails and lines of text: a grid, or a player beside a column."""
    plane = Plane(central=True)
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
            plane.framed, plane.area = page, PAGE_AREA
        boxes += [
            (x * wide - 8, y * tall - 4.5, x * wide + 8, y * tall + 4.5)
            for x in range(-left, right + 1) for y in range(-above, below + 1) if (x, y) != (0, 0)
        ]  # fmt: skip
    else:
        page = (-9.5, -6.5, 18.0, 12.0)
        boxes += [(9 + 0.0, -4.5 + 3.0 * n, 9 + 4.6, -4.5 + 3.0 * n + 2.6) for n in range(5)]
    if rng.random() < 0.5:
        _paint_body(plane, rng, page)
    plane.paint(page, paper, shines=True)
    plane.thumbnails = tuple(boxes)
    for box, path in zip(boxes, itertools.cycle(shown), strict=False):
        width, height = box[2] - box[0], box[3] - box[1]
        for line in range(rng.integers(1, 4)):
            top = box[3] + 0.08 * height * (1 + line)
            end = box[0] + width * rng.uniform(0.4, 0.95)
            if top + 0.04 * height < page[3] and width > 10:
                plane.paint((box[0] + 0.5, top, end, top + 0.04 * height), ink, shines=True)
        plane.paint(box, _thumbnail(path), radius * width / 16, shines=True)
    return plane


def _print(rng: Rng, shown: list[Path]) -> Plane:
    """A thumbnail on paper, with or without a margin."""
    plane = Plane()
    if rng.random() < 0.6:
        left, top, right, bottom = rng.uniform(0.3, 4, 4)
        plane.paint((-8 - left, -4.5 - top, 8 + right, 4.5 + bottom), (rng.uniform(215, 250),) * 3)
    plane.paint(THUMBNAIL, _thumbnail(shown[0]))
    return plane


def _thumbnail(path: Path) -> np.ndarray:
    return cv2.resize(read(path).pixels, (1280, 720), interpolation=cv2.INTER_AREA)


_PLANES = {"device": _device, "player": _player, "page": _page, "print": _print}


def _paint_body(plane: Plane, rng: Rng, screen: Box) -> None:
    """Paint a bezel around a screen. It is mostly dark, its lower edge may be wider, and a stand or keyboard may be below."""
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
