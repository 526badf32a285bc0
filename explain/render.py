"""Maps as colours. All images are uint8 RGB (H, W, 3); nothing here rescales a map."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core.errors import UserError, unknown
from explain.result import Explanation

# Perceptually uniform ones first. Many people expect jet, but it shows edges that are not in the map.
COLORMAPS = ("inferno", "viridis", "magma", "plasma", "cividis", "turbo", "jet")
_INK, _PAPER = (32, 33, 36), (255, 255, 255)
_POSITIVE, _NEGATIVE = (230, 97, 1), (44, 90, 200)  # orange and blue: colour-blind people can tell them apart


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
    """The colours of a map (H, W) in [0, 1]. Raises ValueError for values that are not finite."""
    if not np.isfinite(heatmap).all():
        raise ValueError("the map holds values that are not finite")
    return _table(colormap)[(np.clip(heatmap, 0, 1) * 255).round().astype(np.uint8)]


def check_opacity(opacity: float) -> None:
    """Raises UserError unless it is in [0, 1]."""
    if not 0 <= opacity <= 1:
        raise UserError(f"The opacity must be a number from 0 to 1, not {opacity}.")


def overlay(pixels: np.ndarray, heatmap: np.ndarray, colormap: str = COLORMAPS[0], opacity: float = 0.6) -> np.ndarray:
    """Blend a picture with the colours of a map.

    Args:
        pixels: uint8 (H, W, 3).
        heatmap: (H, W) in [0, 1].
        colormap: One of COLORMAPS.
        opacity: 0 gives the picture, 1 the colours alone.

    Raises:
        UserError: The opacity is not in [0, 1] or the colour map is unknown.
    """
    check_opacity(opacity)
    return cv2.addWeighted(colours(heatmap, colormap), opacity, np.ascontiguousarray(pixels), 1 - opacity, 0)


def overlay_signed(pixels: np.ndarray, signed: np.ndarray, opacity: float = 0.9) -> np.ndarray:
    """Blend a picture with a signed map: orange where it is positive, blue where it is negative.

    Args:
        pixels: uint8 (H, W, 3).
        signed: (H, W) in [-1, 1]. Where it is zero, the picture does not change.
        opacity: Of the colour where the map is -1 or 1, in [0, 1].
    """
    check_opacity(opacity)
    cover = (np.abs(signed) * np.float32(opacity))[..., None]
    ink = np.where(signed[..., None] > 0, np.array(_POSITIVE, np.float32), np.array(_NEGATIVE, np.float32))
    return (pixels * (1 - cover) + ink * cover).round().astype(np.uint8)


def draw(
    pixels: np.ndarray, explanation: Explanation, colormap: str = COLORMAPS[0], opacity: float = 0.6
) -> np.ndarray:
    """The overlay of an explanation, with both signs if it has them; arguments as for `overlay`."""
    if explanation.signed is None:
        return overlay(pixels, explanation.heatmap, colormap, opacity)
    return overlay_signed(pixels, explanation.signed, opacity)


def sheet(
    picture: np.ndarray | Image.Image,
    explanation: Explanation,
    colormap: str = COLORMAPS[0],
    opacity: float = 0.6,
) -> np.ndarray:
    """The overlay above a legend: target class, method, model and colour bar; `picture` in RGB, the rest as for `overlay`."""
    pixels = np.asarray(picture, np.uint8)
    return np.vstack([draw(pixels, explanation, colormap, opacity), legend(explanation, pixels.shape[1], colormap)])


def legend(explanation: Explanation, width: int, colormap: str = COLORMAPS[0]) -> np.ndarray:
    """A strip (h, width, 3) with the explanation's caption and colour bar; long captions are cut to fit."""
    size = max(9, min(28, width // 32))
    margin = min(size, width // 8)
    bar = min(max(40, width // 3), width - 2 * margin)
    font, small = ImageFont.load_default(size), ImageFont.load_default(round(size * 0.85))
    strip = Image.new("RGB", (width, round(size * 3.4)), _PAPER)
    pen = ImageDraw.Draw(strip)
    classes = f"{explanation.label}  {explanation.probability:.1%}"
    if explanation.against:
        classes += f", not {explanation.against.label}  {explanation.against.probability:.1%}"
    for row, line in enumerate([classes, f"{explanation.method}, {explanation.model}"]):
        while line and pen.textlength(line, font) > width - bar - 3 * margin:
            line = line[:-2] + "…" if len(line) > 2 else ""
        pen.text((margin, size * (0.5 + 1.25 * row)), line, _INK, font)
    left, top = width - bar - margin, round(size * 0.6)
    if explanation.signed is not None:
        ramp = overlay_signed(np.full((size, bar, 3), _PAPER, np.uint8), np.tile(np.linspace(-1, 1, bar), (size, 1)))
        ends = "for the other" if explanation.against else "against this class", "for this class"
    else:
        ramp = colours(np.broadcast_to(np.linspace(0, 1, bar), (size, bar)), colormap)
        ends = "none", "most evidence"
    strip.paste(Image.fromarray(ramp), (left, top))
    if pen.textlength("  ".join(ends), small) <= bar:
        pen.text((left, top + size * 1.3), ends[0], _INK, small)
        pen.text((left + bar, top + size * 1.3), ends[1], _INK, small, anchor="ra")
    return np.asarray(strip)
