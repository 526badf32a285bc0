"""Drawing functions on float arrays: noise, shapes given by their depth, light and shadow."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

WIDTH, HEIGHT = 1280, 720
"""Size of every thumbnail, in pixels."""

Field = NDArray[np.floating[Any]]
"""A float array: (H, W) for a coverage or a height, (H, W, 3) for RGB in 0..1."""

Rng = np.random.Generator

Y, X = (axis.astype(np.float32) for axis in np.mgrid[0:HEIGHT, 0:WIDTH])


def rgb(colour: str) -> Field:
    """Return "#rrggbb" as a float32 array (3,) in 0..1."""
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32)


def jitter(rng: Rng, colour: str, hue: float = 0.025, value: float = 0.06) -> Field:
    """Return the colour with a random change of hue (at most `hue` of a turn) and of value (at most `value`)."""
    h, s, v = colorsys.rgb_to_hsv(*(float(c) for c in rgb(colour)))
    h, v = (h + rng.uniform(-hue, hue)) % 1, min(1.0, max(0.0, v + rng.uniform(-value, value)))
    return np.array(colorsys.hsv_to_rgb(h, s, v), np.float32)


def uniform_draws(rng: Rng, low: float, high: float, count: int) -> list[float]:
    """Return `count` uniform random numbers as Python floats, which keep float32 arrays float32."""
    values: list[float] = rng.uniform(low, high, count).tolist()
    return values


def mix(under: Field, over: Field, coverage: Field) -> Field:
    """Blend `over` (a colour or a picture) over `under`, with coverage (H, W) in 0..1."""
    return (under + (over - under) * coverage[..., None]).astype(np.float32, copy=False)


def colour_ramp(values: Field, colours: Sequence[Field]) -> Field:
    """Return the colours of values in 0..1, on a gradient through evenly spaced `colours`."""
    stops = np.linspace(0, 1, len(colours))
    bands = [np.interp(values, stops, [c[i] for c in colours]) for i in range(3)]
    return np.stack(bands, -1).astype(np.float32)


def smooth_step(low: float, high: float, values: Field) -> Field:
    """Return the smooth step from 0 at `low` to 1 at `high`."""
    t = np.clip((values - low) / (high - low), 0, 1)
    smooth: Field = (t * t * (3 - 2 * t)).astype(np.float32, copy=False)
    return smooth


def fractal_noise(
    rng: Rng, cell: tuple[float, float], octaves: int = 5, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> Field:
    """Return smooth fractal noise in 0..1.

    Args:
        rng: The source of randomness.
        cell: Height and width of the coarsest cell, in pixels.
        octaves: The number of layers, each with half the cell and half the height of the one before.
        size: Height and width of the result, in pixels.
    """
    total = np.zeros(size, np.float32)
    for octave in range(octaves):
        grid = [max(2, round(side / step * 2**octave)) for side, step in zip(size, cell, strict=True)]
        coarse = Image.fromarray(rng.random(grid, np.float32))
        total += np.asarray(coarse.resize(size[::-1], Image.Resampling.BICUBIC)) * 0.5**octave
    scaled: Field = (total - total.min()) / (total.max() - total.min())
    return scaled


def blur(field: Field, radius: float) -> Field:
    """Blur a coverage in 0..1 with a Gaussian of `radius` pixels."""
    picture = Image.fromarray((np.clip(field, 0, 1) * 255).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def vignette(canvas: Field, strength: float) -> Field:
    """Darken towards the corners. In the corners it removes the share `strength` (0..1)."""
    far = ((X / WIDTH - 0.5) ** 2 + (Y / HEIGHT - 0.5) ** 2) * 2
    dark: Field = canvas * (1 - strength * far)[..., None]
    return dark


def light_surface(
    height: Field, albedo: Field, shine: float, light: tuple[float, float, float] = (-0.5, -0.6, 0.62)
) -> Field:
    """Return a lit surface.

    Args:
        height: Of the surface, in pixels.
        albedo: Its colours.
        shine: The strength of the highlights.
        light: The direction of the light.
    """
    slope_y, slope_x = np.gradient(height)
    length = np.sqrt(slope_x**2 + slope_y**2 + 1)
    facing = (-slope_x * light[0] - slope_y * light[1] + light[2]) / length
    norm = math.hypot(light[0], light[1], light[2] + 1)
    half = (light[0] / norm, light[1] / norm, (light[2] + 1) / norm)  # the direction halfway between light and viewer
    mirror = np.clip((-slope_x * half[0] - slope_y * half[1] + half[2]) / length, 0, 1)
    shaded: Field = albedo * (0.42 + 0.72 * np.clip(facing, 0, 1))[..., None] + shine * (mirror**40)[..., None]
    shaded = np.clip(shaded, 0, 1).astype(np.float32)
    return shaded


def cast_shadow(canvas: Field, coverage: Field, offset: tuple[int, int], radius: float, strength: float) -> Field:
    """Darken the canvas with a shadow.

    Args:
        canvas: The picture so far.
        coverage: Of the object that casts the shadow.
        offset: Pixels by which the shadow is moved, (right, down), 0 or more.
        radius: Of the blur, in pixels.
        strength: How dark the shadow is, 0..1.
    """
    dx, dy = offset
    moved = np.zeros_like(coverage)
    moved[dy:, dx:] = coverage[: HEIGHT - dy, : WIDTH - dx]
    shaded: Field = canvas * (1 - strength * blur(moved, radius))[..., None]
    return shaded


def window_around(x: float, y: float, reach: float) -> tuple[slice, slice]:
    """Return the (rows, columns) of the canvas within `reach` pixels of a point."""
    rows = slice(max(0, int(y - reach)), max(0, int(y + reach) + 2))
    return rows, slice(max(0, int(x - reach)), max(0, int(x + reach) + 2))


def sum_of_waves(rng: Rng, angle: Field, span: tuple[float, float], waves: Sequence[int]) -> Field:
    """Return a sum of waves around a circle.

    Args:
        rng: The source of randomness.
        angle: Around the circle, in radians.
        span: Limits of the random height of each wave.
        waves: The number of periods of each wave.
    """
    total = np.zeros_like(angle)
    for count in waves:
        total += rng.uniform(*span) * np.sin(angle * count + rng.uniform(0, 7))
    return total


def rounded_box(centre: tuple[float, float], half: tuple[float, float], corner: float) -> Field:
    """Return the depth inside a rounded box, in pixels; negative outside. `half`: half its width and height."""
    qx, qy = np.abs(X - centre[0]) - half[0] + corner, np.abs(Y - centre[1]) - half[1] + corner
    outside = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0))
    depth: Field = corner - outside - np.minimum(np.maximum(qx, qy), 0)
    return depth


def capsule(start: tuple[float, float], end: tuple[float, float], radius: float) -> Field:
    """Return the depth inside a capsule from `start` to `end`, in pixels; negative outside."""
    ex, ey = end[0] - start[0], end[1] - start[1]
    t = np.clip(((X - start[0]) * ex + (Y - start[1]) * ey) / (ex**2 + ey**2 + 1e-6), 0, 1)
    depth: Field = radius - np.hypot(X - start[0] - t * ex, Y - start[1] - t * ey)
    return depth


def paint_solid(canvas: Field, depth: Field, colour: Field, bevel: float, shine: float = 0.5) -> Field:
    """Paint a shape as a lit solid.

    Args:
        canvas: The picture so far.
        depth: Of the shape, in pixels; negative outside.
        colour: Of the shape.
        bevel: The width of its round edge, in pixels.
        shine: The strength of the highlights.
    """
    rows, columns = (np.flatnonzero((depth > -30).any(axis)) for axis in (1, 0))
    near = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    depth = depth[near]
    t = np.clip(depth / bevel, 0, 1)
    height = bevel * 0.8 * np.sqrt(1 - (1 - t) ** 2)
    fall = 1.08 - 0.3 * Y[near] / HEIGHT
    shaded = light_surface(height, np.clip(colour * fall[..., None], 0, 1), shine)
    crease = 1 - 0.35 * np.exp(-np.clip(-depth, 0, None) / 5)
    canvas = canvas.copy()
    canvas[near] = mix(canvas[near] * crease[..., None], shaded, np.clip(depth + 0.5, 0, 1))
    return canvas


def paint_glow(canvas: Field, depth: Field, colour: Field) -> Field:
    """Paint a shape as a light with a halo. `depth`: of the shape, in pixels; negative outside."""
    canvas = canvas + colour * (0.55 * np.exp(-np.clip(-depth, 0, None) / 12))[..., None]
    core = np.clip(colour + 0.5 * np.clip(depth / 12, 0, 1)[..., None], 0, 1)
    return mix(np.clip(canvas, 0, 1), core, np.clip(depth + 0.5, 0, 1))
