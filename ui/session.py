"""What the tabs share: the visitor, the picture they look at, their own models, and how their runs take turns."""

from __future__ import annotations

import copy
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
import numpy as np

from models import DEFAULT, MODELS, Classifier, UserError, load
from models.engine import Engine
from models.picture import Picture, read, resize

PREDICTED = "the predicted class"
SIDE = 1280  # larger pictures are scaled down to this: no network sees more, and the page stays quick
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
# Without `show_progress_on` the page copies all that such an event may change, at every later step of any event.
QUIET: dict[str, Any] = {**PRIVATE, "show_progress": "hidden", "show_progress_on": []}
SHARED: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 2}  # everything that runs a network
WORK: dict[str, Any] = {**QUIET, **SHARED, "trigger_mode": "multiple"}
# Runs of many seconds wait for each other, so that quick ones never wait for them; the page shows the place in the queue.
LONG: dict[str, Any] = {
    **PRIVATE, "concurrency_id": "long", "concurrency_limit": 1, "show_progress": "minimal", "trigger_mode": "multiple",
}  # fmt: skip

T = TypeVar("T")


class Session:
    """One visitor. `path`: the file of the picture that all tabs look at. `models`: their own classifiers, by name."""

    def __init__(self) -> None:
        self.path: str | None = None
        self.models: dict[str, Classifier] = {}
        self._parts: dict[type, Any] = {}
        self._folder = ""

    def __deepcopy__(self, memo: dict[int, Any]) -> Session:
        """A new visitor's: Gradio copies the first state for each."""
        return Session()

    def of(self, kind: type[T]) -> T:
        """What a tab remembers about this visitor: the one object of that class, made when first asked for."""
        return self._parts.setdefault(kind, kind())

    def classifier(self, name: str) -> Classifier:
        """The visitor's own classifier of that name, or one that everybody shares."""
        return self.models.get(name) or load(name)

    def choices(self) -> list[tuple[str, str]]:
        """Titles and names of the models there are for this visitor, their own first."""
        return [(name, name) for name in self.models] + [(facts.title, name) for name, facts in MODELS.items()]

    def file(self, name: str) -> Path:
        """Where to put a file of that name for this visitor; it goes when they go."""
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="thumbscope-")
        return Path(self._folder) / name

    def close(self) -> None:
        """Delete the visitor's files."""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


class Runs:
    """A visitor's runs in one tab take turns: the last one begun wins, and Stop is a flag that the run reads.

    Gradio's own cancelling races with what is on its way. A run holds its turn until it has said its last word, so that
    nothing of it arrives after the next one's.
    """

    def __init__(self) -> None:
        self.halted = False
        self._begun = 0
        self._turn = threading.Lock()

    def halt(self) -> None:
        """Have the run that is under way end at its next result."""
        self.halted = True

    @contextmanager
    def turn(self) -> Iterator[Callable[[], bool]]:
        """Wait for one's turn. Gives a function that says whether a later run has begun, so that this one should end."""
        self._begun += 1
        self.halted = False
        mine = self._begun
        with self._turn:
            yield lambda: self._begun != mine


class Stopped(Exception):  # noqa: N818  (nothing went wrong)
    """The visitor pressed Stop, or began another run."""


class _StoppableEngine:
    def __init__(self, engine: Engine, halted: Callable[[], bool]) -> None:
        self._engine, self._halted = engine, halted

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._halted():
            raise Stopped
        return self._engine.forward(batch)


def stoppable(classifier: Classifier, halted: Callable[[], bool]) -> Classifier:
    """The same classifier, whose forward passes raise Stopped as soon as `halted` says so, in the middle of any method."""
    same = copy.copy(classifier)
    same.engine = _StoppableEngine(classifier.engine, halted)
    return same


def classes(session: Session, model: str, target: str, first: str = PREDICTED) -> Any:
    """The classes of a model to choose from, after `first`; the chosen one stays where the model has it."""
    there = model in session.models or MODELS[model].embedded
    labels = session.classifier(model if there else DEFAULT).labels  # what is downloaded knows ImageNet's classes too
    return gr.Dropdown([first, *labels], value=target if target in labels else first)


def title(model: str) -> str:
    """How a model is called on the page."""
    return MODELS[model].title if model in MODELS else model


def photograph(path: str | None) -> Picture:
    """The picture behind a path. Raises UserError when there is none."""
    if path is None:
        raise UserError("There is no picture yet; upload, paste or photograph one.")
    return read(path)


def fetch(path: str | None) -> Picture:
    """The picture behind a path, at most SIDE pixels on its longer side. Raises UserError when there is none."""
    picture = photograph(path)
    return Picture(within(picture.pixels, SIDE), picture.notes)


def within(pixels: np.ndarray, side: int) -> np.ndarray:
    """Pixels scaled down to at most `side` on their longer side."""
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    return resize(pixels, (max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale))))


def pairs(text: str) -> dict[str, str]:
    """What was typed as options, "name=value name=value". Raises UserError for anything else."""
    words = text.split()
    if not all("=" in word for word in words):
        raise UserError("Options are name=value, separated by spaces, such as samples=500 cells=8.")
    return dict(word.split("=", 1) for word in words)
