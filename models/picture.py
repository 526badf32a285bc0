"""Whatever a person gives as a picture -> uint8 RGB, or one sentence that says why not."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import PictureError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MAX_PIXELS = 50_000_000  # a 50-megapixel photograph; decoded that is 150 MB
MIN_SIDE = 16
MAX_ASPECT = 16
READABLE = "JPEG, PNG, WebP, GIF, BMP or TIFF"


@dataclass(frozen=True)
class Picture:
    """`pixels`: uint8 RGB (H, W, 3), upright. `notes`: what had to be decided on the way, a sentence each."""

    pixels: np.ndarray
    notes: tuple[str, ...] = ()


def read(source: str | os.PathLike[str] | Image.Image | np.ndarray | Picture) -> Picture:
    """A picture from a path, a PIL image, or a uint8 array (H, W), (H, W, 3) or (H, W, 4).

    EXIF rotation is honoured, transparency laid on white, 16 bits scaled to 8, CMYK converted, of an animation the first
    frame taken. Raises PictureError for anything else, for sides under 16 or over 16 to 1, and above 50 megapixels
    (found in the header, before anything is decoded).
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, np.ndarray):
        picture = _from_array(source)
    elif isinstance(source, Image.Image):
        picture = _decode(source, "The picture")
    elif isinstance(source, (str, os.PathLike)):
        picture = _from_file(Path(source))
    else:
        raise PictureError(f"A picture is a path, a PIL image or a uint8 array, not {type(source).__name__}.")
    _check_size(picture.pixels.shape[1], picture.pixels.shape[0], "The picture")
    return picture


def _check_size(width: int, height: int, name: str) -> None:
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_ASPECT * min(width, height):
        raise PictureError(
            f"{name} is {width}x{height} pixels; it needs at least {MIN_SIDE} on each side, "
            f"and no side over {MAX_ASPECT} times the other."
        )
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"{name} has {width}x{height} = {width * height / 1e6:.0f} million pixels; "
            f"scale it down to {MAX_PIXELS // 1_000_000} million or fewer."
        )


def _from_array(array: np.ndarray) -> Picture:
    if array.dtype != np.uint8:
        hint = "multiply it by 255 and " if array.dtype.kind == "f" and array.size and array.max() <= 1 else ""
        raise PictureError(f"The array is {array.dtype}; {hint}convert it to uint8 with values from 0 to 255.")
    if array.ndim == 2:
        return Picture(np.repeat(array[..., None], 3, axis=2))
    if array.ndim == 3 and array.shape[2] == 3:
        return Picture(np.ascontiguousarray(array))
    if array.ndim == 3 and array.shape[2] == 4:
        _check_size(array.shape[1], array.shape[0], "The array")  # Pillow has no image without pixels
        return _decode(Image.fromarray(array), "The array")
    raise PictureError(f"The array has shape {array.shape}; it must be (H, W), (H, W, 3) or (H, W, 4).")


def _from_file(path: Path) -> Picture:
    name = path.name
    try:
        if not path.exists():
            raise PictureError(f"There is no file '{path}'; check the path.")
        if path.is_dir():
            raise PictureError(f"'{path}' is a folder; name the pictures in it.")
        if path.stat().st_size == 0:
            raise PictureError(f"'{name}' is empty (0 bytes); save or download it again.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bomb warning and broken metadata: both are dealt with here
            with Image.open(path) as image:
                return _decode(image, f"'{name}'")
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        if _is_svg(path):
            raise PictureError(f"'{name}' is an SVG drawing, not pixels; export it as PNG or JPEG first.") from error
        raise PictureError(f"'{name}' is not a picture; use {READABLE}.") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"'{name}' has far too many pixels; scale it down.") from error
    except Exception as error:  # Pillow's parsers raise what they like on damaged headers, bare OSErrors too
        if isinstance(error, OSError) and error.strerror:
            raise PictureError(f"'{name}' cannot be read ({error.strerror}).") from error
        raise PictureError(f"'{name}' is cut off or damaged; save or download it again.") from error


def _is_svg(path: Path) -> bool:
    with path.open("rb") as file:
        return b"<svg" in file.read(4096).lower()


def _decode(image: Image.Image, name: str) -> Picture:
    _check_size(*image.size, name)
    notes = []
    try:
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            notes.append(f"Of {frames} frames the first is used.")
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith(("I", "F")):
            notes.append("16 bits a pixel were scaled to 8.")
            upright = _to_eight_bits(upright)
        if upright.has_transparency_data:
            rgba = upright.convert("RGBA")
            if rgba.getchannel("A").getextrema() != (255, 255):
                notes.append("Transparent parts are shown on white.")
            upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        if upright.mode == "CMYK":
            notes.append("CMYK was converted to RGB without a colour profile; colours may differ a little.")
        return Picture(np.array(upright.convert("RGB")), tuple(notes))
    except Exception as error:  # Pillow's decoders raise what they like on damaged files
        raise PictureError(f"{name} is cut off or damaged; save or download it again.") from error


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Grey levels of 16, 32 or floating bits on the scale their own range suggests: 0-1, 0-255 or 0-65535."""
    values = np.nan_to_num(np.asarray(image, np.float64))
    top = values.max(initial=0)
    full = 1 if image.mode == "F" and top <= 1 else 255 if not image.mode.startswith("I;16") and top <= 255 else 65535
    return Image.fromarray((np.clip(values / full, 0, 1) * 255).round().astype(np.uint8))


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 pixels (H, W, 3) at `size` (height, width).

    Whole factors are averaged away first, ten times quicker than an antialiased filter over all of a large picture; what
    little is left is cubic, as the networks were trained, unless it still shrinks enough to alias.
    """
    height, width = size
    between, interpolation = _way(pixels.shape[:2], size)
    if between != pixels.shape[:2]:
        pixels = cv2.resize(pixels, between[::-1], interpolation=cv2.INTER_AREA)
    return cv2.resize(pixels, (width, height), interpolation=interpolation)


def _way(start: tuple[int, int], size: tuple[int, int]) -> tuple[tuple[int, int], int]:
    """The size between the two steps of `resize`, which is `start` where there is no first step, and how the second goes."""
    factor = max(1, min(start[0] // size[0], start[1] // size[1]))
    between = start[0] // factor, start[1] // factor
    left = max(between[0] / size[0], between[1] / size[1])
    return between, cv2.INTER_AREA if left > 1.9 else cv2.INTER_CUBIC


@lru_cache(maxsize=16)
def resize_matrices(start: tuple[int, int], size: tuple[int, int]) -> tuple[csr_array, csr_array]:
    """What `resize` does to rows and to columns, (height, H) and (width, W): but for its rounding, rows @ pixels @ columns.T.

    Taken from OpenCV itself, which shows its weights when it is given unit vectors.
    """
    from scipy.sparse import csr_array, vstack

    between, interpolation = _way(start, size)

    def weights(length: int, middle: int, end: int) -> csr_array:
        parts = []
        for first in range(0, length, 256):  # a unit matrix as large as a photograph would not fit
            units: np.ndarray = np.eye(min(256, length - first), length, first, np.float32).T.copy()
            if between != start:
                units = cv2.resize(units, (units.shape[1], middle), interpolation=cv2.INTER_AREA)
            parts.append(csr_array(cv2.resize(units, (units.shape[1], end), interpolation=interpolation).T))
        return csr_array(vstack(parts).T)

    return weights(start[0], between[0], size[0]), weights(start[1], between[1], size[1])
