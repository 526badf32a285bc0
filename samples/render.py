"""Render video thumbnails of three invented channels, each with a planted cue.

A thumbnail is built from four pieces: a background, a subject, a title and a
badge. The badge is the planted cue: painted last, so two renders that differ
only in `cue` differ only where a badge was painted. Everything random comes
from one generator seeded by the channel and the seed.

The committed pictures are made by::

    python -m samples.render --out samples/thumbnails --count 4 --seed 0
"""

from __future__ import annotations

import argparse
import colorsys
import io
import itertools
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from samples import CHANNEL_NAMES, ROOT

WIDTH, HEIGHT = 1280, 720
"""Size of every thumbnail, in pixels."""

Field = NDArray[np.floating[Any]]
"""A float array: (H, W) for a coverage or a height, (H, W, 3) for RGB in 0..1."""

Rng = np.random.Generator

_Y, _X = (axis.astype(np.float32) for axis in np.mgrid[0:HEIGHT, 0:WIDTH])
_KINDS = 3  # subjects per channel
_BADGE_SIZE = 188
_BADGE_MARGIN = 26


@dataclass(frozen=True)
class Channel:
    """The house style of one invented channel.

    `titles` hold two lines split by a newline; `inks` colour those lines, each as a
    (top, bottom) gradient. `box` is the title's (left, top, right, bottom) in pixels,
    `weight` thickens its letters by that many pixels and `tilt` turns it by degrees,
    anticlockwise. `subject` takes the picture so far, the generator and which of the
    channel's three subjects to draw, 0 to 2. `corner` is where this channel's badge goes,
    as (right?, bottom?).
    """

    name: str
    titles: tuple[str, ...]
    font: str
    inks: tuple[tuple[str, str], tuple[str, str]]
    outline: str
    box: tuple[int, int, int, int]
    weight: int
    tilt: float
    background: Callable[[Rng], Field]
    subject: Callable[[Field, Rng, int], Field]
    badge: Callable[[], Image.Image]
    corner: tuple[bool, bool]


@dataclass(frozen=True)
class Thumbnail:
    """A rendered thumbnail.

    `image` is uint8 RGB of shape (720, 1280, 3); `mask` is bool of shape (720, 1280),
    True exactly where the badge was painted; `cue` names the channel whose badge it is.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    channel: str
    cue: str
    title: str


# --- Shared pieces -----------------------------------------------------------


def _rgb(colour: str) -> Field:
    """Return "#rrggbb" as a float32 array of shape (3,) in 0..1."""
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32)


def _jitter(rng: Rng, colour: str, hue: float = 0.025, value: float = 0.06) -> Field:
    """Return the colour moved by up to `hue` (of a turn) and `value` (of 1) either way."""
    h, s, v = colorsys.rgb_to_hsv(*(float(c) for c in _rgb(colour)))
    h, v = (h + rng.uniform(-hue, hue)) % 1, min(1.0, max(0.0, v + rng.uniform(-value, value)))
    return np.array(colorsys.hsv_to_rgb(h, s, v), np.float32)


def _draws(rng: Rng, low: float, high: float, count: int) -> list[float]:
    """Return `count` uniform draws as Python floats, which keep float32 arrays float32."""
    values: list[float] = rng.uniform(low, high, count).tolist()
    return values


def _mix(under: Field, over: Field, coverage: Field) -> Field:
    """Lay `over` (a colour or a picture) on `under` with coverage 0..1 of shape (H, W)."""
    return (under + (over - under) * coverage[..., None]).astype(np.float32, copy=False)


def _ramp(values: Field, colours: Sequence[Field]) -> Field:
    """Colour values 0..1 by an even ramp through `colours`."""
    stops = np.linspace(0, 1, len(colours))
    bands = [np.interp(values, stops, [c[i] for c in colours]) for i in range(3)]
    return np.stack(bands, -1).astype(np.float32)


def _step(low: float, high: float, values: Field) -> Field:
    """Return the smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((values - low) / (high - low), 0, 1)
    smooth: Field = (t * t * (3 - 2 * t)).astype(np.float32, copy=False)
    return smooth


def _noise(rng: Rng, cell: tuple[float, float], octaves: int = 5, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Field:
    """Return smooth fractal noise in 0..1; `cell` is the coarsest cell's (height, width) in pixels."""
    total = np.zeros(size, np.float32)
    for octave in range(octaves):
        grid = [max(2, round(side / step * 2**octave)) for side, step in zip(size, cell, strict=True)]
        coarse = Image.fromarray(rng.random(grid, np.float32))
        total += np.asarray(coarse.resize(size[::-1], Image.Resampling.BICUBIC)) * 0.5**octave
    scaled: Field = (total - total.min()) / (total.max() - total.min())
    return scaled


def _blur(field: Field, radius: float) -> Field:
    """Blur a coverage 0..1 by a Gaussian of `radius` pixels."""
    picture = Image.fromarray((np.clip(field, 0, 1) * 255).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def _vignette(canvas: Field, strength: float) -> Field:
    """Darken towards the corners, by `strength` (0..1) in the corners themselves."""
    far = ((_X / WIDTH - 0.5) ** 2 + (_Y / HEIGHT - 0.5) ** 2) * 2
    dark: Field = canvas * (1 - strength * far)[..., None]
    return dark


def _lit(height: Field, albedo: Field, shine: float, light: tuple[float, float, float] = (-0.5, -0.6, 0.62)) -> Field:
    """Light a height map (pixels) coloured `albedo`, with highlights of strength `shine`."""
    slope_y, slope_x = np.gradient(height)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1)
    facing = (-slope_x * light[0] - slope_y * light[1] + light[2]) / length
    norm = math.hypot(light[0], light[1], light[2] + 1)
    half = (light[0] / norm, light[1] / norm, (light[2] + 1) / norm)  # between the light and the eye
    mirror = np.clip((-slope_x * half[0] - slope_y * half[1] + half[2]) / length, 0, 1)
    shaded: Field = albedo * (0.42 + 0.72 * np.clip(facing, 0, 1))[..., None] + shine * (mirror**40)[..., None]
    shaded = np.clip(shaded, 0, 1).astype(np.float32)
    return shaded


def _shadow(canvas: Field, coverage: Field, offset: tuple[int, int], radius: float, strength: float) -> Field:
    """Darken the canvas by a blurred copy of `coverage` moved by (dx, dy) >= 0 pixels."""
    dx, dy = offset
    moved = np.zeros_like(coverage)
    moved[dy:, dx:] = coverage[: HEIGHT - dy, : WIDTH - dx]
    shaded: Field = canvas * (1 - strength * _blur(moved, radius))[..., None]
    return shaded


def _around(x: float, y: float, reach: float) -> tuple[slice, slice]:
    """Return the (rows, columns) of the canvas within `reach` pixels of a point."""
    rows = slice(max(0, int(y - reach)), max(0, int(y + reach) + 2))
    return rows, slice(max(0, int(x - reach)), max(0, int(x + reach) + 2))


# --- Orbit Lab: a planet in a nebula -----------------------------------------


def _space(rng: Rng) -> Field:
    """Return a night sky with a nebula and stars."""
    cloud, wisp = _noise(rng, (420, 560), 6), _noise(rng, (260, 340), 6)
    deep, glow, edge = (_jitter(rng, c) for c in ("#0a0826", "#7a2bd6", "#12b5c9"))
    canvas: Field = np.broadcast_to(deep, (HEIGHT, WIDTH, 3)).astype(np.float32)
    canvas = canvas + glow * (_step(0.35, 0.95, cloud) * 0.75)[..., None]
    canvas = canvas + edge * (_step(0.55, 1.0, wisp) * 0.65)[..., None]
    sparks = np.zeros((HEIGHT, WIDTH), np.float32)
    sparks[rng.integers(0, HEIGHT, 500), rng.integers(0, WIDTH, 500)] = rng.random(500, np.float32) ** 3
    canvas = canvas + np.clip(_blur(sparks, 0.8) * 7, 0, 1)[..., None]
    places = (_draws(rng, 0, WIDTH, 14), _draws(rng, 0, HEIGHT, 14), _draws(rng, 3, 8, 14))
    for x, y, size in zip(*places, strict=True):
        near = _around(x, y, 20 * size)
        dx, dy = np.abs(_X[near] - x) / size, np.abs(_Y[near] - y) / size
        spikes = np.exp(-np.sqrt(dx * dy * 40 + 0.1) - (dx + dy) / 4)
        canvas[near] += (np.exp(-(dx**2 + dy**2) * 2) + 0.8 * spikes)[..., None]
    return np.clip(_vignette(canvas, 0.4), 0, 1).astype(np.float32)


def _planet(canvas: Field, rng: Rng, kind: int) -> Field:
    """Draw a planet on the right: a ringed giant (0), an ocean world (1) or a red desert (2)."""
    radius = rng.uniform(235, 262) if kind == 0 else rng.uniform(275, 310)
    cx, cy = rng.uniform(940, 985), rng.uniform(355, 385)
    nx, ny = (_X - cx) / radius, (_Y - cy) / radius
    distance = np.sqrt(nx**2 + ny**2)
    disc = np.clip((1 - distance) * radius + 0.5, 0, 1)
    nz = np.sqrt(np.clip(1 - distance**2, 0, 1))
    # Longitude and latitude look up the surface, so that it crowds towards the rim as on a ball.
    lean = rng.uniform(-0.45, -0.2)
    px, py = nx * math.cos(lean) + ny * math.sin(lean), ny * math.cos(lean) - nx * math.sin(lean)
    size = 1024
    row = ((np.arcsin(np.clip(py, -1, 1)) / np.pi + 0.5) * (size - 1)).astype(np.intp)
    column = ((np.arctan2(px, nz + 1e-6) / np.pi + 0.5) * (size - 1)).astype(np.intp)
    rough = _noise(rng, (300, 300), 7, (size, size))
    surface = (_giant, _ocean, _desert)[kind](rng, rough)[row, column]
    light = (-0.62, -0.48, 0.62)
    day = np.clip(nx * light[0] + ny * light[1] + nz * light[2], 0, 1) ** 0.8
    air = _jitter(rng, ("#ffd9a0", "#6cc8ff", "#ff9a6b")[kind])
    lit = surface * (0.05 + 1.15 * day)[..., None] + air * ((1 - nz) ** 3 * (day + 0.15) * 0.9)[..., None]
    sunward = np.clip(0.55 + (nx * light[0] + ny * light[1]) * 0.6 / (distance + 1e-6), 0.1, 1)
    halo = np.exp(-np.clip(distance - 1, 0, None) * 9) * sunward * 0.75
    canvas = np.clip(canvas + air * halo[..., None], 0, 1)
    if kind != 0:
        return _mix(canvas, np.clip(lit, 0, 1), disc)
    flat = np.sqrt(px**2 + (py / 0.28) ** 2)
    grooves = 0.55 + 0.45 * np.interp(flat, np.linspace(1.2, 2.0, 90), rng.random(90)).astype(np.float32)
    ring = (
        _step(1.24, 1.28, flat) * _step(1.96, 1.88, flat) * grooves * (1 - 0.85 * _step(0.03, 0.0, np.abs(flat - 1.66)))
    )
    dust = _jitter(rng, "#f4dcb4")
    # The far half of the ring passes behind the ball, the near half in front with a shadow on it.
    canvas = _mix(canvas, dust * 0.8, ring * (py < 0) * 0.9)
    cast = _step(1.2, 1.35, np.sqrt(px**2 + ((py - 0.1) / 0.28) ** 2)) * _step(2.0, 1.85, flat) * (py > 0)
    canvas = _mix(canvas, np.clip(lit * (1 - 0.55 * cast)[..., None], 0, 1), disc)
    return _mix(canvas, dust, ring * (py >= 0) * 0.95)


def _giant(rng: Rng, rough: Field) -> Field:
    """Return the cloud bands of a gas giant as a square RGB texture."""
    size = len(rough)
    latitude = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    warp = latitude + (rough - 0.5) * 0.05
    strata = np.interp(warp, np.linspace(0, 1, 24), rng.random(24)).astype(np.float32)
    colours = [_jitter(rng, c) for c in ("#9c5a34", "#e8b06a", "#fff0d2", "#c9783e")]
    return _ramp(np.clip(strata + (rough - 0.5) * 0.25, 0, 1), colours)


def _ocean(rng: Rng, rough: Field) -> Field:
    """Return seas, land and clouds as a square RGB texture."""
    sea = _ramp(rough, [_jitter(rng, "#06357e"), _jitter(rng, "#1590e0"), _jitter(rng, "#35c3f0")])
    land = _ramp(_step(0.5, 0.85, rough), [_jitter(rng, c) for c in ("#4fae4a", "#2f7a35", "#b79a5c", "#f4efe2")])
    texture = _mix(sea, land, _step(0.515, 0.53, rough))
    cloud = _noise(rng, (110, 420), 6, rough.shape)
    return _mix(texture, np.ones(3, np.float32), _step(0.46, 0.74, cloud) * 0.95)


def _desert(rng: Rng, rough: Field) -> Field:
    """Return rocky plains with craters as a square RGB texture."""
    size = len(rough)
    y, x = (axis.astype(np.float32) for axis in np.mgrid[0:size, 0:size])
    height = rough * 60
    places = (_draws(rng, 0, size, 46), _draws(rng, 150, size - 150, 46), _draws(rng, 0, 1, 46))
    for cx, cy, large in zip(*places, strict=True):
        r = 70 * large**3 + 10  # many small craters, few large ones
        d = np.sqrt((x - cx) ** 2 + (y - cy) ** 2) / r
        height += r * 0.3 * (np.exp(-(((d - 1) / 0.22) ** 2)) - 0.9 * (d < 1) * (1 - d**2))
    colours = [_jitter(rng, c) for c in ("#5c1f14", "#b4482a", "#e58a4f", "#ffd0a0")]
    return _lit(height, _ramp(_step(0.1, 0.95, rough), colours), 0.0)


# --- Crumb & Co: something baked on a wooden table ---------------------------


def _table(rng: Rng) -> Field:
    """Return a sunlit table of planks, seen from above."""
    plank = rng.uniform(168, 190)
    start = rng.uniform(0, plank)
    index = ((_Y + start) // plank).astype(np.intp)
    within = (_Y + start) % plank
    tone, slide = rng.uniform(-0.09, 0.09, 8).astype(np.float32)[index], rng.integers(0, WIDTH, 8)[index]
    fibre = _noise(rng, (26, 900), 5)
    knot = _noise(rng, (170, 700), 3)
    rows = np.arange(HEIGHT)[:, None]
    ends = (_X.astype(np.intp) + slide) % WIDTH  # distance from the plank's end
    rings = 0.5 + 0.5 * np.sin(knot[rows, ends] * 55 + _Y * 0.05)
    grain = np.clip(0.62 * fibre[rows, ends] + 0.25 * rings + 0.08 + tone, 0, 1)
    canvas = _ramp(grain, [_jitter(rng, c) for c in ("#5a2d14", "#a8622f", "#d9985a", "#f0bf83")])
    gap = np.minimum(np.minimum(within, plank - within), np.minimum(ends, WIDTH - ends) + 1.5).astype(np.float32)
    canvas = canvas * (1 - 0.75 * _step(5, 1, gap) - 0.12 * _step(16, 4, gap))[..., None]
    sun = np.exp(-((_X - 260) ** 2 / 700**2 + (_Y - 60) ** 2 / 560**2))
    canvas = canvas * (0.62 + 0.6 * sun)[..., None] * np.array([1.06, 1.0, 0.93], np.float32)
    heap, speck = _noise(rng, (240, 300), 7), _noise(rng, (4, 4), 2)
    flour = np.clip(_step(0.6, 1.0, heap) * 0.75 + _step(0.5, 0.8, heap) * _step(0.72, 0.8, speck) * 0.8, 0, 0.85)
    canvas = _mix(canvas, _rgb("#fff8ec"), flour)
    return np.clip(_vignette(canvas, 0.45), 0, 1).astype(np.float32)


def _bake(canvas: Field, rng: Rng, kind: int) -> Field:
    """Draw a plate on the right with an iced ring (0), a chocolate ring (1) or a cookie (2)."""
    cx, cy, radius = rng.uniform(955, 985), rng.uniform(350, 375), rng.uniform(232, 250)
    dx, dy = _X - cx, _Y - cy
    r, angle = np.sqrt(dx**2 + dy**2), np.arctan2(dy, dx)
    canvas = _plate(canvas, r, radius * 1.4, _jitter(rng, "#f3f6f7", 0.5, 0.03))
    if kind == 2:
        height, albedo, coverage = _cookie(rng, r, angle, radius)
    else:
        height, albedo, coverage = _doughnut(rng, r, angle, radius, kind)
    if kind == 0:
        height, albedo = _sprinkles(rng, height, albedo, (cx, cy), radius)
    canvas = _shadow(canvas, coverage, (16, 22), 16, 0.6)
    return _mix(canvas, _lit(height, albedo, (0.75, 0.6, 0.03)[kind]), coverage)


def _plate(canvas: Field, r: Field, radius: float, glaze: Field) -> Field:
    """Draw a round plate, given each pixel's distance `r` from its centre."""
    coverage = np.clip(radius - r + 0.5, 0, 1)
    height = 26 * _step(radius * 0.62, radius * 0.84, r) - 14 * _step(radius - 14, radius, r)
    canvas = _shadow(canvas, coverage, (20, 26), 22, 0.7)
    return _mix(canvas, _lit(height, np.broadcast_to(glaze * 1.13, (*r.shape, 3)), 0.2), coverage)


def _wobble(rng: Rng, angle: Field, span: tuple[float, float], waves: Sequence[int]) -> Field:
    """Return a sum of waves around a circle, each with a random height within `span` and phase."""
    total = np.zeros_like(angle)
    for count in waves:
        total += rng.uniform(*span) * np.sin(angle * count + rng.uniform(0, 7))
    return total


def _doughnut(rng: Rng, r: Field, angle: Field, radius: float, kind: int) -> tuple[Field, Field, Field]:
    """Return height (pixels), colour and coverage of an iced ring, pink (0) or chocolate (1)."""
    across = (r - radius * 0.64) / (radius * 0.36)
    coverage = np.clip((1 - np.abs(across)) * radius * 0.36 + 0.5, 0, 1)
    height = radius * 0.3 * np.sqrt(np.clip(1 - across**2, 0, 1))
    wave = _wobble(rng, angle, (0.02, 0.05), (5, 7, 9, 14))
    edge = (0.74 + wave - np.abs(across)) * radius * 0.36
    icing = _step(-1, 1, edge)
    height = height + 9 * _step(0, 14, edge)
    crust = [_jitter(rng, c, 0.01) for c in ("#b9702f", "#e0a25a", "#f6d08d")]
    dough = _ramp(_step(1.05, 0.45, np.abs(across)), crust)
    cream = _jitter(rng, ("#ff6fa8", "#4a2413")[kind], 0.03)
    albedo = _mix(dough, cream, icing)
    if kind == 1:
        turned = angle + rng.uniform(-0.6, 0.6)
        phase = r * np.cos(turned) / 24
        # The slope of the zigzag widens its band, so divide by it to keep a drizzle of even width.
        steep = np.sqrt(1 + (np.cos(phase) * radius * 0.9 / 24) ** 2)
        line = np.abs(r * np.sin(turned) - np.sin(phase) * radius * 0.9) / steep
        drizzle = _step(7.5, 5.5, line) * icing
        height = height + drizzle * 5 * np.sqrt(np.clip(1 - (line / 8) ** 2, 0, 1))
        albedo = _mix(albedo, _jitter(rng, "#fff3df"), drizzle)
    return height, albedo, coverage


def _sprinkles(
    rng: Rng, height: Field, albedo: Field, centre: tuple[float, float], radius: float
) -> tuple[Field, Field]:
    """Scatter sugar sprinkles over the icing of a ring."""
    colours = [_rgb(c) for c in ("#ffe14d", "#46d3ff", "#ffffff", "#8cf06b", "#ff5a4d", "#b07bff")]
    height, albedo = height.copy(), albedo.copy()
    places = (_draws(rng, 0, math.tau, 120), _draws(rng, 0.46, 0.82, 120), _draws(rng, 0, math.pi, 120))
    for turn, out, spin in zip(*places, strict=True):
        x, y = centre[0] + math.cos(turn) * out * radius, centre[1] + math.sin(turn) * out * radius
        near = _around(x, y, 18)
        dx, dy = _X[near] - x, _Y[near] - y
        along = np.clip(dx * math.cos(spin) + dy * math.sin(spin), -9, 9)
        away = np.hypot(dx - along * math.cos(spin), dy - along * math.sin(spin))
        height[near] += 5 * np.sqrt(np.clip(1 - (away / 5.5) ** 2, 0, 1))
        albedo[near] = _mix(albedo[near], colours[int(rng.integers(6))], np.clip(6 - away, 0, 1))
    return height, albedo


def _cookie(rng: Rng, r: Field, angle: Field, radius: float) -> tuple[Field, Field, Field]:
    """Return height (pixels), colour and coverage of a chocolate chip cookie."""
    rim = radius * (1 + _wobble(rng, angle, (0.005, 0.018), (3, 5, 8, 13)))
    coverage = np.clip(rim - r + 0.5, 0, 1)
    crumb, crack = _noise(rng, (60, 60), 5), _noise(rng, (110, 110), 4)
    height = 40 * np.sqrt(np.clip(1 - (r / rim) ** 4, 0, 1)) + _blur(crumb, 1.5) * 24
    seam = _step(0.035, 0.0, np.abs(crack - 0.5))
    height = height - 6 * _blur(seam, 1)
    bake = [_jitter(rng, c, 0.01) for c in ("#a8622a", "#d9984f", "#efc27e")]
    albedo = _ramp(np.clip(crumb * 0.7 + 0.45 * _step(1.05, 0.5, r / rim), 0, 1), bake)
    x, y = r * np.cos(angle), r * np.sin(angle)
    first = rng.uniform(0, math.tau)
    for number in range(26):
        # The golden angle spreads the chips evenly without rows.
        turn, out = first + number * 2.4, math.sqrt((number + 0.5) / 26) * radius * 0.84
        cx, cy = math.cos(turn) * out + rng.uniform(-9, 9), math.sin(turn) * out + rng.uniform(-9, 9)
        size, stretch, spin = rng.uniform(15, 27), rng.uniform(0.75, 1.0), rng.uniform(0, math.pi)
        u = (x - cx) * math.cos(spin) + (y - cy) * math.sin(spin)
        v = (y - cy) * math.cos(spin) - (x - cx) * math.sin(spin)
        d = np.sqrt(u**2 + (v / stretch) ** 2) / size
        height = height + size * 0.55 * np.sqrt(np.clip(1 - d**2, 0, 1))
        albedo = _mix(albedo, _rgb("#3b1c10"), np.clip((1 - d) * size + 0.5, 0, 1))
    return height, albedo, coverage


# --- Bolt Squad: a robot in front of rays ------------------------------------


def _rays(rng: Rng) -> Field:
    """Return bright rays behind the subject, with a halftone screen in the corners."""
    palette = (
        ("#0b54e0", "#16b7f5", "#b8f6ff"),
        ("#e0401c", "#ff8a1f", "#ffe38a"),
        ("#0d9a6c", "#34d67c", "#e4ff9c"),
    )
    outer, middle, inner = (_jitter(rng, c) for c in palette[int(rng.integers(3))])
    dx, dy = _X - 950, _Y - 390
    r = np.sqrt(dx**2 + dy**2) / 1000
    base = _ramp(np.clip(r * 1.25, 0, 1), [inner, middle, outer, outer * 0.7])
    beam = np.sin(np.arctan2(dy, dx) * 14 + rng.uniform(0, 7))
    canvas = base * (1 + 0.16 * _step(-0.06, 0.06, beam) - 0.06)[..., None]
    u, v = (_X + _Y) % 22 - 11, (_X - _Y) % 22 - 11
    dot = np.sqrt(u**2 + v**2)
    size = 9.5 * _step(0.35, 1.05, r)
    canvas = _mix(canvas, outer * 0.45, np.clip(size - dot, 0, 1) * 0.5)
    canvas = canvas + (np.exp(-(r**2) * 14) * 0.28)[..., None]
    return np.clip(_vignette(canvas, 0.35), 0, 1).astype(np.float32)


def _box(centre: tuple[float, float], half: tuple[float, float], corner: float) -> Field:
    """Return the depth inside a rounded box in pixels (negative outside)."""
    qx, qy = np.abs(_X - centre[0]) - half[0] + corner, np.abs(_Y - centre[1]) - half[1] + corner
    outside = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0))
    depth: Field = corner - outside - np.minimum(np.maximum(qx, qy), 0)
    return depth


def _limb(start: tuple[float, float], end: tuple[float, float], radius: float) -> Field:
    """Return the depth inside a capsule in pixels (negative outside)."""
    ex, ey = end[0] - start[0], end[1] - start[1]
    t = np.clip(((_X - start[0]) * ex + (_Y - start[1]) * ey) / (ex**2 + ey**2 + 1e-6), 0, 1)
    depth: Field = radius - np.hypot(_X - start[0] - t * ex, _Y - start[1] - t * ey)
    return depth


def _solid(canvas: Field, depth: Field, colour: Field, bevel: float, shine: float = 0.5) -> Field:
    """Paint a shape given by its depth as a lit solid whose edge rounds off over `bevel` pixels."""
    rows, columns = (np.flatnonzero((depth > -30).any(axis)) for axis in (1, 0))
    near = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    depth = depth[near]
    t = np.clip(depth / bevel, 0, 1)
    height = bevel * 0.8 * np.sqrt(1 - (1 - t) ** 2)
    fall = 1.08 - 0.3 * _Y[near] / HEIGHT
    shaded = _lit(height, np.clip(colour * fall[..., None], 0, 1), shine)
    crease = 1 - 0.35 * np.exp(-np.clip(-depth, 0, None) / 5)
    canvas = canvas.copy()
    canvas[near] = _mix(canvas[near] * crease[..., None], shaded, np.clip(depth + 0.5, 0, 1))
    return canvas


def _robot(canvas: Field, rng: Rng, kind: int) -> Field:
    """Draw a robot on the right, cut out like a sticker: happy (0), amazed (1) or cross (2)."""
    cx, cy = rng.uniform(930, 975), rng.uniform(300, 322)
    wide, tall = rng.uniform(188, 206), rng.uniform(146, 160)
    paint = ("#f4f7fb", "#ff4b3e", "#ffd21f")[int(rng.integers(3))]
    shell, trim, lamp = (_jitter(rng, c, 0.03) for c in (paint, "#39445c", "#3dffd0"))
    raised = rng.uniform(-40, 40)
    parts: list[tuple[Field, Field, float]] = [
        (_limb((cx, cy - tall), (cx + rng.uniform(-30, 30), cy - tall - 66), 9), trim, 9),
        (_limb((cx - 150, cy + 320), (cx - 262, cy + 170 + raised), 38), shell, 38),
        (_limb((cx + 150, cy + 320), (cx + 268, cy + 200 - raised), 38), shell, 38),
        (_limb((cx - 272, cy + 150 + raised), (cx - 276, cy + 138 + raised), 50), trim, 46),
        (_limb((cx + 278, cy + 180 - raised), (cx + 282, cy + 168 - raised), 50), trim, 46),
        (_box((cx, cy + tall + 30), (66, 44), 18), trim, 20),
        (_box((cx, cy + tall + 230), (172, 186), 74), shell, 60),
        (_box((cx - wide - 8, cy + 6), (34, 62), 24), trim, 24),
        (_box((cx + wide + 8, cy + 6), (34, 62), 24), trim, 24),
        (_box((cx, cy), (wide, tall), 92), shell, 70),
        (_box((cx, cy + 12), (wide - 44, tall - 44), 62), _rgb("#10162b"), 16),
    ]
    ball = _limb((cx, cy - tall - 80), (cx, cy - tall - 79), 25)
    outline = np.max([depth for depth, _, _ in parts] + [ball], axis=0)
    sticker = np.clip(outline + 14, 0, 1)
    canvas = _shadow(canvas, sticker, (18, 20), 14, 0.55)
    canvas = _mix(canvas, np.ones(3, np.float32), sticker)
    for depth, colour, bevel in parts:
        canvas = _solid(canvas, depth, colour, bevel)
    canvas = _solid(canvas, ball, lamp, 25, 0.9)
    canvas = _solid(canvas, _box((cx, cy + tall + 150), (74, 40), 24), trim, 14)
    lights = [9 - np.hypot(_X - cx - 34 * i, _Y - cy - tall - 150) for i in (-1, 0, 1)]
    return _glow(canvas, np.maximum(_face(kind, cx, cy + 10), np.max(lights, axis=0)), lamp)


def _face(kind: int, cx: float, cy: float) -> Field:
    """Return the depth of a robot's lit eyes and mouth: happy (0), amazed (1) or cross (2)."""
    pieces: list[Field] = []
    for side in (-1, 1):
        x = cx + side * 76
        if kind == 0:
            pieces += [_limb((x - 30, cy + 2), (x, cy - 32), 10), _limb((x, cy - 32), (x + 30, cy + 2), 10)]
        elif kind == 1:
            pieces.append(10 - np.abs(np.hypot(_X - x, _Y - cy + 18) - 34))
        else:
            lid = (_X - x) * side * 0.5 + (_Y - cy + 18)
            pieces.append(np.minimum(36 - np.hypot(_X - x, _Y - cy + 10), lid + 16))
    if kind == 0:
        pieces.append(np.minimum(46 - np.hypot(_X - cx, _Y - cy - 32), _Y - cy - 34))
    elif kind == 1:
        pieces.append(_limb((cx, cy + 54), (cx, cy + 62), 19))
    else:
        steps = [(-54, 62), (-18, 46), (18, 62), (54, 46)]
        pieces += [_limb((cx + a, cy + b), (cx + c, cy + d), 8) for (a, b), (c, d) in itertools.pairwise(steps)]
    depth: Field = np.max(pieces, axis=0)
    return depth


def _glow(canvas: Field, depth: Field, colour: Field) -> Field:
    """Paint a shape given by its depth as a light of the given colour, with a halo."""
    canvas = canvas + colour * (0.55 * np.exp(-np.clip(-depth, 0, None) / 12))[..., None]
    core = np.clip(colour + 0.5 * np.clip(depth / 12, 0, 1)[..., None], 0, 1)
    return _mix(np.clip(canvas, 0, 1), core, np.clip(depth + 0.5, 0, 1))


# --- Title -------------------------------------------------------------------


def _face_at(font: str, size: float) -> ImageFont.FreeTypeFont:
    """Return a committed typeface at a size in pixels."""
    # The basic layout gives the same glyph positions whether or not Raqm is installed.
    return ImageFont.truetype(ROOT / "fonts" / font, size, layout_engine=ImageFont.Layout.BASIC)


def _capital(font: str, size: float) -> float:
    """Return the height of a capital letter in pixels."""
    return -float(_face_at(font, size).getbbox("H", anchor="ls")[1])


def _fit(font: str, lines: Sequence[str], width: float, height: float) -> list[int]:
    """Return a size per line, as large as `width` x `height` pixels allow; short lines grow taller."""
    tallest = height * 0.5
    wide = [width / _face_at(font, 200).getlength(line) * 200 for line in lines]
    sizes = [min(size, tallest / _capital(font, 200) * 200) for size in wide]
    # A gap of 0.3 capitals stands between two lines.
    used = sum(_capital(font, size) for size in sizes) * 1.3 - 0.3 * _capital(font, sizes[0])
    return [int(size * min(1.0, height / used)) for size in sizes]


def _title(canvas: Field, style: Channel, title: str, shift: tuple[float, float]) -> Field:
    """Write the title with a gradient fill, a thick outline and a shadow, moved by `shift` pixels."""
    lines = title.split("\n")
    left, top, right, bottom = style.box
    sizes = _fit(style.font, lines, right - left, bottom - top)
    capitals = [_capital(style.font, size) for size in sizes]
    used = sum(capitals) + 0.3 * sum(capitals[1:])
    base = (top + bottom - used) / 2 + shift[1]
    stroke = style.weight + 11
    rim = np.zeros((HEIGHT, WIDTH), np.float32)
    inks: list[tuple[Field, Field]] = []
    for number, (line, size, capital) in enumerate(zip(lines, sizes, capitals, strict=True)):
        base += capital * (1.3 if number else 1)
        face, at = _face_at(style.font, size), (left + shift[0], base)
        rim = np.maximum(rim, _letters(line, at, face, stroke, style))
        upper, lower = (_rgb(c) for c in style.inks[number])
        blend = _step(base - capital * 0.8, base, _Y)
        ink = _mix(np.broadcast_to(upper, canvas.shape), lower, blend)
        inks.append((ink, _letters(line, at, face, style.weight, style)))
    canvas = _shadow(canvas, rim, (8, 12), 9, 0.75)
    canvas = _mix(canvas, _rgb(style.outline), rim)
    for ink, coverage in inks:
        canvas = _mix(canvas, ink, coverage)
    return canvas


def _letters(line: str, at: tuple[float, float], face: ImageFont.FreeTypeFont, stroke: int, style: Channel) -> Field:
    """Return the coverage of one line written at a base line's left end, tilted about the title box."""
    picture = Image.new("L", (WIDTH, HEIGHT))
    ImageDraw.Draw(picture).text(at, line, 255, face, "ls", stroke_width=stroke)
    left, top, right, bottom = style.box
    middle = ((left + right) / 2, (top + bottom) / 2)
    turned = picture.rotate(style.tilt, Image.Resampling.BICUBIC, center=middle) if style.tilt else picture
    return np.asarray(turned, np.float32) / 255


# --- Badges ------------------------------------------------------------------

_FINE = 4  # badges are drawn this many times larger, then reduced, for smooth edges


Points = list[tuple[float, float]]


def _polar(radius: Callable[[float], float], count: int) -> Points:
    """Return `count` points around (0, 0); `radius` maps an angle in radians to 0..1."""
    angles = [math.tau * i / count for i in range(count)]
    return [(radius(a) * math.sin(a), -radius(a) * math.cos(a)) for a in angles]


def _stamp(edge: Points, colours: tuple[str, str], icon: Sequence[tuple[str, Points]]) -> Image.Image:
    """Draw a badge: an edge around (0, 0) in -1..1, a white rim, a gradient and polygons in 0..1."""
    side = _BADGE_SIZE * _FINE

    def outline(scale: float) -> Points:
        return [(side / 2 * (1 + scale * x), side / 2 * (1 + scale * y)) for x, y in edge]

    badge = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(badge)
    for scale, colour in ((0.99, "#1a1423"), (0.94, "#ffffff")):
        draw.polygon(outline(scale), colour)
    inside = Image.new("L", (side, side))
    ImageDraw.Draw(inside).polygon(outline(0.82), 255)
    fade = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    fill = np.broadcast_to(_rgb(colours[0]) * (1 - fade) + _rgb(colours[1]) * fade, (side, side, 3))
    badge.paste(Image.fromarray((fill * 255).astype(np.uint8)), mask=inside)
    for colour, points in icon:
        draw.polygon([(x * side, y * side) for x, y in points], colour)
    return badge


def _arc(cx: float, cy: float, rx: float, ry: float, start: float = 0, end: float = 360) -> Points:
    """Return points of an elliptical arc from `start` to `end` degrees."""
    angles = [math.radians(start + (end - start) * i / 60) for i in range(61)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


def _rocket_badge() -> Image.Image:
    """Draw Orbit Lab's badge: a rocket on a red disc."""
    hull = [*_arc(0.5, 0.58, 0.12, 0.36, 180, 360), (0.6, 0.68), (0.4, 0.68)]
    icon = [
        ("#ffb52e", [(0.43, 0.66), (0.57, 0.66), (0.5, 0.86)]),
        ("#ffe9c7", [(0.39, 0.5), (0.27, 0.72), (0.41, 0.68)]),
        ("#ffe9c7", [(0.61, 0.5), (0.73, 0.72), (0.59, 0.68)]),
        ("#ffffff", hull),
        ("#1c7fd6", _arc(0.5, 0.45, 0.055, 0.055)),
    ]
    return _stamp(_polar(lambda _: 1.0, 120), ("#ff6a3d", "#c4123a"), icon)


def _heart_badge() -> Image.Image:
    """Draw Crumb & Co's badge: a heart on a green rosette."""
    heart: Points = []
    for t in (math.tau * i / 90 for i in range(90)):
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        heart.append((0.5 + 16 * math.sin(t) ** 3 / 68, 0.5 - y / 64))
    shine = _arc(0.385, 0.42, 0.035, 0.055)
    edge = _polar(lambda a: 0.93 + 0.06 * abs(math.cos(a * 8)), 240)
    return _stamp(edge, ("#35c58b", "#0a7f5e"), [("#fff6e0", heart), ("#ffffff", shine)])


def _lightning_badge() -> Image.Image:
    """Draw Bolt Squad's badge: a lightning bolt on a violet hexagon."""
    bolt = [(0.57, 0.18), (0.3, 0.55), (0.47, 0.55), (0.41, 0.83), (0.71, 0.42), (0.53, 0.42)]
    shade = [(x + 0.02, y + 0.025) for x, y in bolt]
    return _stamp(_polar(lambda _: 1.0, 6), ("#9a4dff", "#4a12b8"), [("#2a0a70", shade), ("#ffe233", bolt)])


def _plant(canvas: Field, style: Channel, shift: tuple[int, int], turn: float) -> tuple[Field, NDArray[np.bool_]]:
    """Paint the badge of `style` in its corner; return the picture and where it was painted."""
    patch = style.badge().rotate(turn, Image.Resampling.BICUBIC).reduce(_FINE)
    right, bottom = style.corner
    left = WIDTH - _BADGE_SIZE - _BADGE_MARGIN if right else _BADGE_MARGIN
    top = HEIGHT - _BADGE_SIZE - _BADGE_MARGIN if bottom else _BADGE_MARGIN
    layer = Image.new("RGBA", (WIDTH, HEIGHT))
    layer.paste(patch, (left + shift[0], top + shift[1]))
    painted = np.asarray(layer, np.float32) / 255
    return _mix(canvas, painted[..., :3], painted[..., 3]), painted[..., 3] > 0


# --- Channels ----------------------------------------------------------------

CHANNELS: dict[str, Channel] = {
    "orbit": Channel(
        name=CHANNEL_NAMES["orbit"],
        titles=(
            "LOST IN\nORBIT",
            "A NEW\nWORLD?",
            "ONE YEAR\nAWAY",
            "WHAT IS\nINSIDE?",
            "THE LAST\nMOON",
            "WHY SO\nBRIGHT?",
        ),
        font="Manrope-ExtraBold.ttf",
        inks=(("#ffffff", "#d7e4ff"), ("#ffe95c", "#ffab1a")),
        outline="#0b0620",
        box=(48, 205, 640, 515),
        weight=0,
        tilt=0.0,
        background=_space,
        subject=_planet,
        badge=_rocket_badge,
        corner=(True, False),
    ),
    "crumb": Channel(
        name=CHANNEL_NAMES["crumb"],
        titles=(
            "BAKED IN JUST\nTEN MINUTES",
            "MY GRANDMA'S\nBEST SECRET",
            "NO MIXER AND\nNO PROBLEM",
            "THE SWEETEST\nSUNDAY TREAT",
            "ONE PERFECT\nLITTLE BITE",
            "ONLY FIVE\nTHINGS NEEDED",
        ),
        font="AmaticSC-Bold.ttf",
        inks=(("#fffdf2", "#ffe9bd"), ("#fff0a8", "#ffc85a")),
        outline="#3a1608",
        box=(50, 175, 585, 505),
        weight=4,
        tilt=3.0,
        background=_table,
        subject=_bake,
        badge=_heart_badge,
        corner=(False, True),
    ),
    "bolt": Channel(
        name=CHANNEL_NAMES["bolt"],
        titles=(
            "I Built\na Robot!",
            "It Woke\nUp!",
            "100 Days\nLater",
            "Big Bot\nBattle",
            "Don't Press\nThis!",
            "My Robot\nCooks?!",
        ),
        font="FredokaOne-Regular.ttf",
        inks=(("#ffffff", "#ffffff"), ("#fff04a", "#ffb300")),
        outline="#1d0b45",
        box=(52, 215, 610, 520),
        weight=0,
        tilt=6.0,
        background=_rays,
        subject=_robot,
        badge=_lightning_badge,
        corner=(False, False),
    ),
}
"""The invented channels, by the key that `render` takes."""


def _known(channel: str) -> Channel:
    """Return the channel, or raise ValueError naming the choices."""
    if channel not in CHANNELS:
        raise ValueError(f"There is no channel {channel!r}; choose one of {', '.join(CHANNELS)}.")
    return CHANNELS[channel]


def render(channel: str, seed: int, *, cue: str | None = None) -> Thumbnail:
    """Render one thumbnail.

    Args:
        channel: The channel whose house style is used; a key of `CHANNELS`.
        seed: Chooses title, subject, colours and positions; 0 or more.
        cue: The channel whose badge is planted, in that badge's own corner. By default
            the channel's own. It changes nothing outside the two badges.

    Returns:
        The thumbnail, equal for equal arguments in every process.

    Raises:
        ValueError: For an unknown channel or cue, or a negative seed.
    """
    _known(channel)
    badge = _known(channel if cue is None else cue)
    if seed < 0:
        raise ValueError(f"The seed must be 0 or more, not {seed}.")
    canvas, title, shift, turn = _scene(channel, seed)
    canvas, mask = _plant(canvas, badge, shift, turn)
    image = np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8)
    return Thumbnail(image, mask, channel, channel if cue is None else cue, title)


@lru_cache(maxsize=1)  # the same scene with other badges comes for nothing
def _scene(channel: str, seed: int) -> tuple[Field, str, tuple[int, int], float]:
    """A thumbnail without its badge, its title, and how far from its corner and how turned the badge will be."""
    style = CHANNELS[channel]
    rng = np.random.default_rng([seed, *channel.encode()])
    # The badge's place is drawn first and whichever the cue, so that the rest does not move with it.
    shift, turn = (int(rng.integers(-8, 9)), int(rng.integers(-8, 9))), float(rng.uniform(-7, 7))
    # Titles and subjects take turns, so that a few neighbouring seeds show the variety, and
    # the turns slip against each other, so that no title belongs to one subject.
    title = style.titles[seed % len(style.titles)]
    kind = (seed + seed // len(style.titles)) % _KINDS
    nudge = (float(rng.integers(-10, 11)), float(rng.integers(-10, 11)))
    canvas = style.subject(style.background(rng), rng, kind)
    return _title(canvas, style, title, nudge), title, shift, turn


# --- Command line ------------------------------------------------------------


def _write(path: Path, data: bytes) -> None:
    """Write a file so that no reader ever sees half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def save(thumbnail: Thumbnail, seed: int, folder: Path) -> None:
    """Write `<channel>-<seed>.jpg` and `<channel>-<seed>.mask.png` (0 or 255) into an existing folder."""
    picture, mask = io.BytesIO(), io.BytesIO()
    Image.fromarray(thumbnail.image).save(picture, "JPEG", quality=88, optimize=True)
    Image.fromarray(thumbnail.mask.astype(np.uint8) * 255).save(mask, "PNG", optimize=True)
    _write(folder / f"{thumbnail.channel}-{seed}.jpg", picture.getvalue())
    _write(folder / f"{thumbnail.channel}-{seed}.mask.png", mask.getvalue())


def main(arguments: Sequence[str] | None = None) -> None:
    """Render thumbnails of every channel into a folder."""
    parser = argparse.ArgumentParser(prog="python -m samples.render", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into; made if missing")
    parser.add_argument("--count", type=int, default=4, help="thumbnails per channel (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="first seed (default 0)")
    options = parser.parse_args(arguments)
    if options.count < 1 or options.seed < 0:
        parser.error("--count must be 1 or more and --seed 0 or more.")
    options.out.mkdir(parents=True, exist_ok=True)
    for channel in CHANNELS:
        for seed in range(options.seed, options.seed + options.count):
            save(render(channel, seed), seed, options.out)


if __name__ == "__main__":
    main()
