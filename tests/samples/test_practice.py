"""The archive of the practice channels is what `python -m samples.practice` makes."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from PIL import Image

from samples import CHANNEL_NAMES, PRACTICE
from samples.practice import COUNT, FIRST, SIZE
from samples.render import render


def test_the_archive_holds_the_renderings_it_names() -> None:
    with zipfile.ZipFile(PRACTICE) as archive:
        names = archive.namelist()
        assert len(names) == COUNT * len(CHANNEL_NAMES)
        for channel, name in CHANNEL_NAMES.items():
            assert f"{name}/{channel}-{FIRST + COUNT - 1}.jpg" in names
            stored = Image.open(io.BytesIO(archive.read(f"{name}/{channel}-{FIRST}.jpg")))
            fresh = Image.fromarray(render(channel, FIRST).image).resize(SIZE, Image.Resampling.LANCZOS)
            assert np.abs(np.asarray(stored, np.float32) - np.asarray(fresh, np.float32)).mean() < 5  # JPEG noise
