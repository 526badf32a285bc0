"""Bounds of the options of a method, as annotations: `samples: Samples = 1000`.

Without bounds one line of options needs more memory than a server has. The bounds are wide: whoever needs more would wait
for hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from core.errors import UserError, unknown

MAX_SEED = 2**32 - 1
MAX_MASK_VALUES = 10_000_000  # of a table of masks: 40 MB as float32, and several times as much for a moment


@dataclass(frozen=True)
class Range:
    """A number from `least` to `most`, both included."""

    least: float
    most: float

    def __str__(self) -> str:
        return f"{_plain(self.least)} to {_plain(self.most)}"

    def check(self, method: str, option: str, value: Any) -> None:
        """Raise UserError for a value outside, and for a value that is not a number.

        >>> Range(1, 10).check("rise", "cells", 11)
        Traceback (most recent call last):
            ...
        core.errors.UserError: rise needs cells of at most 10; got 11.
        """
        if not value >= self.least:
            raise UserError(f"{method} needs {option} of at least {_plain(self.least)}; got {_short(value)}.")
        if value > self.most:
            raise UserError(f"{method} needs {option} of at most {_plain(self.most)}; got {_short(value)}.")


@dataclass(frozen=True)
class Names:
    """One name, or names separated by commas: at most `most`, and at most `letters` letters altogether."""

    most: int = 1
    letters: int = 200

    def __str__(self) -> str:
        return "a name" if self.most == 1 else f"up to {self.most} names"

    def check(self, method: str, option: str, value: Any) -> None:
        """Raise UserError for a text that is too long, or for too many names."""
        if len(value) > self.letters:
            raise UserError(f"{method} needs {option} of at most {self.letters} letters; got {len(value)}.")
        if value.count(",") >= self.most > 1:  # a comma in a single name is part of an unknown name
            raise UserError(f"{method} needs {option} of at most {self.most} names; got {value.count(',') + 1}.")


@dataclass(frozen=True)
class Choice:
    """One of a few names."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.names[:-1])} or {self.names[-1]}"

    def check(self, method: str, option: str, value: Any) -> None:  # noqa: ARG002
        """Raise UnknownNameError for another name."""
        if value not in self.names:
            raise unknown(option, _short(value), self.names)


Bounds = Range | Names | Choice


def bounds_of(annotation: Any, default: Any) -> Bounds:
    """The bounds in an annotation; for an option without them wide ones that follow from the kind of its default."""
    for bounds in getattr(annotation, "__metadata__", ()):
        if isinstance(bounds, Bounds):
            return bounds
    return Names() if isinstance(default, str) else Range(-1_000_000, 1_000_000)


class DefaultInt(int):
    """A default that was not chosen by the user, so it may follow the size of the picture. It counts as the number."""


class DefaultFloat(float):
    """As `DefaultInt`."""


def mark_default(value: int | float) -> DefaultInt | DefaultFloat:
    """The same number, marked as a default.

    >>> is_default(mark_default(32)), is_default(32), mark_default(32) == 32
    (True, False, True)
    """
    return DefaultInt(value) if isinstance(value, int) else DefaultFloat(value)


def is_default(value: Any) -> bool:
    """Whether a value was marked by `mark_default`."""
    return isinstance(value, (DefaultInt, DefaultFloat))


Samples = Annotated[int, Range(1, 100_000)]
Pairs = Annotated[int, Range(2, 3_000)]  # samples that are compared with each other, in a square table
Steps = Annotated[int, Range(1, 1_000)]
Cells = Annotated[int, Range(1, 64)]
Regions = Annotated[int, Range(1, 256)]
SegmentCounts = Annotated[str, Names(most=3, letters=20)]
SegmentCount = Annotated[int, Range(1, 1_000)]
Pixels = Annotated[int, Range(1, 4_096)]
Zoom = Annotated[int, Range(1, 4)]
Rivals = Annotated[int, Range(1, 1_000)]
Channels = Annotated[int, Range(0, 4_096)]
Seed = Annotated[int, Range(0, MAX_SEED)]
Share = Annotated[float, Range(0, 1)]
Fraction = Annotated[float, Range(0.01, 1)]  # of values that are sorted at once: 1 / fraction sorts
Noise = Annotated[float, Range(0, 10)]
Sigma = Annotated[float, Range(0, 200)]
Levels = Annotated[float, Range(-255, 255)]
Penalty = Annotated[float, Range(0, 1e6)]
Name = Annotated[str, Names()]
Sign = Annotated[str, Choice(("positive", "absolute", "signed"))]
NameList = Annotated[str, Names(most=8)]


def check_masks(count: int, cells: int) -> None:
    """Raise UserError for a table of masks that does not fit into memory, before it is made."""
    if count * cells > MAX_MASK_VALUES:
        raise UserError(
            f"{count} masks of {cells} cells need too much memory; use fewer samples or cells, "
            f"so that their product is at most {MAX_MASK_VALUES}."
        )


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
