"""Embedded colour profiles (ICC): the conversion of a picture's colours to sRGB, which the networks expect."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

MAX_BYTES = 4_000_000  # of a profile; printers' profiles have up to 3 MB
SAME = 2  # levels: a profile that changes no colour by more is sRGB, and the pixels stay as they are
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


@dataclass(frozen=True)
class Conversion:
    """From a profile to sRGB. `mode`: Pillow's mode of the pictures it converts. `note`: what is done, or why nothing is."""

    mode: str = ""
    transform: ImageCms.ImageCmsTransform | None = None
    note: str = ""

    def apply(self, image: Image.Image) -> Image.Image:
        """An RGB image with sRGB colours, from an image of the mode. It has no transparency."""
        assert self.transform is not None
        return ImageCms.applyTransform(image, self.transform)  # type: ignore[return-value]  # not in place


NOTHING = Conversion()


def conversion_to_srgb(profile: bytes | None, mode: str) -> Conversion:
    """How the colours of a picture become sRGB.

    Args:
        profile: The embedded profile, or None.
        mode: Pillow's mode of the picture.

    Returns:
        Without a transform where nothing is to do: there is no profile, it is sRGB, or it cannot be used.
    """
    if not profile and mode != "LAB":
        return NOTHING
    if profile and len(profile) > MAX_BYTES:
        return Conversion(note="The colour profile is too large and was ignored; colours may differ.")
    return _conversion(profile or b"", "LAB" if mode == "LAB" else "CMYK" if mode == "CMYK" else "RGB")


@lru_cache(maxsize=16)
def _conversion(profile: bytes, picture: str) -> Conversion:
    """`picture`: whether the picture has the colours of "LAB", "CMYK" or "RGB" (grey among them)."""
    try:
        if picture == "LAB":
            source, mode = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB"
        else:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            mode = _SPACES.get(source.profile.xcolor_space.strip(), "")
        if mode != picture and not (picture == "RGB" and mode == "L"):
            return Conversion(note="The colour profile does not fit the picture and was ignored; colours may differ.")
        intent = ImageCms.Intent.PERCEPTUAL if mode == "CMYK" else ImageCms.Intent.RELATIVE_COLORIMETRIC
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), mode, "RGB", intent, ImageCms.Flags.BLACKPOINTCOMPENSATION
        )
        conversion = Conversion(mode, transform)
        if mode in ("RGB", "L") and _changes_nothing(conversion):
            return NOTHING
        name = " ".join((source.profile.profile_description or "").split())[:60] or "its own"
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return Conversion(note="The colour profile is damaged and was ignored; colours may differ.")
    what = "Lab colours were" if mode == "LAB" else f"The colours were converted from the profile '{name}'"
    return Conversion(mode, transform, f"{what}{' converted' if mode == 'LAB' else ''} to sRGB.")


def _changes_nothing(conversion: Conversion) -> bool:
    """Whether the conversion leaves all greys and a grid of colours as they are, within SAME levels."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    greys: np.ndarray = np.arange(256, dtype=np.uint8)[None]
    colours = greys if conversion.mode == "L" else np.concatenate([grid, np.repeat(greys[..., None], 3, -1)], 1)
    converted = np.asarray(conversion.apply(Image.fromarray(colours)), np.int16)
    expected = colours[..., None] if conversion.mode == "L" else colours
    return bool(np.abs(converted - expected).max() <= SAME)
