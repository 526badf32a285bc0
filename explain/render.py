"""Maps -> colours. Everything is uint8 RGB (H, W, 3); nothing here changes a number."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from explain.result import Explanation
from models.errors import UserError, unknown

# Perceptually uniform ones first; jet is offered because people ask for it, and invents edges that are not there.
COLORMAPS = ("inferno", "viridis", "magma", "plasma", "cividis", "turbo", "jet")
_INK, _PAPER = (32, 33, 36), (255, 255, 255)
_FOR, _AGAINST = (230, 97, 1), (44, 90, 200)  # orange and blue, which the colour-blind tell apart, too


@cache
def _table(colormap: str) -> np.ndarray:
    """The 256 colours (256, 3) of a colour map."""
    if colormap not in COLORMAPS:
        raise unknown("colour map", colormap, COLORMAPS)
    code = getattr(cv2, f"COLORMAP_{colormap.upper()}")
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], code)[:, 0, ::-1].copy()
    table.flags.writeable = False
    return table


def colours(heatmap: np.ndarray, colormap: str = COLORMAPS[0]) -> np.ndarray:
    """A map (H, W) in [0, 1] -> its colours. Raises ValueError for values that are not finite."""
    if not np.isfinite(heatmap).all():
        raise ValueError("the map holds values that are not finite")
    return _table(colormap)[(np.clip(heatmap, 0, 1) * 255).round().astype(np.uint8)]


def overlay(pixels: np.ndarray, heatmap: np.ndarray, colormap: str = COLORMAPS[0], opacity: float = 0.6) -> np.ndarray:
    """Picture uint8 (H, W, 3) under the colours of a map (H, W): `opacity` 0 is the picture, 1 the colours alone."""
    if not 0 <= opacity <= 1:
        raise UserError(f"Opacity goes from 0 to 1; got {opacity}.")
    return cv2.addWeighted(colours(heatmap, colormap), opacity, np.ascontiguousarray(pixels), 1 - opacity, 0)


def two_sided(pixels: np.ndarray, signed: np.ndarray, opacity: float = 0.9) -> np.ndarray:
    """Picture uint8 (H, W, 3), orange where a map (H, W) in [-1, 1] is positive and blue where it is negative.

    The colour covers as much as the map is far from zero; where it is zero the picture is untouched.
    """
    if not 0 <= opacity <= 1:
        raise UserError(f"Opacity goes from 0 to 1; got {opacity}.")
    cover = (np.abs(signed) * np.float32(opacity))[..., None]
    ink = np.where(signed[..., None] > 0, np.array(_FOR, np.float32), np.array(_AGAINST, np.float32))
    return (pixels * (1 - cover) + ink * cover).round().astype(np.uint8)


def drawn(pixels: np.ndarray, found: Explanation, colormap: str = COLORMAPS[0], opacity: float = 0.6) -> np.ndarray:
    """The picture under the explanation's colours: of one class, or of one against another."""
    if found.signed is None:
        return overlay(pixels, found.heatmap, colormap, opacity)
    return two_sided(pixels, found.signed, opacity)


def sheet(pixels: np.ndarray, found: Explanation, colormap: str = COLORMAPS[0], opacity: float = 0.6) -> np.ndarray:
    """The overlay with a legend under it: what is explained, by which method and model, and what the colours mean."""
    return np.vstack([drawn(pixels, found, colormap, opacity), legend(found, pixels.shape[1], colormap)])


def legend(found: Explanation, width: int, colormap: str = COLORMAPS[0]) -> np.ndarray:
    """A strip of that width with the explanation's caption and its colour bar."""
    size = max(9, min(28, width // 32))
    margin = min(size, width // 8)
    bar = min(max(40, width // 3), width - 2 * margin)
    font, small = ImageFont.load_default(size), ImageFont.load_default(round(size * 0.85))
    strip = Image.new("RGB", (width, round(size * 3.4)), _PAPER)
    draw = ImageDraw.Draw(strip)
    asked = f"{found.label}  {found.probability:.1%}"
    if found.against:
        asked += f", not {found.against.label}  {found.against.probability:.1%}"
    for row, line in enumerate([asked, f"{found.method}, {found.model}"]):
        while line and draw.textlength(line, font) > width - bar - 3 * margin:
            line = line[:-2] + "…" if len(line) > 2 else ""
        draw.text((margin, size * (0.5 + 1.25 * row)), line, _INK, font)
    left, top = width - bar - margin, round(size * 0.6)
    if found.against:
        ramp = two_sided(np.full((size, bar, 3), _PAPER, np.uint8), np.tile(np.linspace(-1, 1, bar), (size, 1)))
        ends = "for the other", "for this class"
    else:
        ramp = colours(np.broadcast_to(np.linspace(0, 1, bar), (size, bar)), colormap)
        ends = "none", "most evidence"
    strip.paste(Image.fromarray(ramp), (left, top))
    if draw.textlength("  ".join(ends), small) <= bar:
        draw.text((left, top + size * 1.3), ends[0], _INK, small)
        draw.text((left + bar, top + size * 1.3), ends[1], _INK, small, anchor="ra")
    return np.asarray(strip)
