"""Unpack a zip of pictures from an unknown sender safely."""

from __future__ import annotations

import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from core.errors import UserError
from core.folders import is_hidden_name

MAX_FILES = 20_000
MAX_BYTES = 1_000_000_000  # unpacked
MAX_RATIO = 100  # unpacked size to packed size, of each file and of the whole zip; a JPEG hardly shrinks
FREE_BYTES = 1_000_000  # that may be unpacked whatever the ratio


def unzip(file: Path, into: Path, max_bytes: int = MAX_BYTES) -> list[str]:
    """Unpack a zip; nothing is written outside `into`. Returns the names of hidden files, which are not unpacked.

    Args:
        file: The zip.
        into: The folder to unpack to; it is created when the zip is safe.
        max_bytes: Largest total size of the unpacked files.

    Raises:
        UserError: The zip is unsafe, damaged, encrypted or too large, or its files cannot be written.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            files = [entry for entry in archive.infolist() if not entry.is_dir()]
            entries = [entry for entry in files if not is_hidden(entry.filename)]
            _check_entries(file.name, entries, max_bytes)
            _check_ratio(file, entries)
            for entry in entries:
                path = into / entry.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as packed, path.open("xb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)  # zipfile stops at the size that was checked
            return [entry.filename for entry in files if is_hidden(entry.filename)]
    except UserError:
        raise
    except (
        OSError,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
        lzma.LZMAError,
        struct.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        IndexError,
    ) as error:
        if isinstance(error, OSError) and error.strerror:  # bz2 raises OSError without it for a damaged stream
            raise UserError(f"'{file.name}' cannot be unpacked ({error.strerror}).") from error
        raise UserError(f"'{file.name}' is damaged or encrypted; make the zip again.") from error


def _check_entries(name: str, entries: Sequence[zipfile.ZipInfo], max_bytes: int) -> None:
    """Raise UserError for a path outside the folder, a link, a name that occurs twice, or too much data."""
    names = set()
    for entry in entries:
        path = PurePosixPath(entry.filename)
        unsafe = "\\" in entry.filename or ":" in path.parts[0] or path.is_absolute() or ".." in path.parts
        if unsafe or stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(
                f"'{name}' has an entry '{entry.filename[:80]}' that points outside of it; make the zip again."
            )
        if entry.filename in names:
            raise UserError(f"'{name}' has '{entry.filename[:80]}' twice; make the zip again.")
        names.add(entry.filename)
        if entry.file_size > FREE_BYTES and entry.file_size > MAX_RATIO * entry.compress_size:
            raise UserError(
                f"'{name}' has a file '{entry.filename[:80]}' that unpacks to over {MAX_RATIO} times its size."
            )
    if len(entries) > MAX_FILES:
        raise UserError(f"'{name}' has {len(entries)} files; the limit is {MAX_FILES}.")
    if sum(entry.file_size for entry in entries) > max_bytes:
        raise UserError(f"'{name}' unpacks to more than {max_bytes / 1e6:.0f} MB; use fewer or smaller pictures.")


def _check_ratio(file: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Raise UserError for many small files that shrink a lot, or that share their packed data."""
    unpacked, packed = sum(entry.file_size for entry in entries), file.stat().st_size
    if unpacked > FREE_BYTES and unpacked > MAX_RATIO * packed:
        raise UserError(
            f"'{file.name}' unpacks to {unpacked / 1e6:.0f} MB, over {MAX_RATIO} times its size; make a zip of pictures."
        )


def is_hidden(name: str) -> bool:
    """Whether a file name, or a path in a zip, is hidden or belongs to the system: `.DS_Store`, `__MACOSX/`."""
    return any(is_hidden_name(part) for part in PurePosixPath(name).parts if part != "..")
