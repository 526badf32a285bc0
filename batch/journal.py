"""`results.jsonl`: one line of JSON per picture and method of a batch. It is also the list of what is finished.

A line is written when the file of the picture is on disk under a temporary name, just before it appears. So a picture whose
file exists has a line, and after a kill nothing is done twice. A picture with a line but without its file is done again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

FILE = "results.jsonl"
_TEMPORARY = re.compile(r"\.thumbscope\.\d+\.\d+")  # as `core.files.write_atomically` names them


def key_of(path: str, settings: str, recipe: str) -> int:
    """A number for a picture, as it is now on disk, explained with these settings. `recipe`: a hash of all else."""
    try:
        stat = Path(path).stat()
        state = [stat.st_size, stat.st_mtime_ns]
    except OSError:
        state = []
    digest = hashlib.blake2b(json.dumps([path, state, settings, recipe]).encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


class Journal:
    """The lines of an output folder. Several processes may append to it: each line is written at once."""

    def __init__(self, out: Path) -> None:
        self._path = out / FILE

    def finished(self) -> set[int]:
        """The keys of the pictures that are finished: their file exists, or the picture could not be explained."""
        keys: set[int] = set()
        if not self._path.exists():
            return keys
        with self._path.open("rb") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    if entry["problem"] or (self._path.parent / entry["overlay"]).exists():
                        keys.add(int(entry["key"]))
                except (ValueError, KeyError, TypeError):  # the end of a line that was being written
                    continue
        return keys

    def append(self, entry: dict[str, Any]) -> None:
        """Add a line."""
        line = json.dumps(entry).encode() + b"\n"
        with self._path.open("ab", buffering=0) as file:
            if file.tell() and not self._ends_a_line():
                line = b"\n" + line
            file.write(line)

    def _ends_a_line(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def delete_temporary_files(out: Path) -> None:
    """Delete what killed processes have left in an output folder."""
    for folder, _, names in os.walk(out):
        for name in names:
            if _TEMPORARY.fullmatch(name):
                (Path(folder) / name).unlink(missing_ok=True)
