"""The titles of the thumbnails."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from samples import ROOT
from samples.channel import Channel
from samples.drawing import HEIGHT, WIDTH, Field, Y, cast_shadow, mix, rgb, smooth_step


def _load_font(font: str, size: float) -> ImageFont.FreeTypeFont:
    """Return a font of the repository at a size in pixels."""
    # The basic layout gives the same glyph positions with and without Raqm.
    return ImageFont.truetype(ROOT / "fonts" / font, size, layout_engine=ImageFont.Layout.BASIC)


def _capital_height(font: str, size: float) -> float:
    """Return the height of a capital letter in pixels."""
    return -float(_load_font(font, size).getbbox("H", anchor="ls")[1])


def _fit_sizes(font: str, lines: Sequence[str], width: float, height: float) -> list[int]:
    """Return a font size per line, as large as `width` x `height` pixels allow; short lines get taller letters."""
    tallest = height * 0.5
    wide = [width / _load_font(font, 200).getlength(line) * 200 for line in lines]
    sizes = [min(size, tallest / _capital_height(font, 200) * 200) for size in wide]
    # A gap of 0.3 capitals stands between two lines.
    used = sum(_capital_height(font, size) for size in sizes) * 1.3 - 0.3 * _capital_height(font, sizes[0])
    return [int(size * min(1.0, height / used)) for size in sizes]


def write_title(canvas: Field, style: Channel, title: str, shift: tuple[float, float]) -> Field:
    """Write the title with a gradient fill, a thick outline and a shadow.

    Args:
        canvas: The picture so far.
        style: The channel, with font, colours and box.
        title: Two lines, split by a newline.
        shift: Pixels by which the title is moved, (right, down).
    """
    lines = title.split("\n")
    left, top, right, bottom = style.box
    sizes = _fit_sizes(style.font, lines, right - left, bottom - top)
    capitals = [_capital_height(style.font, size) for size in sizes]
    used = sum(capitals) + 0.3 * sum(capitals[1:])
    base = (top + bottom - used) / 2 + shift[1]
    stroke = style.weight + 11
    rim = np.zeros((HEIGHT, WIDTH), np.float32)
    inks: list[tuple[Field, Field]] = []
    for number, (line, size, capital) in enumerate(zip(lines, sizes, capitals, strict=True)):
        base += capital * (1.3 if number else 1)
        face, at = _load_font(style.font, size), (left + shift[0], base)
        rim = np.maximum(rim, _letters(line, at, face, stroke, style))
        upper, lower = (rgb(c) for c in style.inks[number])
        blend = smooth_step(base - capital * 0.8, base, Y)
        ink = mix(np.broadcast_to(upper, canvas.shape), lower, blend)
        inks.append((ink, _letters(line, at, face, style.weight, style)))
    canvas = cast_shadow(canvas, rim, (8, 12), 9, 0.75)
    canvas = mix(canvas, rgb(style.outline), rim)
    for ink, coverage in inks:
        canvas = mix(canvas, ink, coverage)
    return canvas


def _letters(line: str, at: tuple[float, float], face: ImageFont.FreeTypeFont, stroke: int, style: Channel) -> Field:
    """Return the coverage of one line, turned about the middle of the title's box. `at`: the left end of its base line."""
    picture = Image.new("L", (WIDTH, HEIGHT))
    ImageDraw.Draw(picture).text(at, line, 255, face, "ls", stroke_width=stroke)
    left, top, right, bottom = style.box
    middle = ((left + right) / 2, (top + bottom) / 2)
    turned = picture.rotate(style.tilt, Image.Resampling.BICUBIC, center=middle) if style.tilt else picture
    return np.asarray(turned, np.float32) / 255
