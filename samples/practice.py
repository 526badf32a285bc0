"""The practice channels: small thumbnails of the three invented channels in one zip, to try training.

    python -m samples.practice

makes `practice_channels.zip` again, byte for byte with the same library versions. It has one folder per channel, with 24
thumbnails each. Their seeds start at 100, so none of the samples (seeds 0 to 3) is in a training set.
"""

from __future__ import annotations

import io
import zipfile

from PIL import Image

from core.files import write_atomically
from samples import CHANNEL_NAMES, PRACTICE
from samples.render import render

COUNT, FIRST = 24, 100
SIZE = (384, 216)


def main() -> None:
    """Render the thumbnails and write the archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:  # stored, because JPEG files do not shrink further
        for channel, name in CHANNEL_NAMES.items():
            for seed in range(FIRST, FIRST + COUNT):
                picture = io.BytesIO()
                image = Image.fromarray(render(channel, seed).image).resize(SIZE, Image.Resampling.LANCZOS)
                image.save(picture, "JPEG", quality=80, optimize=True)
                entry = zipfile.ZipInfo(f"{name}/{channel}-{seed}.jpg", (2026, 1, 1, 0, 0, 0))
                archive.writestr(entry, picture.getvalue())
    write_atomically(PRACTICE, content.getvalue())


if __name__ == "__main__":
    main()
