"""All files of a folder, and what is left out of it, with the reason."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.files import readable_name
from core.images import show_name

SYSTEM_FILES = ("thumbs.db", "desktop.ini", "__macosx", "$recycle.bin")


@dataclass(frozen=True)
class Excluded:
    """A file, folder or class that is left out: its name, the reason in one sentence, and the kind of reason for a count."""

    name: str
    reason: str
    kind: str = "not usable"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", readable_name(self.name))
        object.__setattr__(self, "reason", readable_name(self.reason))


def is_hidden_name(name: str) -> bool:
    """Whether a file or folder is hidden or belongs to the system: `.DS_Store`, `__MACOSX`, `Thumbs.db`."""
    return name.startswith(".") or name.casefold() in SYSTEM_FILES


def walk(root: Path) -> tuple[list[Path], list[Excluded]]:
    """All files below a folder, relative to it and sorted, and what cannot be used before a file is opened.

    A link to a folder outside is followed once. A link to a folder inside is left out, so that circles end.
    """
    files: list[Path] = []
    excluded: list[Excluded] = []
    inside = os.path.realpath(root)
    visited = {inside}
    folders = [Path()]
    while folders:
        folder = folders.pop()
        for entry in _scan(root, folder, excluded):
            path = folder / entry.name
            reason = kind = ""
            if is_hidden_name(entry.name):
                reason, kind = "It is hidden or belongs to the system.", "hidden"
            elif entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110  (Path.exists raises for a circle)
                reason, kind = "It is a broken link.", "broken links"
            elif entry.is_dir():
                real = os.path.realpath(entry.path)
                if entry.is_symlink() and (real in visited or real.startswith(inside + os.sep)):
                    reason, kind = "It is a link to a folder that is used already.", "links to used folders"
                else:
                    visited.add(real)
                    folders.append(path)
            elif not entry.is_file():
                reason, kind = "It is not a file.", "not files"
            else:
                files.append(path)
            if reason:
                excluded.append(Excluded(path.as_posix(), reason, kind))
    return sorted(files), sorted(excluded, key=lambda entry: entry.name)


def _scan(root: Path, folder: Path, excluded: list[Excluded]) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder; one that cannot be opened is excluded."""
    try:
        with os.scandir(root / folder) as entries:
            yield from entries
    except OSError as error:
        excluded.append(Excluded(folder.as_posix(), f"It cannot be opened ({error.strerror}).", "not opened"))


def describe_excluded(excluded: Sequence[Excluded], verbose: bool = False) -> list[str]:
    """What is left out, as lines: one line with counts, and with `verbose` one line each.

    >>> describe_excluded([Excluded("a.txt", "It is a text.", "not pictures"), Excluded(".b", "It is hidden.", "hidden")])
    ['left out: 1 hidden, 1 not pictures (--verbose lists them)']
    """
    if not excluded:
        return []
    kinds = sorted(Counter(entry.kind for entry in excluded).items(), key=lambda item: (-item[1], item[0]))
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds)
    if not verbose:
        return [f"left out: {counts} (--verbose lists them)"]
    return [f"left out: {counts}", *(f"left out: {show_name(entry.name)}: {entry.reason}" for entry in excluded)]
