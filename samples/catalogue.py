"""The list of sample pictures. The import lists one folder and reads no picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent
"""The folder that holds `photos/`, `thumbnails/` and `fonts/`."""

PRACTICE = ROOT / "practice_channels.zip"
"""Thumbnails of the invented channels to train with, one folder per channel. `samples.practice` makes it."""

CHANNEL_NAMES = {"orbit": "Orbit Lab", "crumb": "Crumb & Co", "bolt": "Bolt Squad"}
"""The display name of each invented channel, by its key in file names."""


@dataclass(frozen=True)
class Sample:
    """One sample picture. `path` is absolute. `licence` is the short name in LICENSES.md."""

    path: Path
    title: str
    kind: Literal["photo", "thumbnail"]
    licence: str


# In display order: the pictures with the clearest explanations come first.
_PHOTOS = {
    "cat.jpg": ("Chelsea the cat", "CC0 1.0"),
    "coffee.jpg": ("A cup of espresso", "CC0 1.0"),
    "raccoon.jpg": ("A raccoon among leaves", "Public domain"),
    "rocket.jpg": ("A rocket on its launch pad", "Public domain"),
    "palace.jpg": ("A pagoda above a lake", "CC BY 2.0"),
    "astronaut.jpg": ("Eileen Collins, astronaut", "Public domain"),
    "photographer.jpg": ("A photographer at a tripod", "CC0 1.0"),
}


def _list_photos() -> list[Sample]:
    """Return the photographs of the table that exist, in its order."""
    folder = ROOT / "photos"
    return [
        Sample(folder / name, title, "photo", licence)
        for name, (title, licence) in _PHOTOS.items()
        if (folder / name).is_file()
    ]


def _list_thumbnails() -> list[Sample]:
    """Return the rendered thumbnails, ordered by seed and then by channel."""
    samples: list[tuple[int, int, Sample]] = []
    order = list(CHANNEL_NAMES)
    for path in (ROOT / "thumbnails").glob("*-*.jpg"):
        channel, _, seed = path.stem.partition("-")
        if channel in CHANNEL_NAMES and seed.isdecimal():
            title = f"{CHANNEL_NAMES[channel]}, video {int(seed) + 1}"
            samples.append((int(seed), order.index(channel), Sample(path, title, "thumbnail", "CC0 1.0")))
    return [sample for _, _, sample in sorted(samples, key=lambda item: item[:2])]


SAMPLES: tuple[Sample, ...] = (*_list_photos(), *_list_thumbnails())
"""Every sample in display order, photographs first."""
