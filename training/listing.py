"""What a data set lists: its labelled files, their splits, and everything that is left out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.files import readable_name
from core.folders import Excluded
from core.formats import SUFFIXES, looks_like_picture
from core.images import show_name

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SPLIT_NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""Names of folders and values of a column that mean a split, in any case; also followed by one of SPLIT_ENDINGS."""
SPLIT_ENDINGS = ("", "set", "data", "images", "split", "folder")
UNKNOWN_CLASS = "of classes that the model does not have"  # a kind of `Excluded`
LIKELY = SUFFIXES | {".heic", ".heif", ".avif", ".jxl", ".jp2"}
"""Suffixes of pictures, read or not. The folders with such files are the class folders."""


@dataclass(frozen=True)
class LabelledFile:
    """A file of a class, before it is read. `name`: the path inside what the user gave. Names that are no UTF-8 become text."""

    path: Path
    name: str
    label: str
    split: Split = "train"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", readable_name(self.name))
        object.__setattr__(self, "label", readable_name(self.label))


@dataclass(frozen=True)
class Listing:
    """The files of a data set. `notes`: what was assumed about the layout, one sentence each."""

    files: tuple[LabelledFile, ...]
    excluded: tuple[Excluded, ...] = ()
    notes: tuple[str, ...] = ()


def split_of(name: str) -> Split | None:
    """The split that the name of a folder or the value of a column means, or None.

    >>> split_of("Training_Set"), split_of("valid"), split_of("trains")
    ('train', 'validation', None)
    """
    word = "".join(letter for letter in name.casefold() if letter.isalnum())
    for split, names in SPLIT_NAMES.items():
        if any(word == begin + ending for begin in names for ending in SPLIT_ENDINGS):
            return split
    return None


def is_likely_picture(path: Path) -> bool:
    """Whether a file is a picture, by its suffix; one without a suffix by its first bytes."""
    suffix = path.suffix.casefold()
    return suffix in LIKELY or (not suffix and looks_like_picture(path))


def quote_some(names: Collection[str], most: int = 5) -> str:
    """The first names in quotes, as part of a sentence.

    >>> quote_some(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    shown = [f"'{show_name(name)}'" for name in list(names)[:most]]
    more = len(names) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))
