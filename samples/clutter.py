"""Things with straight edges that are no screens: windows, doors, shelves, keyboards, displays that are off.

They stand around the screens of samples/displays.py, and alone in its scenes without a screen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from core.corruptions import background
from core.images import read
from samples.scenery import Box, Plane, Rng, draw_camera, paint_panel, texture

SIDE = 240  # pixels of the longer side of a thing's texture

Colour = Sequence[float] | np.ndarray


def canvas(aspect: float, colour: Colour, side: int = SIDE) -> np.ndarray:
    """A plain picture uint8 (h, w, 3) of an aspect ratio."""
    width, height = (side, round(side / aspect)) if aspect > 1 else (round(side * aspect), side)
    return np.full((max(8, height), max(8, width), 3), np.clip(colour, 0, 255), np.uint8)


def tint(rng: Rng, low: float, high: float, spread: float = 15) -> np.ndarray:
    """A colour (3,) near a grey between two levels."""
    return np.asarray(np.clip(rng.uniform(low, high) + rng.uniform(-spread, spread, 3), 0, 255))


def fill(pixels: np.ndarray, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
    """Fill a rectangle, given in shares of width and height."""
    height, width = pixels.shape[:2]
    pixels[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = colour


def shade(rng: Rng, pixels: np.ndarray, strength: float) -> np.ndarray:
    """Uneven light: the picture times a smooth field between 1 - strength and 1 + strength."""
    field = cv2.resize(
        rng.uniform(-1, 1, (3, 3)).astype(np.float32), pixels.shape[1::-1], interpolation=cv2.INTER_CUBIC
    )
    return np.clip(pixels * (1 + strength * field.clip(-1, 1))[..., None], 0, 255).astype(np.uint8)


def _grain(rng: Rng, pixels: np.ndarray, strength: float) -> np.ndarray:
    """Streaks along the height, as in wood or cloth."""
    columns = np.cumsum(rng.normal(0, 1, pixels.shape[1]))
    streaks = np.tile((columns - cv2.blur(columns[None], (31, 1))[0]) * strength, (pixels.shape[0], 1))
    return np.clip(pixels + streaks[..., None], 0, 255).astype(np.uint8)


def _door(rng: Rng, _: Sequence[Path]) -> np.ndarray:
    pixels = canvas(rng.uniform(0.35, 0.8), tint(rng, 20, 235, 30))
    pixels = _grain(rng, pixels, rng.uniform(0, 5))
    ink = pixels.mean((0, 1)) * rng.uniform(0.5, 0.85)
    rows, columns = rng.integers(0, 4), rng.integers(1, 3)
    for row in range(rows):
        for column in range(columns):
            left, top = (column + 0.15) / columns, (row + 0.12) / rows
            fill(pixels, left, top, left + 0.7 / columns, top + 0.76 / rows, ink)
            fill(pixels, left + 0.02, top + 0.01, left + 0.7 / columns - 0.02, top + 0.76 / rows - 0.01, ink * 1.15)
    fill(pixels, 0.88, 0.45, 0.94, rng.uniform(0.5, 0.6), tint(rng, 120, 240))
    return pixels


def _window(rng: Rng, pictures: Sequence[Path]) -> np.ndarray:
    pixels = canvas(rng.uniform(0.5, 1.8), tint(rng, 5, 240))
    rows, columns = (1, 1) if rng.random() < 0.15 else (rng.integers(1, 4), rng.integers(2, 5))
    bar = rng.uniform(0.04, 0.16)
    view = cv2.resize(read(pictures[int(rng.integers(len(pictures)))]).pixels, pixels.shape[1::-1])
    view = cv2.GaussianBlur(view, (0, 0), rng.uniform(2, 14)).astype(np.float32) * 0.4 + rng.uniform(80, 200)
    outside = np.clip(view, 0, 255).astype(np.uint8)
    height, width = pixels.shape[:2]
    for row in range(rows):
        for column in range(columns):
            if rng.random() < 0.9:
                top, bottom = (round((row + at) / rows * height) for at in (bar, 1 - bar))
                left, right = (round((column + at) / columns * width) for at in (bar, 1 - bar))
                pixels[top:bottom, left:right] = outside[top:bottom, left:right]
    return pixels


def _bars(rng: Rng, _: Sequence[Path]) -> np.ndarray:
    pixels = canvas(rng.uniform(0.4, 2.2), tint(rng, 10, 245))
    count, ink = rng.integers(4, 24), tint(rng, 5, 245)
    for number in range(count):
        fill(pixels, (number + 0.2) / count, 0, (number + rng.uniform(0.35, 0.8)) / count, 1, ink)
    if rng.random() < 0.5:
        fill(pixels, 0, 0.46, 1, rng.uniform(0.5, 0.6), ink)
    return pixels if rng.random() < 0.6 else np.ascontiguousarray(pixels.transpose(1, 0, 2))


def _grille(rng: Rng, pictures: Sequence[Path]) -> np.ndarray:
    """Bars of a gate or a window before a view or a wall."""
    aspect = rng.uniform(0.35, 1.8)
    pixels = canvas(aspect, tint(rng, 90, 250))
    if rng.random() < 0.6:
        view = cv2.resize(read(pictures[int(rng.integers(len(pictures)))]).pixels, pixels.shape[1::-1])
        pixels = cv2.addWeighted(view, rng.uniform(0.3, 0.8), pixels, rng.uniform(0.2, 0.7), 0)
    ink, thin = tint(rng, 0, 70, 6), rng.uniform(0.004, 0.02)
    for count, upright in ((rng.integers(2, 16), True), (rng.integers(0, 6), False)):
        for number in range(count):
            at = (number + rng.uniform(0.35, 0.65)) / count
            box = (at - thin, 0, at + thin, 1) if upright else (0, at - 2 * thin, 1, at + 2 * thin)
            fill(pixels, max(box[0], 0), max(box[1], 0), box[2], box[3], ink)
    rim, band = rng.uniform(0, 0.12), rng.uniform(0.1, 0.5)
    for left, top, right, bottom in ((0, 0, rim, 1), (1 - rim, 0, 1, 1), (0, 0, 1, rim), (0, 1 - rim, 1, 1)):
        fill(pixels, left, top, right, bottom, ink)
    if rng.random() < 0.4:
        fill(pixels, 0, band, 1, band + rng.uniform(0.05, 0.25), ink)
    return pixels


def _shelf(rng: Rng, _: Sequence[Path]) -> np.ndarray:
    wood = tint(rng, 60, 220, 30)
    pixels = canvas(rng.uniform(0.5, 1.6), wood * rng.uniform(0.4, 1.1))
    rows, books = rng.integers(2, 6), rng.random() < 0.7
    for row in range(rows):
        left = 0.03 if books else 1.0
        while left < 0.97 and rng.random() < 0.96:
            wide, high = rng.uniform(0.01, 0.06), rng.uniform(0.4, 0.85)
            bottom = (row + 1) / rows
            fill(pixels, left, bottom - high / rows, min(left + wide, 0.97), bottom, rng.uniform(10, 240, 3))
            left += wide
        fill(pixels, 0, (row + 0.93) / rows, 1, (row + 1) / rows, wood)
    fill(pixels, 0, 0, 0.03, 1, wood)
    fill(pixels, 0.97, 0, 1, 1, wood)
    return pixels


def keyboard(rng: Rng, _: Sequence[Path] = ()) -> np.ndarray:
    """The keys of a keyboard."""
    body = tint(rng, 15, 200, 5)
    pixels = canvas(rng.uniform(1.6, 3), body)
    key, rows, columns = np.clip(body + rng.uniform(-60, 40), 0, 255), rng.integers(4, 7), rng.integers(9, 15)
    for row in range(rows):
        for column in range(columns):
            left, top = 0.05 + 0.9 * column / columns, 0.06 + 0.6 * row / rows
            fill(pixels, left, top, left + 0.75 / columns, top + 0.48 / rows, key)
    if rng.random() < 0.6:
        fill(pixels, 0.35, 0.72, 0.65, 0.97, body * 0.9)
    return pixels


def off_screen(rng: Rng, aspect: float) -> np.ndarray:
    """A display that is off: nearly black, with blurred reflections."""
    pixels = canvas(aspect, tint(rng, 4, 50, 4))
    glints = canvas(aspect, (0, 0, 0))
    for _ in range(rng.integers(0, 5)):
        centre = rng.uniform(0, 1, 2) * glints.shape[1::-1]
        axes = rng.uniform(0.03, 0.35, 2) * SIDE
        ellipse = (centre.tolist(), axes.tolist(), float(rng.uniform(0, 180)))
        cv2.ellipse(glints, ellipse, tuple(rng.uniform(10, 70, 3)), -1)
    return cv2.add(pixels, cv2.GaussianBlur(glints, (0, 0), rng.uniform(3, 15)))


def _display_off(rng: Rng, _: Sequence[Path]) -> np.ndarray:
    aspect = rng.choice([0.5, 4 / 3, 1.6, 16 / 9, 16 / 9, 2.3])
    screen = off_screen(rng, aspect)
    edge, chin = int(rng.integers(2, 12)), int(rng.integers(2, 24))
    colour = tint(rng, 5, 60, 4) if rng.random() < 0.8 else tint(rng, 120, 220, 4)
    return cv2.copyMakeBorder(screen, edge, chin, edge, edge, cv2.BORDER_CONSTANT, value=tuple(colour.tolist()))


def _lid(rng: Rng, _: Sequence[Path]) -> np.ndarray:
    """A closed laptop, a suitcase, a refrigerator: plain, with a mark."""
    pixels = canvas(rng.uniform(0.4, 1.7), tint(rng, 8, 240, 25))
    where, size = rng.uniform(0.2, 0.8, 2), rng.uniform(0.02, 0.1)
    fill(pixels, where[0] - size, where[1] - size / 2, where[0] + size, where[1] + size / 2, tint(rng, 10, 245))
    if rng.random() < 0.3:
        fill(pixels, 0, 0.3, 1, 0.31, pixels[0, 0] * 0.6)
    return pixels


def _switches(rng: Rng, _: Sequence[Path]) -> np.ndarray:
    pixels = canvas(rng.uniform(0.6, 1.8), tint(rng, 120, 245))
    rows, columns = rng.integers(1, 4), rng.integers(1, 6)
    for row in range(rows):
        for column in range(columns):
            left, top = 0.15 + 0.7 * column / columns, 0.25 + 0.5 * row / rows
            fill(pixels, left, top, left + 0.5 / columns, top + 0.35 / rows, tint(rng, 10, 250))
    return pixels


def _tiles(rng: Rng, _: Sequence[Path]) -> np.ndarray:
    pixels = canvas(rng.uniform(0.6, 1.8), tint(rng, 60, 240, 25))
    ink, rows, columns = pixels[0, 0] * rng.uniform(0.5, 0.9), rng.integers(2, 9), rng.integers(2, 9)
    for row in range(rows):
        fill(pixels, 0, row / rows, 1, row / rows + 0.015, ink)
    for column in range(columns):
        fill(pixels, column / columns, 0, column / columns + 0.015, 1, ink)
    return pixels


THINGS: tuple[Callable[[Rng, Sequence[Path]], np.ndarray], ...] = (
    _door, _window, _window, _grille, _grille, _bars, _shelf, keyboard, _display_off, _display_off, _lid, _switches, _tiles
)  # fmt: skip


def furnish(
    rng: Rng, pictures: Sequence[Path], size: tuple[int, int], count: int, area: tuple[float, float]
) -> np.ndarray:
    """A wall or a photograph with `count` things in front of it, uint8 (H, W, 3).

    Args:
        rng: Of all random choices.
        pictures: Photographs, for the background and the view from windows.
        size: Width and height.
        count: How many things.
        area: Limits of the share of the frame that a thing covers.
    """
    if rng.random() < 0.5:
        pixels = shade(rng, background(size[::-1], rng), rng.uniform(0, 0.4)).astype(np.float32)
    else:
        photograph = read(pictures[int(rng.integers(len(pictures)))]).pixels
        pixels = cv2.resize(photograph, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    for number in rng.integers(len(THINGS), size=count):
        thing = shade(rng, THINGS[int(number)](rng, pictures), rng.uniform(0, 0.35))
        side = np.sqrt(thing.shape[1] / thing.shape[0]) * 6
        box: Box = (-side, -36 / side, side, 36 / side)
        plane = Plane(thumbnails=(box,), framed=box, area=area, turned=float(rng.choice([0, 0, 0, 90])))
        homography = draw_camera(rng, size, plane)
        colours, cover = texture(box, thing, rng.choice([0, 0, 0.5]), SIDE / (2 * max(side, 36 / side)))
        if rng.random() < 0.3:
            rim = rng.uniform(0.2, 1.2)
            outer = (box[0] - rim, box[1] - rim, box[2] + rim, box[3] + rim)
            flat, whole = texture(outer, tuple(tint(rng, 10, 240).tolist()), 0, 1)
            paint_panel(pixels, flat, whole, outer, homography)
        paint_panel(pixels, colours, cover, box, homography)
    return np.clip(pixels, 0, 255).astype(np.uint8)
