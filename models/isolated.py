"""Models of strangers: each opened and run in a process of its own, with limits of memory and time.

A file that exploits a fault of a native library then reaches that process only. Both sides exchange JSON and arrays, and
nothing is unpickled. `models.worker` is the other side.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ModelError
from models.classifier import Classifier
from models.from_function import no_network
from models.geometry import Fit
from models.head import Head, LinearHead, MissingHead

MEMORY = 3_000_000_000  # bytes in memory of one process
OPEN_SECONDS, CALL_SECONDS = 90.0, 60.0
MOST = 4  # processes at a time
IDLE_SECONDS = 1800.0  # a process that nobody uses ends after this
MAX_MESSAGE = 1_000_000_000
_ROOT = Path(__file__).parents[1]
_running: weakref.WeakSet[Process] = weakref.WeakSet()
_starting = threading.Lock()

__all__ = ["Process", "open_isolated", "pack", "unpack"]


def pack(facts: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> bytes:
    """Facts and float32 arrays as bytes: the JSON, a line break, then the numbers.

    >>> unpack(pack({"do": "add"}, [np.ones((1, 2), np.float32)]))
    ({'do': 'add'}, [array([[1., 1.]], dtype=float32)])
    """
    shapes = [list(array.shape) for array in arrays]
    head = json.dumps({"facts": facts, "shapes": shapes}).encode()
    return b"\n".join([head, b"".join(np.ascontiguousarray(array, np.float32).tobytes() for array in arrays)])


def unpack(message: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The facts and the arrays in bytes. Raises ValueError if they are damaged."""
    head, _, body = message.partition(b"\n")
    content = json.loads(head)
    arrays, position = [], 0
    for shape in content["shapes"]:
        count = int(np.prod(shape, dtype=np.int64))
        arrays.append(np.frombuffer(body, np.float32, count, position).reshape(shape).copy())
        position += 4 * count
    return content["facts"], arrays


class Process:
    """A process that runs one model. It ends with this object. One thread at a time talks to it.

    Args:
        memory: It is killed with more than so many bytes in memory.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        ours, theirs = Pipe()
        self._connection: Connection = ours
        self._memory, self._lock = memory, threading.RLock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "models.worker", str(theirs.fileno()), str(memory)],
            cwd=_ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
        theirs.close()
        self.used = time.monotonic()
        self._finalizer = weakref.finalize(self, _end, self._process, ours)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it."""
        self._finalizer()

    def ask(
        self, facts: dict[str, Any], arrays: Sequence[np.ndarray] = (), seconds: float | None = None
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        """The answer to a message, within `seconds`, by default CALL_SECONDS.

        Raises ModelError, in one sentence, if the model cannot do this, takes too long or too much memory, or has ended.
        """
        seconds = CALL_SECONDS if seconds is None else seconds
        with self._lock:
            if not self.alive:
                raise ModelError(
                    "The model was closed, because it was not used or did not keep to the limits; open it again."
                )
            self.used = time.monotonic()
            try:
                self._connection.send_bytes(pack(facts, arrays))
                deadline = time.monotonic() + seconds
                while True:
                    if time.monotonic() > deadline:
                        raise ModelError(
                            f"The model took longer than {seconds:.0f} s, the limit here; give a smaller one."
                        )
                    if self._resident() > self._memory:
                        limit = f"{self._memory / 1e9:.1f} GB of memory"
                        raise ModelError(f"The model needs more than {limit}, the limit here; give a smaller one.")
                    if self._connection.poll(0.05):
                        break
                answer, results = unpack(self._connection.recv_bytes(MAX_MESSAGE))
            except ModelError:
                self.close()
                raise
            except (EOFError, OSError, ValueError, KeyError) as error:
                self.close()
                raise ModelError(
                    "The model ended its process: the file is damaged, or it needs more memory than is allowed here."
                ) from error
        if "error" in answer:
            raise ModelError(str(answer["error"])[:500])
        return answer, results

    def _resident(self) -> int:
        """Its bytes in memory; 0 where the system does not tell."""
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return 0

    # The parts of a classifier

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `models.engine.Engine`."""
        features, logits = self.ask({"do": "forward"}, [batch])[1]
        return features, logits

    def gradient(self, batch: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """See `Classifier.gradient`."""
        return self.ask({"do": "gradient"}, [batch, objective])[1][0]

    def guided_gradient(self, batch: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """See `Classifier.guided_gradient`."""
        return self.ask({"do": "guided"}, [batch, objective])[1][0]

    def full_gradient(self, batch: np.ndarray, objective: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """See `Classifier.full_gradient`."""
        total, *maps = self.ask({"do": "full"}, [batch, objective])[1]
        return float(total[0]), maps


class _IsolatedHead:
    """The head of a model in another process; see `models.head.NetworkHead`."""

    has_constant_gradient = False

    def __init__(self, process: Process, hidden_rows: int) -> None:
        self._process, self.hidden_rows = process, hidden_rows

    def logits(self, features: np.ndarray) -> np.ndarray:
        """See `Head`."""
        return self._process.ask({"do": "head"}, [features])[1][0]

    def gradient(self, features: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """See `Head`."""
        return self._process.ask({"do": "head gradient"}, [features, objective])[1][0]


class IsolatedClassifier(Classifier):
    """A classifier whose model runs in a process of its own."""

    process: Process

    def guided_gradient(self, batch: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """See `Classifier.guided_gradient`."""
        return self.process.guided_gradient(np.ascontiguousarray(batch, np.float32), objective.astype(np.float32))

    def attention(self, canvas: np.ndarray, objective: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Classifier.attention`."""
        attention, effect, is_used = self.process.ask({"do": "attention"}, [canvas, objective])[1]
        return attention, effect, is_used

    def full_gradient(self, batch: np.ndarray, objective: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """See `Classifier.full_gradient`."""
        return self.process.full_gradient(np.ascontiguousarray(batch, np.float32), objective.astype(np.float32))


def open_isolated(
    path: Path,
    labels: Sequence[str] | None = None,
    preprocess: str | None = None,
    fit: Fit | None = None,
    memory: int = MEMORY,
) -> Classifier:
    """Open a model file of a stranger; see `models.open.open_model` for the arguments.

    Only `.tflite`, Teachable Machine, and `.keras` and `.h5` files that are rebuilt layer by layer. The last process that was
    used longest ago ends if there are too many. `memory`: of the process, in bytes.

    Raises:
        ModelError: In one sentence, as `open_model` does, or if the model does not keep to the limits.
    """
    with _starting:
        _make_room()
        process = Process(memory)
        _running.add(process)
    request = {"do": "open", "path": str(path), "labels": None if labels is None else list(labels)}
    try:
        facts, arrays = process.ask({**request, "preprocess": preprocess, "fit": fit}, seconds=OPEN_SECONDS)
        classifier = IsolatedClassifier(
            name=str(facts["name"]),
            labels=[str(label) for label in facts["labels"]],
            engine=process,
            head=_head(facts, arrays, process),
            build_network=lambda: no_network(path.name),
            canvas=tuple(facts["canvas"]) if facts["canvas"] else None,
            activation=facts["activation"],
            fit=facts["fit"],
            capabilities=facts["capabilities"],
            pixel_gradient=process.gradient,
        )
    except ModelError:
        process.close()
        raise
    classifier.process = process
    classifier.side, classifier.stride = int(facts["side"]), int(facts["stride"])
    classifier.preprocessing, classifier.notes = facts["preprocessing"], tuple(facts["notes"])
    classifier.has_tokens = facts["has_tokens"]
    return classifier


def _head(facts: dict[str, Any], arrays: list[np.ndarray], process: Process) -> Head:
    if "features" not in facts["capabilities"]:
        return MissingHead(str(facts["name"]))
    return LinearHead(*arrays) if arrays else _IsolatedHead(process, int(facts["hidden_rows"]))


def _make_room() -> None:
    """End processes that are idle for long, and the one that was used longest ago if there are too many."""
    alive = sorted((process for process in _running if process.alive), key=lambda process: process.used)
    now = time.monotonic()
    excess = len(alive) - MOST + 1
    for index, process in enumerate(alive):
        if index < excess or now - process.used > IDLE_SECONDS:
            process.close()


def _end(process: subprocess.Popen[bytes], connection: Connection) -> None:
    connection.close()
    if process.poll() is None:
        process.kill()
    process.wait()
