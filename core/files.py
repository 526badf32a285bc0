"""Atomic writes (a reader sees the old file or the complete new one), and the bytes of PNG and NPY files."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def write_atomically(path: Path, content: bytes, before: Callable[[], object] = lambda: None) -> None:
    """Write a file atomically and create its folders.

    The content goes to a temporary file in the same folder, which then replaces the old file. If this fails, the old file
    stays as it is. `before`: called when the content is on disk, just before the file appears. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        temporary.write_bytes(content)
        before()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Test that `write_atomically` can write this file, without changing it. Creates its folders. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        temporary.write_bytes(b"x")
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        path.exists()  # raises for a name that is too long
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """The file beside `path` that one thread writes first. Its name is short, because file systems limit names.

    The module tempfile is no choice here: only the owner may read its files.
    """
    return path.with_name(f".thumbscope.{os.getpid()}.{threading.get_ident()}")


def readable_name(name: str) -> str:
    r"""The name of a file or folder as text that can be encoded. A byte that is no UTF-8 becomes a replacement character.

    >>> readable_name("caf\udce9") == "caf\ufffd"
    True
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def encode_png(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG file with these uint8 pixels (H, W, 3)."""
    file = io.BytesIO()
    # Level 3 takes a third of the default level's time for a tenth more bytes.
    Image.fromarray(pixels).save(file, "PNG", compress_level=3)
    return file.getvalue()


def encode_npy(array: np.ndarray) -> bytes:
    """The bytes of a `.npy` file with this array."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()
