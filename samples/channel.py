"""The data classes of a rendered thumbnail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samples.drawing import Field, Rng


@dataclass(frozen=True)
class Channel:
    """The style of one invented channel.

    `titles`: two lines each, split by a newline. `inks`: the colours of these lines, each a (top, bottom) gradient. `box`: of
    the title, (left, top, right, bottom) in pixels. `weight`: the pixels by which its letters are thicker. `tilt`: its
    rotation in degrees, anticlockwise. `subject`: a function of the canvas, the generator and the number of the subject, 0 to
    2. `corner`: where the badge is, as (right?, bottom?).
    """

    name: str
    titles: tuple[str, ...]
    font: str
    inks: tuple[tuple[str, str], tuple[str, str]]
    outline: str
    box: tuple[int, int, int, int]
    weight: int
    tilt: float
    background: Callable[[Rng], Field]
    subject: Callable[[Field, Rng, int], Field]
    badge: Callable[[], Image.Image]
    corner: tuple[bool, bool]


@dataclass(frozen=True)
class Thumbnail:
    """A rendered thumbnail.

    `image`: uint8 RGB (720, 1280, 3). `mask`: bool (720, 1280), True exactly where the badge is. `cue`: the channel whose
    badge it is.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    channel: str
    cue: str
    title: str
