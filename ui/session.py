"""The session of one visitor: the picture of all tabs, the visitor's own models, files, and the state of each tab."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from core.errors import UserError
from models import MODELS, Classifier, load
from ui.scratch import process_folder

T = TypeVar("T")

MAX_BYTES = 500_000_000  # of the files of one visitor
MAX_NODES = 20_000  # values that are visited to measure a session


class Session:
    """One visitor.

    `path`: the file of the picture that all tabs use. `models`: the visitor's own classifiers, by name. When the session is
    gone, its files are deleted.
    """

    def __init__(self) -> None:
        self.path: str | None = None
        self.models: dict[str, Classifier] = {}
        self._states: dict[type, Any] = {}
        self._folder: Path | None = None
        self._folders: Counter[str] = Counter()
        self._delete: Callable[[], Any] = lambda: None

    def __deepcopy__(self, memo: dict[int, Any]) -> Session:
        """A new session: Gradio copies the initial state for each visitor."""
        return Session()

    def state(self, kind: type[T]) -> T:
        """The state of one tab: the only object of class `kind`, created on the first call."""
        return self._states.setdefault(kind, kind())

    @property
    def in_use(self) -> bool:
        """Whether the visitor has done anything yet."""
        return bool(self._states) or self._folder is not None

    def classifier(self, name: str) -> Classifier:
        """The visitor's own classifier with this name, or a shared one. Raises UserError for an unknown name."""
        return self.models.get(name) or load(name)

    def model_choices(self) -> list[tuple[str, str]]:
        """Title and name of every model that this visitor has, own models first."""
        return [(name, name) for name in self.models] + [(info.title, name) for name, info in MODELS.items()]

    def file(self, name: str) -> Path:
        """Path for a file of this visitor with this name. `close` deletes it."""
        if self._folder is None or not self._folder.exists():
            self._folder = Path(tempfile.mkdtemp(dir=process_folder()))
            self._delete = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder / name

    def new_folder(self, name: str) -> Path:
        """Path for a folder with new pictures of this visitor. The folder of this name before the last one is deleted.

        Raises UserError if the visitor's files take too much space.
        """
        self._folders[name] += 1
        parent, number = self.file(name).parent, self._folders[name]
        shutil.rmtree(parent / f"{name}-{number - 2}", ignore_errors=True)
        if self.room() <= 0:
            raise UserError("Your files take too much space here. Reload the page to start again.")
        return parent / f"{name}-{number}"

    def room(self) -> int:
        """How many bytes more this visitor's files may take."""
        files = self._folder.rglob("*") if self._folder else []
        return MAX_BYTES - sum(path.stat().st_size for path in files if path.is_file())

    def size(self) -> int:
        """Bytes of the arrays that this session keeps in memory. Shared classifiers do not count."""
        return _array_bytes(list(self._states.values()))

    def close(self) -> None:
        """Delete the visitor's files."""
        self._delete()


def _array_bytes(root: Any) -> int:
    """Bytes of all arrays in a value: in containers and in objects of our own classes."""
    total = 0
    seen: set[int] = set()
    stack = deque([root])
    while stack and len(seen) < MAX_NODES:
        value = stack.pop()
        if id(value) in seen or isinstance(value, (str, bytes, int, float, Classifier, type(None), Path)):
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            if isinstance(value.base, np.ndarray):
                stack.append(value.base)
            else:
                total += value.nbytes
        elif isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, (list, tuple, set, deque)):
            stack.extend(value)
        elif is_dataclass(value) or type(value).__module__.partition(".")[0] in {"audit", "ui", "capture", "training"}:
            stack.extend(vars(value).values() if hasattr(value, "__dict__") else ())
    return total
