"""The practice channels: small renderings of the three invented channels in one zip, to try training with.

    python -m samples.practice

makes `practice_channels.zip` again, byte for byte where the libraries are of the same version: a folder a channel, named
after it, of 24 thumbnails. Their seeds begin at 100, so that the samples (seeds 0 to 3) were never trained on.
"""

from __future__ import annotations

import io
import zipfile

from PIL import Image

from samples import CHANNEL_NAMES, PRACTICE
from samples.render import render

COUNT, FIRST = 24, 100
SIZE = (384, 216)


def main() -> None:
    """Render and write the archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:  # stored: JPEG does not shrink further
        for channel, name in CHANNEL_NAMES.items():
            for seed in range(FIRST, FIRST + COUNT):
                picture = io.BytesIO()
                image = Image.fromarray(render(channel, seed).image).resize(SIZE, Image.Resampling.LANCZOS)
                image.save(picture, "JPEG", quality=80, optimize=True)
                entry = zipfile.ZipInfo(f"{name}/{channel}-{seed}.jpg", (2026, 1, 1, 0, 0, 0))
                archive.writestr(entry, picture.getvalue())
    PRACTICE.write_bytes(content.getvalue())


if __name__ == "__main__":
    main()
