"""Which files a visitor may name: those the visitor uploaded, and those the server sent to this visitor.

A browser names its pictures by their paths on the server. A stranger can send any path. So every path in a request is
checked twice: before an event runs, and again in the component that hands the path to a handler.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.utils import get_upload_folder

from core.errors import UserError
from ui.startup import no_stubs

META = {"_type": "gradio.FileData"}
REFUSAL = "Only files that you uploaded here can be used. Upload the file again."
TOO_MUCH = "Your files take too much space here. Reload the page to start again, or upload smaller files."
MAX_OWNERS = 1000  # per file; a sample has many
MAX_BYTES = 500_000_000  # of the files of one visitor
KEPT_FILES = 300  # of the newest files that the server made for a visitor; the page may still show them
UNUSED_SECONDS = 900.0  # that an upload waits for its first use
ORPHAN_SECONDS = 60.0  # that a file is kept without an owner: it may be uploaded again at this moment


class Visitor(NamedTuple):
    """Who sends a request. `key`: the session, or the event of a call without a session. `lasting`: it is a session."""

    key: str
    lasting: bool


class FileRegister:
    """The files of each visitor, and how long they stay. All paths are resolved.

    The path of an upload follows from its content, so two visitors who upload the same file have the same path. Therefore the
    uploads of a path are counted. Each upload makes one visitor an owner: the first that uses it. A file is deleted when its
    owners are gone. An upload that nobody uses is deleted after UNUSED_SECONDS.
    """

    def __init__(self) -> None:
        self._owners: dict[str, dict[str, None]] = {}
        self._files: dict[
            str, dict[str, bool]
        ] = {}  # of each visitor, the oldest first; whether the server made the file
        self._bytes: dict[str, int] = {}  # of each file
        self._unclaimed: Counter[str] = Counter()
        self._since: dict[str, float] = {}  # when a file without owners was uploaded, or lost its last owner
        self._lock = threading.RLock()

    def add_uploads(self, paths: Iterable[str]) -> None:
        """Note files that were just uploaded, nobody knows by whom."""
        with self._lock:
            for path in map(os.path.realpath, paths):
                self._unclaimed[path] += 1
                self._since[path] = time.monotonic()
                self._measure(path)

    def give(self, path: str, visitor: Visitor) -> None:
        """Note that the server sent this file to this visitor. A call without a session ends with its answer.

        When the visitor's files get too large, the oldest ones that the server made are given up.
        """
        path = os.path.realpath(path)
        with self._lock:
            self._measure(path)
            if not visitor.lasting:
                self._since.setdefault(path, time.monotonic())
                return
            self._add_owner(path, visitor, made=True)
            files = self._files[visitor.key]
            made = [other for other, is_made in files.items() if is_made][:-KEPT_FILES]
            while made and self.bytes_of(visitor.key) > MAX_BYTES:
                self._remove_owner(made.pop(0), visitor.key)

    def may_use(self, path: str, visitor: Visitor) -> bool:
        """Whether the file at this resolved path is the visitor's.

        A call without a session may use an upload that no session uses, any number of times: it knows the path, which
        contains a secret hash. Raises UserError for an upload that does not fit beside the visitor's other files.
        """
        with self._lock:
            if visitor.key in self._owners.get(path, {}):
                return True
            if self._unclaimed[path] < 1:
                return False
            if visitor.lasting:
                if self.bytes_of(visitor.key) + self._bytes.get(path, 0) > MAX_BYTES:
                    raise UserError(TOO_MUCH)
                self._unclaimed[path] -= 1
                self._add_owner(path, visitor)
            return True

    def bytes_of(self, key: str) -> int:
        """Bytes of all files of a visitor."""
        return sum(self._bytes.get(path, 0) for path in self._files.get(key, {}))

    def release(self, key: str) -> None:
        """Note that a visitor is gone."""
        with self._lock:
            for path in list(self._files.get(key, {})):
                self._remove_owner(path, key)
            self._files.pop(key, None)

    def sweep(self, keep: Set[str] = frozenset(), unused_seconds: float = 0) -> int:
        """Delete the files that nobody owns any more, except those in `keep`. Returns their number.

        `unused_seconds`: how long an upload may wait for its first use, by default UNUSED_SECONDS.
        """
        now, deleted = time.monotonic(), 0
        with self._lock:
            for path, since in list(self._since.items()):
                waits = (unused_seconds or UNUSED_SECONDS) if self._unclaimed[path] > 0 else ORPHAN_SECONDS
                if self._owners.get(path) or now - since < waits:
                    continue
                del self._since[path]
                for register in (self._owners, self._bytes, self._unclaimed):
                    register.pop(path, None)
                if path not in keep:
                    deleted += 1
                    _delete(path)
        return deleted

    def _measure(self, path: str) -> None:
        with suppress(OSError):
            self._bytes[path] = Path(path).stat().st_size

    def _add_owner(self, path: str, visitor: Visitor, made: bool = False) -> None:
        owners, files = self._owners.setdefault(path, {}), self._files.setdefault(visitor.key, {})
        owners[visitor.key] = owners.pop(visitor.key, None)  # the newest comes last
        files[path] = files.pop(path, made)
        if len(owners) > MAX_OWNERS:
            self._remove_owner(path, next(iter(owners)))

    def _remove_owner(self, path: str, key: str) -> None:
        self._owners.get(path, {}).pop(key, None)
        self._files.get(key, {}).pop(path, None)
        if not self._owners.get(path):
            self._since[path] = time.monotonic()


def _delete(path: str) -> None:
    """Delete a file of the upload folder, and its folder if it is empty then."""
    root = Path(get_upload_folder()).resolve()
    if Path(path).is_relative_to(root):
        with suppress(OSError):
            Path(path).unlink()
        with suppress(OSError):
            if Path(path).parent != root:
                Path(path).parent.rmdir()


def delete_partial_uploads() -> None:
    """Delete what is left of uploads that broke off. Gradio writes an upload to a file "tmp..." first."""
    for path in Path(get_upload_folder()).glob("tmp*"):
        with suppress(OSError):
            if path.is_file() and time.time() - path.stat().st_mtime > UNUSED_SECONDS:
                path.unlink()


FILES = FileRegister()
current_visitor: ContextVar[Visitor | None] = ContextVar("visitor", default=None)


def check_file(path: object) -> str:
    """The path, if it names a file of the visitor whose request runs. Raises gr.Error otherwise.

    The file is inside the upload folder, and no part of the path is a link or "..".
    """
    visitor = current_visitor.get()
    resolved = _resolve(path) if isinstance(path, str) else None
    try:
        if visitor is None or resolved is None or not FILES.may_use(resolved, visitor):
            raise UserError(REFUSAL)
    except UserError as error:
        raise gr.Error(str(error), title="", print_exception=False) from None
    return str(path)


def _resolve(path: str) -> str | None:
    """The resolved path of an existing file in the upload folder; None for all other paths and for links."""
    folder = Path(get_upload_folder()).absolute()
    try:
        resolved = Path(path).resolve(strict=True)
        root = folder.resolve()
        plain = {f"{parent}{os.sep}{resolved.relative_to(root)}" for parent in (folder, root)}
        return str(resolved) if path in plain and resolved.is_file() else None
    except (OSError, ValueError, RuntimeError):  # missing, outside of the folder, or a circle of links
        return None


def check_files(value: Any) -> None:
    """Check every file in the values of a request. Raises gr.Error for a file that is not the visitor's."""
    for entry in file_entries(value):
        if entry["path"] is not None:
            if entry.get("meta") != META:
                raise gr.Error(REFUSAL, title="", print_exception=False)
            check_file(entry["path"])


def file_entries(value: Any) -> Iterator[dict[Any, Any]]:
    """All dicts with a "path", at any depth."""
    stack = [value]
    while stack:
        current = stack.pop()
        if isinstance(current, dict):
            if "path" in current:
                yield current
            stack.extend(current.values())
        elif isinstance(current, (list, tuple)):
            stack.extend(current)


with no_stubs():

    class CheckedGallery(gr.Gallery):
        """A gallery whose handlers get files of the visitor only."""

        is_template = True  # a gr.Gallery to the browser

        def preprocess(self, payload: Any) -> Any:
            """As in Gradio. Raises gr.Error for a file that is not the visitor's."""
            check_files(payload.model_dump() if payload else None)
            return super().preprocess(payload)

    class CheckedUploadButton(gr.UploadButton):
        """An upload button whose handlers get files of the visitor only."""

        is_template = True  # a gr.UploadButton to the browser

        def preprocess(self, payload: Any) -> Any:
            """As in Gradio. Raises gr.Error for a file that is not the visitor's."""
            check_files(payload.model_dump() if payload else None)
            return super().preprocess(payload)
