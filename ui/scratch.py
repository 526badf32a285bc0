"""The folder of this process for the files of visitors. It is deleted at the end, and after a crash at the next start."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl

PREFIX = "thumbscope-"
LOCK = "lock"  # a file that its process keeps locked; the system unlocks it when the process ends, however it ends
YOUNG_SECONDS = 60.0  # a folder without a locked file may be in the making

_locks: list[IO[str]] = []


@cache
def process_folder() -> Path:
    """The folder, readable for this user only. The first call makes it, and deletes those of processes that are gone."""
    parent = Path(tempfile.gettempdir())
    delete_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    lock = (folder / LOCK).open("w")
    _locks.append(lock)  # it stays open, and so locked, until the process ends
    if sys.platform != "win32":
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    atexit.register(_delete, folder, os.getpid())
    return folder


def _delete(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not in a fork
        shutil.rmtree(folder, ignore_errors=True)


def delete_abandoned(parent: Path) -> list[Path]:
    """Delete the folders in `parent` that belong to no running process. Returns them."""
    if sys.platform == "win32":
        return []
    deleted = []
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            status = folder.lstat()
            abandoned = status.st_uid == os.getuid() and time.time() - status.st_mtime > YOUNG_SECONDS
            if not abandoned or not folder.is_dir() or folder.is_symlink():
                continue
            with (folder / LOCK).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # locked by its process, or deleted by another one
            continue
        deleted.append(folder)
    return deleted
