"""Runs of one visitor: they take turns, and Stop ends them. Also the queue settings of all events."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from core.stopping import Stopped
from models import Classifier
from models.engine import Engine
from models.shared_engine import share_engine

# Keyword arguments of Gradio's event listeners.
NOT_IN_API: dict[str, Any] = {"api_visibility": "private"}
# Without `show_progress_on` the page copies all outputs of such an event at every later step of any event.
NO_PROGRESS: dict[str, Any] = {**NOT_IN_API, "show_progress": "hidden", "show_progress_on": []}
INSTANT: dict[str, Any] = {**NO_PROGRESS, "queue": False}  # events that run no network
MODEL_QUEUE: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 2}  # short events that run a network
SHORT_RUN: dict[str, Any] = {**NO_PROGRESS, **MODEL_QUEUE, "trigger_mode": "multiple"}
# The search of a screen in a photograph needs tens of megabytes, so few run at the same time.
SEARCH_RUN: dict[str, Any] = {**SHORT_RUN, "concurrency_id": "search"}
# Checks that nobody has asked for. They start while no short event waits.
CHECK_RUN: dict[str, Any] = {**SHORT_RUN, "concurrency_id": "check", "concurrency_limit": 1}
# Reading and writing files takes a second or more, and no visitor of the quick line waits for it.
FILE_RUN: dict[str, Any] = {
    **NO_PROGRESS, "concurrency_id": "files", "concurrency_limit": 2, "trigger_mode": "multiple",
}  # fmt: skip
# Runs of many seconds wait for each other, and short runs never wait for them. The page shows the place in the queue.
LONG_RUN: dict[str, Any] = {
    **NOT_IN_API, "concurrency_id": "long", "concurrency_limit": 1, "show_progress": "minimal", "trigger_mode": "multiple",
}  # fmt: skip

# When the visitor asked for the event of this context, by time.monotonic(): before it waited in the queue.
asked_at: ContextVar[float] = ContextVar("asked_at")


class Runs:
    """The runs of one visitor in one tab. They take turns: a new run supersedes the one before it. `started` counts them.

    Gradio's own cancelling can lose results that are already sent. Here a run reads a flag and ends itself. It keeps its
    turn until its last result is sent, so its results never arrive after those of the next run.
    """

    def __init__(self) -> None:
        self.stop_requested = False
        self.started = 0
        self._last_stop = self._newest = -math.inf
        self._turn = threading.Lock()

    def stop(self) -> None:
        """Ask the current run to end at its next result, and every run that the visitor has asked for until now."""
        self.stop_requested = True
        self._last_stop = time.monotonic()

    @contextmanager
    def turn(self) -> Iterator[Callable[[], bool]]:
        """Wait for the turn of this run.

        Yields a function that tells whether a later run has started; if so, this run should end. A run of a slow line can start
        after a run that was asked for later: then it should end at once.
        """
        asked = min(asked_at.get(math.inf), time.monotonic())  # an event that did not wait is asked for now
        if asked < self._newest:
            yield lambda: True
            return
        self._newest = asked
        self.started += 1
        self.stop_requested = asked < self._last_stop  # Stop ends also a run that was still waiting
        number = self.started
        with self._turn:
            yield lambda: self.started != number


class _StoppableEngine:
    def __init__(self, engine: Engine, should_stop: Callable[[], bool]) -> None:
        self._engine, self._should_stop = engine, should_stop

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._should_stop():
            raise Stopped("Stopped.")
        return self._engine.forward(batch)


def stoppable(classifier: Classifier, should_stop: Callable[[], bool]) -> Classifier:
    """A copy of a classifier whose forward passes raise Stopped once `should_stop()` is true, in the middle of any method.

    Runs that ask for a pass at the same time share it.
    """
    stoppable_copy = copy.copy(classifier)
    stoppable_copy.engine = _StoppableEngine(share_engine(classifier.engine), should_stop)
    return stoppable_copy
