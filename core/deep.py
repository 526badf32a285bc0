"""Pictures whose values are not 8-bit levels: 10 to 16 bits, 32-bit integers, floating point.

Their range is found from their values, not assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin

MAX_COLOUR_PIXELS = 16_000_000  # of deep colours, which take 8 to 16 bytes per pixel while they are scaled
ORIENTATION = 0x0112  # EXIF

RANGES = ((0.0, 1.0), (0.0, 255.0), (0.0, 1023.0), (0.0, 4095.0), (0.0, 16_383.0), (0.0, 65_535.0))
"""Pairs of black and white that cameras, scanners and programs use, the smallest first: 0 to 1, then 8 to 16 bits."""
FILLED = 1 / 8
"""A picture that reaches less than this share of a range most likely does not use it; its own range is used."""


def find_range(darkest: float, lightest: float) -> tuple[float, float]:
    """Black and white of a picture, from its own darkest and lightest value.

    The smallest range of RANGES that holds the values counts, or -1 to 1. Where none fits, the picture is stretched from its
    own darkest to its own lightest value. Values a little outside of a range, as from sharpening, are cut off.

    >>> find_range(0, 3110), find_range(-0.98, 0.95), find_range(0.002, 0.013)
    ((0.0, 4095.0), (-1.0, 1.0), (0.002, 0.013))
    """
    slack = 1 + FILLED
    if darkest >= -lightest * FILLED:
        for black, white in RANGES:
            if lightest <= (slack if white == 1 else white):
                fits = lightest >= white * FILLED or darkest == lightest
                return (black, white) if fits else (darkest, lightest)
    elif -slack <= darkest and lightest <= slack and lightest - darkest >= 2 * FILLED:
        return -1.0, 1.0
    return darkest, lightest


def describe_range(darkest: float, lightest: float, black: float, white: float) -> str:
    """How the values were scaled, in one sentence."""
    if (black, white) == (0, 65_535):
        return "16 bits per pixel were scaled to 8."
    return f"Its values, {darkest:g} to {lightest:g}, were scaled to 8 bits: {black:g} is black and {white:g} is white."


def to_8_bits(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Values of any type and shape as uint8 levels: `black` becomes 0 and `white` 255. NaN is black.

    >>> to_8_bits(np.array([0, 2048, 4095, np.nan]), 0, 4095).tolist()
    [0, 128, 255, 0]
    """
    finite = np.nan_to_num(np.asarray(values, np.float64), nan=black, posinf=white, neginf=black)
    share = (finite - black) / ((white - black) or 1.0)
    return np.asarray((np.clip(share, 0, 1) * 255).round().astype(np.uint8))


def extremes(values: np.ndarray) -> tuple[float, float]:
    """The darkest and the lightest finite value; inf and -inf where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (float("inf"), float("-inf"))


def decode_deep_colours(file: IO[bytes]) -> np.ndarray | None:
    """The values (H, W) or (H, W, channels) of a PNG or TIFF with all their bits, or None; Pillow keeps 8 bits of colours.

    RGB, not OpenCV's BGR. The caller has checked the size.
    """
    file.seek(0)
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # its own lines stay out of stderr
    try:
        values = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)
    return values if values is None or values.ndim == 2 else values[..., [2, 1, 0, 3][: values.shape[2]]]


def scale_colours(values: np.ndarray) -> tuple[Image.Image, str]:
    """Values as `decode_deep_colours` gives them as an image of 8 bits, and a note. A fourth channel is the transparency."""
    colours = values if values.ndim == 2 else values[..., :3]
    darkest, lightest = extremes(colours)
    black, white = find_range(darkest, lightest) if darkest <= lightest else (0.0, 1.0)
    levels = to_8_bits(colours, black, white)
    if values.ndim == 3 and values.shape[2] == 4:
        full = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1
        levels = np.dstack([levels, to_8_bits(values[..., 3], 0, full)])
    return Image.fromarray(levels), describe_range(darkest, lightest, black, white)


def stretch_dark_colours(image: Image.Image, file: IO[bytes] | None) -> tuple[Image.Image, str]:
    """A picture of 16-bit colours as Pillow reads it, or stretched where the colours use a quarter of their range or less.

    Args:
        image: The picture with the upper 8 bits of each value.
        file: The content it was read from, where there is one.

    Returns:
        The picture and a note about it, or "".
    """
    highest = [int(np.asarray(channel).max()) for channel in image.split()[: 1 if image.mode == "LA" else 3]]
    if max(highest) >= 64:
        return image, ""
    values = decode_deep_colours(file) if file and image.width * image.height <= MAX_COLOUR_PIXELS else None
    if values is None:
        return (
            image,
            "Its 16-bit colours use a small part of their range, so it is dark; save it with 8 bits if it should not be.",
        )
    stretched, note = scale_colours(values)
    stretched.info.update({key: image.info[key] for key in ("icc_profile",) if key in image.info})
    stretched.getexif()[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
    return stretched, note


def open_deep_tiff(file: IO[bytes], check_size: Callable[[int, int], object]) -> tuple[Image.Image, str] | None:
    """A TIFF with values that Pillow does not open, such as floating-point colours, as an image of 8 bits, and a note.

    Args:
        file: The content.
        check_size: Called with width and height before anything is decoded; raises if it is too large.

    Returns:
        None for other content, and for a TIFF that OpenCV does not open either.
    """
    file.seek(0)
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
        file.seek(directory.next)
        directory.load(file)
        width, height = int(directory[TiffImagePlugin.IMAGEWIDTH]), int(directory[TiffImagePlugin.IMAGELENGTH])
        bits = directory.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    except Exception:  # noqa: BLE001  (no TIFF, or a damaged one: Pillow raises many types)
        return None
    if max(bits) < 16:
        return None
    check_size(width, height)
    values = decode_deep_colours(file) if width * height <= MAX_COLOUR_PIXELS else None
    if values is None or values.shape[:2] != (height, width):
        return None
    return scale_colours(values)
