"""The input of a model: its size, its channels and their place. Grey, RGBA and channels first are adapted from RGB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import ModelError

GREY = (0.299, 0.587, 0.114)  # weights of red, green and blue (ITU-R BT.601)
_CHANNELS = {1: "grey", 3: "", 4: "RGBA"}


@dataclass(frozen=True)
class InputLayout:
    """The input of a model: height and width, None for a side of any length, and its channels."""

    height: int | None
    width: int | None
    channels: int = 3
    channels_first: bool = False

    def adapt(self, pixels: Any, white: float, library: Any = np) -> Any:
        """The input of the model for scaled pixels (N, h, w, 3).

        `white`: the scaled value of white. `library`: NumPy or keras.library.

        Grey is the weighted mean of the channels. The fourth channel of RGBA is opaque. Pixels that have the channels of the
        model already, because its preprocessing made them, stay as they are.
        """
        if self.channels_first and pixels.shape[1] == self.channels and pixels.shape[3] != self.channels:
            return pixels
        if pixels.shape[3] != self.channels:
            if self.channels == 1:
                pixels = library.sum(pixels * np.array(GREY, np.float32), -1, keepdims=True)
            else:
                pixels = library.concatenate([pixels, library.full_like(pixels[..., :1], white)], -1)
        return library.transpose(pixels, (0, 3, 1, 2)) if self.channels_first else pixels

    def pull_back(self, gradient: np.ndarray) -> np.ndarray:
        """The gradient with respect to scaled pixels (N, h, w, 3), from that with respect to the input of the model."""
        if self.channels_first:
            gradient = gradient.transpose(0, 2, 3, 1)
        return gradient * np.array(GREY, np.float32) if self.channels == 1 else gradient[..., :3]

    @property
    def needs_adapter(self) -> bool:
        """Whether the model takes something else than RGB with the channels last."""
        return self.channels != 3 or self.channels_first

    @property
    def description(self) -> str:
        """What is done besides scaling, such as "grey, channels first"; empty for RGB with the channels last."""
        return ", ".join(filter(None, (_CHANNELS[self.channels], "channels first" if self.channels_first else "")))


def layout_of(name: str, shape: Sequence[Any]) -> InputLayout:
    """The layout of an input of this shape, with None (or any text) for a side of any length.

    Raises ModelError, in a sentence that names the model `name`, if it is no picture.

    >>> layout_of("m", (None, 3, 224, 224))
    InputLayout(height=224, width=224, channels=3, channels_first=True)
    """
    sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
    if len(sizes) == 4 and sizes[3] in _CHANNELS:
        return InputLayout(sizes[1], sizes[2], sizes[3] or 3)
    if len(sizes) == 4 and sizes[1] in _CHANNELS:
        return InputLayout(sizes[2], sizes[3], sizes[1] or 3, channels_first=True)
    raise ModelError(
        f"'{name}' takes {tuple(shape)}; it must take pictures, channels last: (None, height, width, 3), "
        "or with 1 or 4 channels, or channels first."
    )
