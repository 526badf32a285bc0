"""The file formats of pictures: those that are read, and those that are recognised only to name a way out."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import (
    Image,
    TiffImagePlugin,  # noqa: F401  (registers the format, as Pillow does late)
    WebPImagePlugin,  # noqa: F401
    _imaging,
)

from core.errors import PictureError, describe_error


@dataclass(frozen=True)
class Format:
    """A format that is read.

    `name`: Pillow's name. `title`: as users know it. `suffixes`: in lower case. `about`: what is read of it.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    about: str


@dataclass(frozen=True)
class Unread:
    """A format that is not read.

    `title`: with its article. `marks`: pairs of an offset and the bytes there; one of them is enough. `way_out`: what to do.
    """

    title: str
    marks: tuple[tuple[int, bytes], ...]
    way_out: str


HEIC_INSTALLED = importlib.util.find_spec("pillow_heif") is not None
"""Whether the optional package that reads HEIC is there (requirements-heic.txt)."""

ALL = (
    Format(
        "JPEG", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), "8 bits; grey, RGB, CMYK; the first of several pictures"
    ),
    Format("PNG", "PNG", (".png",), "1 to 16 bits; transparent parts become white; the first frame of an animation"),
    Format("WEBP", "WebP", (".webp",), "8 bits; transparent parts become white; the first frame of an animation"),
    Format("GIF", "GIF", (".gif",), "the first frame of an animation"),
    Format("BMP", "BMP", (".bmp",), "8 bits"),
    Format("TIFF", "TIFF", (".tif", ".tiff"), "1 to 16 bits, 32-bit integers and floating point; the first page"),
    Format("HEIF", "HEIC", (".heic", ".heif"), "8 bits; the main picture; needs requirements-heic.txt"),
)
READ = ALL if HEIC_INSTALLED else ALL[:-1]
FORMATS = tuple(entry.name for entry in READ)
"""Pillow's names. No other format is tried, so that no other program is started for one. JPEG includes the pairs of pictures
that some phones write."""
SUFFIXES = frozenset(suffix for entry in READ for suffix in entry.suffixes)
"""File name suffixes of pictures, in lower case. A search for sample pictures considers only these files."""
READABLE = f"{', '.join(entry.title for entry in READ[:-1])} or {READ[-1].title}"

_TO_JPEG = "save it as JPEG or PNG first"
_BRANDS = {"HEIC": (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"), "AVIF": (b"avif", b"avis")}
_HEIC = Unread(
    "a HEIC picture",
    tuple((4, b"ftyp" + brand) for brand in _BRANDS["HEIC"]),
    "run pip install -r requirements-heic.txt, or save it as JPEG",
)
UNREAD = (
    Unread("an AVIF picture", tuple((4, b"ftyp" + brand) for brand in _BRANDS["AVIF"]), _TO_JPEG),
    Unread("a camera's raw file", ((4, b"ftypcrx "), (8, b"CR\x02\0"), (0, b"FUJIFILMCCD-RAW")), _TO_JPEG),
    Unread("a video", ((4, b"ftyp"), (0, b"\x1aE\xdf\xa3"), (8, b"AVI ")), "save frames of it as JPEG or PNG"),
    Unread("a JPEG XL picture", ((0, b"\xff\x0a"), (0, b"\0\0\0\x0cJXL ")), _TO_JPEG),
    Unread("a JPEG 2000 picture", ((0, b"\0\0\0\x0cjP  "), (0, b"\xff\x4f\xff\x51")), _TO_JPEG),
    Unread("an OpenEXR picture", ((0, b"\x76\x2f\x31\x01"),), "save it as TIFF or PNG first"),
    Unread("a Radiance HDR picture", ((0, b"#?RADIANCE"), (0, b"#?RGBE")), "save it as TIFF or PNG first"),
    Unread("a Photoshop file", ((0, b"8BPS"),), _TO_JPEG),
    Unread("a PDF document", ((0, b"%PDF"),), "export its pages as PNG first"),
    Unread("an EPS drawing", ((0, b"%!PS"), (0, b"\xc5\xd0\xd3\xc6")), "export it as PNG first"),
    Unread("a DICOM picture", ((128, b"DICM"),), "export it as PNG first"),
    Unread("an icon", ((0, b"\0\0\1\0"), (0, b"icns")), _TO_JPEG),
    Unread("a zip", ((0, b"PK\3\4"),), "unpack it first"),
)


def recognise_unread(head: bytes) -> Unread | None:
    """The format that is not read to which the first 4,096 bytes of a file belong, or None.

    >>> recognise_unread(b"%PDF-1.7").title
    'a PDF document'
    """
    start = head.lower()
    if b"<svg" in start:  # an SVG may begin with comments
        return Unread("an SVG drawing, not pixels", (), "export it as PNG or JPEG first")
    if start.lstrip().startswith((b"<!doctype html", b"<html")):
        return Unread("a web page", (), "download the picture itself")
    for entry in UNREAD if HEIC_INSTALLED else (_HEIC, *UNREAD):
        if any(head[offset : offset + len(mark)] == mark for offset, mark in entry.marks):
            return entry
    return None


def looks_like_picture(path: Path) -> bool:
    """Whether a file begins like a picture of a format that is read."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    return any(accept(head) is True for _, accept in (Image.OPEN[kind] for kind in FORMATS) if accept)


def unidentified(file: IO[bytes], name: str) -> PictureError:
    """The error for content that Pillow does not open. A kind of a known format that is not read is not called damaged.

    Args:
        file: The content.
        name: As errors call it.
    """
    file.seek(0)
    head = file.read(4096)
    if unread := recognise_unread(head):
        return PictureError(f"{name} is not a picture that can be read: it is {unread.title}; {unread.way_out}.")
    for opener, accept in (Image.OPEN[kind] for kind in FORMATS):
        if accept and accept(head[:16]) is True:
            file.seek(0)
            try:
                opener(file, "")
            except Exception as error:  # noqa: BLE001  (what Image.open hides: why the header cannot be read)
                return unreadable(name, error)
    return PictureError(f"{name} is not a picture; use {READABLE}.")


def unreadable(name: str, error: Exception) -> PictureError:
    """The error for a picture that Pillow cannot decode: it is of a kind that is not read, or damaged."""
    reason = describe_error(error)
    if isinstance(error, NotImplementedError) or re.search(
        r"unsupported|unknown|not (?:available|supported)", reason, re.I
    ):
        return PictureError(f"{name} is of a kind that is not read ({reason}); save it as PNG or JPEG with 8 bits.")
    return PictureError(f"{name} is incomplete or damaged; save or download it again.")


def prepare_decoders() -> None:
    """Load Pillow's readers, HEIC's where its package is installed, and keep libtiff's own lines out of stderr.

    Pillow's binary contains libtiff or links it; other builds of Pillow keep those lines.
    """
    Image.preinit()  # Pillow loads them late
    if HEIC_INSTALLED:
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    libraries = ctypes.CDLL(_imaging.__file__)
    for setting in ("TIFFSetWarningHandler", "TIFFSetErrorHandler"):
        if function := getattr(libraries, setting, None):
            function(None)
