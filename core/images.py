"""Read pictures from files and arrays, and resize them.

`read` returns uint8 RGB. If it cannot, the error says why in one sentence.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from core.deep import describe_range, extremes, find_range, open_deep_tiff, stretch_dark_colours, to_8_bits
from core.errors import PictureError
from core.formats import FORMATS, prepare_decoders, unidentified, unreadable
from core.profiles import NOTHING, Conversion, conversion_to_srgb

if TYPE_CHECKING:
    from scipy.sparse import csr_array

MAX_PIXELS = 50_000_000  # a photograph of 50 megapixels; decoded it takes 150 MB
MIN_SIDE = 16
MAX_ASPECT = 16
COUNTED_BYTES = {
    "TIFF": 500_000,
    "GIF": 2_000_000,
}  # frames are counted in files up to this size; it takes up to a second
BAND_PIXELS = 500_000  # converted at a time, which keeps temporary copies small
Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # Pillow itself refuses twice as many, for all who open a picture with it
prepare_decoders()


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Args:
        pixels: uint8 RGB (H, W, 3), upright.
        notes: What was changed while decoding, one sentence each.
    """

    pixels: np.ndarray
    notes: tuple[str, ...] = ()


Source = str | os.PathLike[str] | io.BytesIO | Image.Image | np.ndarray | Picture
"""What `read` accepts: a path, the content of a file, a PIL image, an array, or a Picture."""

_DECODING = threading.BoundedSemaphore(2)  # pictures at once; each can take several hundred MB for a moment


def read(source: Source, side: int | None = None) -> Picture:
    """Read a picture from a path, the content of a file, a PIL image, or a uint8 array (H, W), (H, W, 3) or (H, W, 4).

    EXIF rotation is applied. Transparent parts become white, deep pictures are scaled to 8 bits by their own range, colours
    with an embedded profile and CMYK are converted to sRGB, and of an animation the first frame is used. The notes of the
    picture say what was done.

    Raises PictureError for any other input, for sides under 16 pixels, for an aspect ratio over 16 to 1, and for more than
    50 megapixels; a JPEG of up to 100 is decoded at half its size, unless it is progressive. The size is checked in the
    header, before anything is decoded. Two pictures are decoded at a time.

    Args:
        source: The picture.
        side: What is enough for the longer side, in pixels. A JPEG that is at least twice as large is decoded at a half, a
            quarter or an eighth of its size. All other pictures keep their pixels.

    >>> read("samples/photos/cat.jpg").pixels.shape
    (300, 451, 3)
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, np.ndarray):
        picture = _from_array(source)
    elif isinstance(source, Image.Image):
        with _DECODING:
            picture = _decode(source, "The picture")
    elif isinstance(source, io.BytesIO):
        picture = _from_content(source, "The picture", side)
    elif isinstance(source, (str, os.PathLike)):
        picture = _from_file(Path(source), side)
    else:
        raise PictureError(f"A picture is a path, a PIL image or a uint8 array, not {type(source).__name__}.")
    _check_size(picture.pixels.shape[1], picture.pixels.shape[0], "The picture")
    return picture


def show_name(name: str) -> str:
    r"""A file name as one line that every terminal and table can show; line breaks and the like are written as in Python.

    >>> show_name("line\nbreak.jpg")
    'line\\nbreak.jpg'
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)


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
        with _DECODING:
            return _decode(Image.fromarray(array), "The array")
    raise PictureError(f"The array has shape {array.shape}; it must be (H, W), (H, W, 3) or (H, W, 4).")


def _from_file(path: Path, side: int | None) -> Picture:
    name = f"'{show_name(path.name)}'"
    try:
        if not path.exists():
            raise PictureError(f"There is no file '{path}'; check the path.")
        if path.is_dir():
            raise PictureError(f"'{path}' is a folder; give the pictures in it.")
        if path.stat().st_size == 0:
            raise PictureError(f"{name} is empty (0 bytes); save or download it again.")
        with path.open("rb") as file:
            return _from_content(file, name, side)
    except OSError as error:
        raise PictureError(f"{name} cannot be read ({error.strerror}).") from error


def _from_content(file: IO[bytes], name: str, side: int | None) -> Picture:
    """Decode the content of a file. `name`: as errors call it."""
    try:
        with warnings.catch_warnings(), _DECODING:
            warnings.simplefilter("ignore")  # about many pixels and broken metadata; both are checked here
            with Image.open(file, formats=FORMATS) as image:
                notes = _decode_smaller(image, side)
                _check_size(*image.size, name)
                picture = _decode(image, name, own=True)
                return replace(picture, notes=(*notes, *picture.notes))
    except PictureError:
        raise
    except UnidentifiedImageError:
        with warnings.catch_warnings(), _DECODING:
            warnings.simplefilter("ignore")
            if opened := open_deep_tiff(file, lambda width, height: _check_size(width, height, name)):
                return Picture(_convert(opened[0], None)[0], (opened[1],))
            raise unidentified(file, name) from None
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name} has far too many pixels; scale it down.") from error
    except Exception as error:  # Pillow raises many types for damaged headers, OSError among them
        if isinstance(error, OSError) and error.strerror:
            raise PictureError(f"{name} cannot be read ({error.strerror}).") from error
        raise unreadable(name, error) from error


def _decode_smaller(image: Image.Image, side: int | None) -> tuple[str, ...]:
    """Set a JPEG to be decoded at a half, a quarter or an eighth of its size where that is enough; other formats ignore it.

    `side`: see `read`. One of more than MAX_PIXELS is halved at least, and a note says so; not a progressive one, which takes
    too much memory whatever its final size.
    """
    width, height = image.size
    scale = 1 if side is None else min(1, side / max(width, height))
    large = image.format == "JPEG" and width * height > MAX_PIXELS and not image.info.get("progressive")
    if large:
        scale = min(scale, 1 / 2)
    if scale < 1:
        image.draft(None, (max(1, int(width * scale)), max(1, int(height * scale))))
    return (f"Of its {width}x{height} pixels, {image.width}x{image.height} are used.",) if large else ()


def _decode(image: Image.Image, name: str, own: bool = False) -> Picture:
    """Decode an image whose header is read. `own`: the image may be changed, which saves a copy."""
    _check_size(*image.size, name)
    notes = []
    try:
        frames = _count_frames(image)
        if frames is None:
            notes.append("The first of many frames is used.")
        elif frames > 1:
            notes.append(f"The first of {frames} frames is used.")
        colour_note = ""
        if image.mode in ("RGB", "RGBA", "LA") and ";16" in str(getattr(image, "tile", "")):
            image, colour_note = stretch_dark_colours(image, getattr(image, "fp", None) if own else None)
        if own:
            ImageOps.exif_transpose(image, in_place=True)
            upright = image
        else:
            upright = ImageOps.exif_transpose(image)
        value_range, note = _value_range(upright)
        conversion = conversion_to_srgb(upright.info.get("icc_profile"), upright.mode)
        pixels, transparent = _convert(upright, value_range, conversion)
        notes += [text for text in (colour_note, note, conversion.note) if text]
        if transparent:
            notes.append("Transparent parts are shown on white.")
        if upright.mode == "CMYK" and not conversion.transform:
            notes.append("CMYK was converted to RGB without a colour profile; colours may differ slightly.")
        return Picture(pixels, tuple(notes))
    except Exception as error:  # Pillow raises many types for damaged files
        raise unreadable(name, error) from error


def _count_frames(image: Image.Image) -> int | None:
    """The number of frames, or None if there are several in a file that takes long to count.

    Pillow needs quadratic time for the pages of a TIFF, and a GIF of 30 MB can have a million frames.
    """
    limit, file = COUNTED_BYTES.get(image.format or ""), getattr(image, "fp", None)
    if limit is not None and file is not None and getattr(image, "is_animated", False):
        position = file.tell()
        size = file.seek(0, os.SEEK_END)
        file.seek(position)
        if size > limit:
            return None
    return getattr(image, "n_frames", 1)


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The image in bands of about BAND_PIXELS, each with its first row."""
    rows = max(1, BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _convert(
    image: Image.Image, value_range: tuple[float, float] | None, conversion: Conversion = NOTHING
) -> tuple[np.ndarray, bool]:
    """sRGB pixels on white, and whether a part is transparent. `value_range`: black and white of deep grey levels.

    The bands give the same pixels as the whole image, but Pillow's copies of a whole image would take a gigabyte.
    """
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    transparent = False
    for top, whole_band in _bands(image):
        band, alpha = whole_band, None
        if value_range is not None:
            band = Image.fromarray(to_8_bits(np.asarray(band), *value_range))
        elif band.has_transparency_data:
            band = band.convert("RGBA")
            alpha = band.getchannel("A")
            transparent = transparent or alpha.getextrema() != (255, 255)
        if conversion.transform:
            band = conversion.apply(band if band.mode == conversion.mode else band.convert(conversion.mode))
            if alpha:
                band.putalpha(alpha)
        if alpha:
            band = Image.alpha_composite(Image.new("RGBA", band.size, "white"), band)
        pixels[top : top + band.height] = np.asarray(band.convert("RGB"))
    return pixels, transparent


def _value_range(image: Image.Image) -> tuple[tuple[float, float] | None, str]:
    """Black and white of deep grey levels and a note about them; None for pictures of 8 bits."""
    if not image.mode.startswith(("I", "F")):
        return None, ""
    darkest, lightest = np.inf, -np.inf
    for _, band in _bands(image):
        low, high = extremes(np.asarray(band))
        darkest, lightest = min(darkest, low), max(lightest, high)
    if not np.isfinite(darkest):
        return (0, 1), "It has no finite value; it is shown as black."
    if image.mode.startswith("I;16") and darkest == lightest:  # one value says nothing about the range
        black, white = 0.0, 65_535.0
    else:
        black, white = find_range(darkest, lightest)
    return (black, white), describe_range(darkest, lightest, black, white)


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 pixels (H, W, 3) to `size` (height, width).

    The first step shrinks by a whole factor with area means. It is ten times as fast as an antialiased filter over a large
    picture. The second step does the rest with cubic interpolation, as in the training of the networks. If the second step
    shrinks so much that cubic interpolation would alias, it uses area means too.

    >>> resize(np.zeros((720, 1280, 3), np.uint8), (160, 288)).shape
    (160, 288, 3)
    """
    height, width = size
    between, interpolation = _resize_steps(pixels.shape[:2], size)
    if between != pixels.shape[:2]:
        pixels = cv2.resize(pixels, between[::-1], interpolation=cv2.INTER_AREA)
    return cv2.resize(pixels, (width, height), interpolation=interpolation)


def _resize_steps(start: tuple[int, int], size: tuple[int, int]) -> tuple[tuple[int, int], int]:
    """The size (height, width) after the first step of `resize`, and OpenCV's interpolation of the second step.

    The size equals `start` if there is no first step.
    """
    factor = max(1, min(start[0] // size[0], start[1] // size[1]))
    between = start[0] // factor, start[1] // factor
    remaining = max(between[0] / size[0], between[1] / size[1])
    return between, cv2.INTER_AREA if remaining > 1.9 else cv2.INTER_CUBIC


@lru_cache(maxsize=16)
def resize_matrices(start: tuple[int, int], size: tuple[int, int]) -> tuple[csr_array, csr_array]:
    """`resize` as two sparse matrices: rows (height, H) and columns (width, W).

    Without its rounding, `resize` equals rows @ pixels @ columns.T. The weights come from OpenCV itself, which resizes unit
    vectors for this.
    """
    from scipy.sparse import csr_array, vstack

    between, interpolation = _resize_steps(start, size)

    def weights(length: int, middle: int, end: int) -> csr_array:
        parts = []
        for first in range(
            0, length, 256
        ):  # a unit matrix for the side of a large photograph would need too much memory
            units: np.ndarray = np.eye(min(256, length - first), length, first, np.float32).T.copy()
            if between != start:
                units = cv2.resize(units, (units.shape[1], middle), interpolation=cv2.INTER_AREA)
            parts.append(csr_array(cv2.resize(units, (units.shape[1], end), interpolation=interpolation).T))
        return csr_array(vstack(parts).T)

    return weights(start[0], between[0], size[0]), weights(start[1], between[1], size[1])


def shrink(pixels: np.ndarray, side: int) -> np.ndarray:
    """Scale pixels (H, W, 3) down until the longer side has at most `side` pixels. Smaller pictures stay as they are."""
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    return resize(pixels, (max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale))))


def fit_into(pixels: np.ndarray, tile: tuple[int, int]) -> np.ndarray:
    """The whole picture in the centre of a white tile (height, width)."""
    scale = min(tile[0] / pixels.shape[0], tile[1] / pixels.shape[1])
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    result = np.full((*tile, 3), 255, np.uint8)
    top, left = (tile[0] - height) // 2, (tile[1] - width) // 2
    result[top : top + height, left : left + width] = resize(pixels, (height, width))
    return result
