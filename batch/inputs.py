"""The pictures that folders and patterns on the command line stand for, each with its place in the output folder."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from core.errors import UserError
from core.folders import Excluded, is_hidden_name, walk


class Entry(NamedTuple):
    """A picture of a batch. `name`: its place below the output folder, without suffix, with / between folders."""

    path: str
    name: str


def is_batch(arguments: Sequence[str]) -> bool:
    """Whether the pictures are given as folders or patterns, not as files only.

    >>> is_batch(["samples/photos/cat.jpg"]), is_batch(["samples/photos"]), is_batch(["photos/**/*.jpg"])
    (False, True, True)
    """
    return any(Path(argument).is_dir() or _is_pattern(argument) for argument in arguments)


def _is_pattern(argument: str) -> bool:
    return glob.has_magic(argument) and not Path(argument).exists()


def find_pictures(arguments: Sequence[str], out: Path) -> tuple[list[Entry], list[Excluded]]:
    """All files that folders, patterns and paths stand for, in order.

    Args:
        arguments: Folders, which are searched recursively; patterns such as `photos/**/*.jpg`; files.
        out: The output folder; it is not searched.

    Returns:
        The files, each once, and what is left out without opening it.

    Raises:
        UserError: A pattern or a folder has no files.
    """
    found: dict[str, PurePosixPath] = {}
    excluded: list[Excluded] = []
    for argument in arguments:
        outer = PurePosixPath()
        if Path(argument).is_dir():
            base = Path(argument)
            if len(arguments) > 1:  # two folders may have files of the same name
                outer = PurePosixPath(base.resolve().name)
            files, left_out = walk(base)
            excluded += [Excluded(str(base / entry.name), entry.reason, entry.kind) for entry in left_out]
        elif _is_pattern(argument):
            base = _fixed_part(argument)
            matches = sorted(Path(match) for match in glob.glob(argument, recursive=True))  # noqa: PTH207  (Path.glob needs a folder first)
            files = [match.relative_to(base) for match in matches if match.is_file() and not is_hidden_name(match.name)]
        else:
            base, files = Path(argument).parent, [Path(Path(argument).name)]
        inside = [file for file in files if not (base / file).resolve().is_relative_to(out.resolve())]
        if not inside:
            raise UserError(f"'{argument}' has no files; give a folder with pictures, or a pattern that matches some.")
        found |= {str(base / file): outer / file.as_posix() for file in inside if str(base / file) not in found}
    return [Entry(path, name) for path, name in zip(found, _unique_names(list(found.values())), strict=True)], excluded


def _fixed_part(pattern: str) -> Path:
    """The folder of a pattern before its first wildcard."""
    parts = Path(pattern).parts
    return Path(*parts[: next(index for index, part in enumerate(parts) if glob.has_magic(part))])


def _unique_names(names: Sequence[PurePosixPath]) -> list[str]:
    """Each name without its suffix; with it where two names of a folder differ in their suffix (or in case) only.

    >>> _unique_names([PurePosixPath("a/1.jpg"), PurePosixPath("a/1.png"), PurePosixPath("b/1.jpg")])
    ['a/1.jpg', 'a/1.png', 'b/1']
    """
    stems = Counter(str(name.with_suffix("")).casefold() for name in names)
    chosen = [name if stems[str(name.with_suffix("")).casefold()] > 1 else name.with_suffix("") for name in names]
    whole = Counter(str(name).casefold() for name in chosen)
    return [f"{name}-{index}" if whole[str(name).casefold()] > 1 else str(name) for index, name in enumerate(chosen)]
