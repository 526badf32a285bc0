"""An engine for a server: requests that arrive together share a forward pass, and single canvases come before batches.

The networks run one pass at a time, on all cores. While a pass runs, other threads ask for theirs. When it ends, the single
canvases of one size that wait by then go through the network together. So nobody waits longer than for the pass that runs
at the moment, and a thread that asks while the network is idle does not wait at all.
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections import deque

import numpy as np

from core.stopping import check_stop, never_stop
from models.classifier import Classifier
from models.engine import Engine, batch_size

MAX_SHARED = 4  # canvases in a pass; LiteRT is not faster with more, and allocating their memory takes longer
Passed = tuple[np.ndarray, np.ndarray]


class _Request:
    """One call of `forward`. `ready` is set once it has its `outputs` or its `error`, or once its thread is `chosen`.

    The chosen thread makes the next pass, for itself and for the others in its `group`.
    """

    def __init__(self, batch: np.ndarray) -> None:
        self.batch = batch
        self.ready = threading.Event()
        self.group: list[_Request] = []
        self.outputs: Passed | None = None
        self.error: BaseException | None = None


class SharedEngine:
    """Runs the passes of several threads on one engine. The results are those of the engine.

    Features and logits of a canvas do not depend on the other canvases of its batch: with LiteRT not in a single bit.

    Args:
        engine: The engine that runs the passes.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._busy = False
        self._single: deque[_Request] = deque()
        self._batches: deque[_Request] = deque()

    def forward(self, batch: np.ndarray) -> Passed:
        """See `Engine`. Raises what the engine raises, and Stopped before a pass if the work of this thread must end."""
        check_stop()
        request = _Request(batch)
        with self._lock:
            if self._busy:
                (self._single if len(batch) == 1 else self._batches).append(request)
            else:
                self._busy = True
                request.group = [request]
        if not request.group:
            request.ready.wait()
        if request.group:
            self._pass(request.group)
        if request.error is not None:
            raise request.error
        assert request.outputs is not None
        return request.outputs

    def _pass(self, group: list[_Request]) -> None:
        """Make one pass for a group, wake its threads, and choose the thread that makes the next pass."""
        try:
            with never_stop():  # the pass is for the others too
                features, logits = self._engine.forward(
                    group[0].batch if len(group) == 1 else np.concatenate([request.batch for request in group])
                )
            if len(group) == 1:
                group[0].outputs = features, logits
            else:
                for index, request in enumerate(group):
                    # Copies, because a view would keep the features of all the others in memory.
                    request.outputs = features[index : index + 1].copy(), logits[index : index + 1].copy()
        except BaseException as error:  # noqa: BLE001  (every thread of the group raises it)
            for request in group:
                request.error = error
        finally:
            with self._lock:
                chosen = self._next_group()
                self._busy = bool(chosen)
            for request in group:
                request.ready.set()
            if chosen:
                chosen[0].group = chosen
                chosen[0].ready.set()

    def _next_group(self) -> list[_Request]:
        """The requests of the next pass: the single canvases of the size of the oldest one, or the oldest batch."""
        if not self._single:
            return [self._batches.popleft()] if self._batches else []
        shape = self._single[0].batch.shape
        limit = batch_size(shape[1:], MAX_SHARED)
        same = [request for request in self._single if request.batch.shape == shape][:limit]
        self._single = deque(request for request in self._single if request not in same)
        return same


# By the id of the engine. A shared engine holds its engine, and it is forgotten once no run uses it.
_shared: weakref.WeakValueDictionary[int, SharedEngine] = weakref.WeakValueDictionary()
_shared_lock = threading.Lock()


def share_engine(engine: Engine) -> SharedEngine:
    """The shared engine of an engine: the same object for all runs at a time."""
    with _shared_lock:
        shared = _shared.get(id(engine))
        if shared is None:
            shared = _shared[id(engine)] = SharedEngine(engine)
        return shared


def share_passes(classifier: Classifier) -> Classifier:
    """A copy of a classifier whose forward passes are shared with the other copies.

    >>> from models import load
    >>> share_passes(load("mobilenet_v2")).engine is share_passes(load("mobilenet_v2")).engine
    True
    """
    shared_copy = copy.copy(classifier)
    shared_copy.engine = share_engine(classifier.engine)
    return shared_copy
