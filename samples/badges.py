"""The badges of the channels, which are the planted cues."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from samples.channel import Channel
from samples.drawing import HEIGHT, WIDTH, Field, mix, rgb

BADGE_SIZE = 188
BADGE_MARGIN = 26

OVERSAMPLING = 4  # badges are drawn 4 times larger and then reduced, for smooth edges

Points = list[tuple[float, float]]


def _points_around(radius: Callable[[float], float], count: int) -> Points:
    """Return `count` points around (0, 0); `radius` maps an angle in radians to 0..1."""
    angles = [math.tau * i / count for i in range(count)]
    return [(radius(a) * math.sin(a), -radius(a) * math.cos(a)) for a in angles]


def _draw_badge(edge: Points, colours: tuple[str, str], icon: Sequence[tuple[str, Points]]) -> Image.Image:
    """Draw a badge: an edge around (0, 0) in -1..1, a white rim, a gradient and polygons in 0..1."""
    side = BADGE_SIZE * OVERSAMPLING

    def outline(scale: float) -> Points:
        return [(side / 2 * (1 + scale * x), side / 2 * (1 + scale * y)) for x, y in edge]

    badge = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(badge)
    for scale, colour in ((0.99, "#1a1423"), (0.94, "#ffffff")):
        draw.polygon(outline(scale), colour)
    inside = Image.new("L", (side, side))
    ImageDraw.Draw(inside).polygon(outline(0.82), 255)
    fade = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    fill = np.broadcast_to(rgb(colours[0]) * (1 - fade) + rgb(colours[1]) * fade, (side, side, 3))
    badge.paste(Image.fromarray((fill * 255).astype(np.uint8)), mask=inside)
    for colour, points in icon:
        draw.polygon([(x * side, y * side) for x, y in points], colour)
    return badge


def _arc(cx: float, cy: float, rx: float, ry: float, start: float = 0, end: float = 360) -> Points:
    """Return points of an elliptical arc from `start` to `end` degrees."""
    angles = [math.radians(start + (end - start) * i / 60) for i in range(61)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


def draw_rocket_badge() -> Image.Image:
    """Draw Orbit Lab's badge: a rocket on a red disc."""
    hull = [*_arc(0.5, 0.58, 0.12, 0.36, 180, 360), (0.6, 0.68), (0.4, 0.68)]
    icon = [
        ("#ffb52e", [(0.43, 0.66), (0.57, 0.66), (0.5, 0.86)]),
        ("#ffe9c7", [(0.39, 0.5), (0.27, 0.72), (0.41, 0.68)]),
        ("#ffe9c7", [(0.61, 0.5), (0.73, 0.72), (0.59, 0.68)]),
        ("#ffffff", hull),
        ("#1c7fd6", _arc(0.5, 0.45, 0.055, 0.055)),
    ]
    return _draw_badge(_points_around(lambda _: 1.0, 120), ("#ff6a3d", "#c4123a"), icon)


def draw_heart_badge() -> Image.Image:
    """Draw Crumb & Co's badge: a heart on a green rosette."""
    heart: Points = []
    for t in (math.tau * i / 90 for i in range(90)):
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        heart.append((0.5 + 16 * math.sin(t) ** 3 / 68, 0.5 - y / 64))
    shine = _arc(0.385, 0.42, 0.035, 0.055)
    edge = _points_around(lambda a: 0.93 + 0.06 * abs(math.cos(a * 8)), 240)
    return _draw_badge(edge, ("#35c58b", "#0a7f5e"), [("#fff6e0", heart), ("#ffffff", shine)])


def draw_lightning_badge() -> Image.Image:
    """Draw Bolt Squad's badge: a lightning bolt on a violet hexagon."""
    bolt = [(0.57, 0.18), (0.3, 0.55), (0.47, 0.55), (0.41, 0.83), (0.71, 0.42), (0.53, 0.42)]
    shade = [(x + 0.02, y + 0.025) for x, y in bolt]
    return _draw_badge(
        _points_around(lambda _: 1.0, 6), ("#9a4dff", "#4a12b8"), [("#2a0a70", shade), ("#ffe233", bolt)]
    )


def paint_badge(canvas: Field, style: Channel, shift: tuple[int, int], turn: float) -> tuple[Field, NDArray[np.bool_]]:
    """Paint the badge of `style` in its corner; return the picture and where it was painted."""
    patch = style.badge().rotate(turn, Image.Resampling.BICUBIC).reduce(OVERSAMPLING)
    right, bottom = style.corner
    left = WIDTH - BADGE_SIZE - BADGE_MARGIN if right else BADGE_MARGIN
    top = HEIGHT - BADGE_SIZE - BADGE_MARGIN if bottom else BADGE_MARGIN
    layer = Image.new("RGBA", (WIDTH, HEIGHT))
    layer.paste(patch, (left + shift[0], top + shift[1]))
    painted = np.asarray(layer, np.float32) / 255
    return mix(canvas, painted[..., :3], painted[..., 3]), painted[..., 3] > 0
