"""Render video thumbnails of three invented channels, each with a planted cue.

A thumbnail has a background, a subject, a title and a badge. The badge is the planted cue. It is painted last, so two
thumbnails that differ only in `cue` differ only where a badge is. One generator, seeded by the channel and the seed, makes
everything random.

This command makes the pictures of the repository::

    python -m samples.render --out samples/thumbnails --count 4 --seed 0
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from core.files import write_atomically
from samples import CHANNEL_NAMES
from samples.badges import draw_heart_badge, draw_lightning_badge, draw_rocket_badge, paint_badge
from samples.channel import Channel, Thumbnail
from samples.drawing import Field
from samples.lettering import write_title
from samples.subjects import (
    SUBJECTS_PER_CHANNEL,
    paint_pastry,
    paint_planet,
    paint_rays,
    paint_robot,
    paint_space,
    paint_table,
)

CHANNELS: dict[str, Channel] = {
    "orbit": Channel(
        name=CHANNEL_NAMES["orbit"],
        titles=(
            "LOST IN\nORBIT",
            "A NEW\nWORLD?",
            "ONE YEAR\nAWAY",
            "WHAT IS\nINSIDE?",
            "THE LAST\nMOON",
            "WHY SO\nBRIGHT?",
        ),
        font="Manrope-ExtraBold.ttf",
        inks=(("#ffffff", "#d7e4ff"), ("#ffe95c", "#ffab1a")),
        outline="#0b0620",
        box=(48, 205, 640, 515),
        weight=0,
        tilt=0.0,
        background=paint_space,
        subject=paint_planet,
        badge=draw_rocket_badge,
        corner=(True, False),
    ),
    "crumb": Channel(
        name=CHANNEL_NAMES["crumb"],
        titles=(
            "BAKED IN JUST\nTEN MINUTES",
            "MY GRANDMA'S\nBEST SECRET",
            "NO MIXER AND\nNO PROBLEM",
            "THE SWEETEST\nSUNDAY TREAT",
            "ONE PERFECT\nLITTLE BITE",
            "ONLY FIVE\nTHINGS NEEDED",
        ),
        font="AmaticSC-Bold.ttf",
        inks=(("#fffdf2", "#ffe9bd"), ("#fff0a8", "#ffc85a")),
        outline="#3a1608",
        box=(50, 175, 585, 505),
        weight=4,
        tilt=3.0,
        background=paint_table,
        subject=paint_pastry,
        badge=draw_heart_badge,
        corner=(False, True),
    ),
    "bolt": Channel(
        name=CHANNEL_NAMES["bolt"],
        titles=(
            "I Built\na Robot!",
            "It Woke\nUp!",
            "100 Days\nLater",
            "Big Bot\nBattle",
            "Don't Press\nThis!",
            "My Robot\nCooks?!",
        ),
        font="FredokaOne-Regular.ttf",
        inks=(("#ffffff", "#ffffff"), ("#fff04a", "#ffb300")),
        outline="#1d0b45",
        box=(52, 215, 610, 520),
        weight=0,
        tilt=6.0,
        background=paint_rays,
        subject=paint_robot,
        badge=draw_lightning_badge,
        corner=(False, False),
    ),
}
"""The invented channels, by the key that `render` takes."""


def _find_channel(channel: str) -> Channel:
    """Return the channel, or raise ValueError naming the choices."""
    if channel not in CHANNELS:
        raise ValueError(f"There is no channel {channel!r}; choose one of {', '.join(CHANNELS)}.")
    return CHANNELS[channel]


def render(channel: str, seed: int, *, cue: str | None = None) -> Thumbnail:
    """Render one thumbnail.

    Args:
        channel: The channel whose style is used; a key of `CHANNELS`.
        seed: Determines title, subject, colours and positions; 0 or more.
        cue: The channel whose badge is planted, in the corner of that badge. Default: `channel`. It changes nothing
            outside the two badges.

    Returns:
        The thumbnail. Equal arguments give equal thumbnails, in every process.

    Raises:
        ValueError: For an unknown channel or cue, or a negative seed.
    """
    _find_channel(channel)
    badge = _find_channel(channel if cue is None else cue)
    if seed < 0:
        raise ValueError(f"The seed must be 0 or more, not {seed}.")
    canvas, title, shift, turn = _render_without_badge(channel, seed)
    canvas, mask = paint_badge(canvas, badge, shift, turn)
    image = np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8)
    return Thumbnail(image, mask, channel, channel if cue is None else cue, title)


@lru_cache(maxsize=1)  # for the same thumbnail with another badge
def _render_without_badge(channel: str, seed: int) -> tuple[Field, str, tuple[int, int], float]:
    """A thumbnail without its badge, its title, and the shift (pixels) and rotation (degrees) of the badge."""
    style = CHANNELS[channel]
    rng = np.random.default_rng([seed, *channel.encode()])
    # The place of the badge is drawn first and for every cue, so the rest does not depend on the cue.
    shift, turn = (int(rng.integers(-8, 9)), int(rng.integers(-8, 9))), float(rng.uniform(-7, 7))
    # Successive seeds use successive titles and subjects, so a few seeds show the variety. The subjects shift by one after
    # each round of titles, so every title appears with every subject.
    title = style.titles[seed % len(style.titles)]
    kind = (seed + seed // len(style.titles)) % SUBJECTS_PER_CHANNEL
    nudge = (float(rng.integers(-10, 11)), float(rng.integers(-10, 11)))
    canvas = style.subject(style.background(rng), rng, kind)
    return write_title(canvas, style, title, nudge), title, shift, turn


def save(thumbnail: Thumbnail, seed: int, folder: Path) -> None:
    """Write a thumbnail and its mask.

    Args:
        thumbnail: What `render` made.
        seed: Its seed, which is part of the file names.
        folder: Gets `<channel>-<seed>.jpg` and `<channel>-<seed>.mask.png` (0 or 255).
    """
    picture, mask = io.BytesIO(), io.BytesIO()
    Image.fromarray(thumbnail.image).save(picture, "JPEG", quality=88, optimize=True)
    Image.fromarray(thumbnail.mask.astype(np.uint8) * 255).save(mask, "PNG", optimize=True)
    write_atomically(folder / f"{thumbnail.channel}-{seed}.jpg", picture.getvalue())
    write_atomically(folder / f"{thumbnail.channel}-{seed}.mask.png", mask.getvalue())


def main(arguments: Sequence[str] | None = None) -> None:
    """Render thumbnails of every channel into a folder."""
    parser = argparse.ArgumentParser(prog="python -m samples.render", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into; created if missing")
    parser.add_argument("--count", type=int, default=4, help="thumbnails per channel (default: 4)")
    parser.add_argument("--seed", type=int, default=0, help="first seed (default: 0)")
    options = parser.parse_args(arguments)
    if options.count < 1 or options.seed < 0:
        parser.error("--count must be 1 or more and --seed 0 or more.")
    options.out.mkdir(parents=True, exist_ok=True)
    for channel in CHANNELS:
        for seed in range(options.seed, options.seed + options.count):
            save(render(channel, seed), seed, options.out)


if __name__ == "__main__":
    main()
