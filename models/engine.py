"""The fast forward pass: LiteRT with XNNPACK, about a quarter of the time of a `tf.function` on a CPU.

An engine takes float32 RGB batches (N, h, w, 3) in [0, 255] and gives features (N, fh, fw, C) and logits (N, classes) in
one go, whatever the batch and, for networks that allow it, the canvas. Engines may be called from several threads.
"""

from __future__ import annotations

import ctypes
import logging
import math
import os
import sys
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from models.errors import reason

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

log = logging.getLogger(__name__)

BATCH = 16  # beyond this a picture costs no less, and memory grows
MEMORY = int(os.environ.get("THUMBSCOPE_MEMORY", "512")) << 20  # bytes that the canvases of one pass may need
PIXEL = 256  # bytes of a pass for each pixel of the canvas: twice what the embedded networks were seen to take
PARITY = 1e-3  # largest difference from Keras, relative to the spread of the logits, that is still the same network


def at_once(canvas: tuple[int, ...], most: int = BATCH, pixel: int = PIXEL) -> int:
    """How many canvases (h, w, 3) to pass through a network at a time: `most`, or as many as MEMORY allows, at least 1."""
    return max(1, min(most, MEMORY // (pixel * canvas[0] * canvas[1])))


def cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """How many cores this process may use: what THUMBSCOPE_THREADS says, or all, which in a container are often fewer than
    the machine has."""
    if asked := os.environ.get("THUMBSCOPE_THREADS"):
        return max(1, int(asked))
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        time, period = map(int, quota.read_text().split())
    except (OSError, ValueError):  # not a container, or one without a limit
        return count
    return max(1, min(count, math.ceil(time / period)))


def keep_freed_memory() -> None:
    """Have glibc keep what is freed instead of returning it to the system, up to MEMORY.

    Asking for the same pages again and again takes a fifth of the time of a gradient through TensorFlow, and more than half
    of that of a look for a screen. Other C libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            mallopt(parameter, min(MEMORY, 2**31 - 1))


class Engine(Protocol):
    """Anything that runs a network forwards."""

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features (N, fh, fw, C) and logits (N, classes) of a batch (N, h, w, 3) of RGB in [0, 255]."""
        ...


class Graph:
    """A `.tflite` file and its interpreter, whose inputs and outputs are taken with more dimensions, then fewer channels,
    first.

    One interpreter serves every batch and canvas: sizing it anew costs less than a pass. It holds its tensors, hence the
    lock; LiteRT itself uses all cores.
    """

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        def indices(details: list[dict[str, Any]]) -> list[int]:
            return [each["index"] for each in sorted(details, key=lambda d: (-len(d["shape"]), d["shape"][-1]))]

        self._interpreter = Interpreter(model_content=model, num_threads=cores())
        self._inputs = indices(self._interpreter.get_input_details())
        self._outputs = indices(self._interpreter.get_output_details())
        self._shapes: list[tuple[int, ...]] = []
        self._lock = threading.Lock()

    def run(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """The outputs for float32 inputs of any batch and canvas."""
        shapes = [each.shape for each in inputs]
        with self._lock:
            if shapes != self._shapes:
                self._shapes = []  # stays so if the canvas is refused
                for index, shape in zip(self._inputs, shapes, strict=True):
                    self._interpreter.resize_tensor_input(index, shape)
                self._interpreter.allocate_tensors()
                self._shapes = shapes
            for index, each in zip(self._inputs, inputs, strict=True):
                self._interpreter.set_tensor(index, each)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index) for index in self._outputs]


class LiteRT:
    """Runs a `.tflite` network with two outputs: features (4-D) and logits (2-D)."""

    def __init__(self, model: bytes) -> None:
        self.model = model
        self._graph = Graph(model)

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Engine`."""
        size = at_once(batch.shape[1:])
        chunks = [self._graph.run(batch[start : start + size]) for start in range(0, len(batch), size)]
        features, logits = chunks[0] if len(chunks) == 1 else map(np.concatenate, zip(*chunks, strict=True))
        return features, logits


class Backward:
    """Runs the gradient of a network as a network (see weights/backward.py), loaded when it is first needed.

    It takes picture after picture: that is as fast as several at once, needs the least memory, and gives each the same
    gradient whatever comes with it. `model` reads its `.tflite`; `channels` and `stride` are those of the features.
    """

    def __init__(self, model: Callable[[], bytes], channels: int, stride: int) -> None:
        self._model, self._channels, self._stride = model, channels, stride

    @cached_property
    def _graph(self) -> Graph:
        return Graph(self._model())

    def features(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """The shape of the features of canvases of that shape (N, h, w, 3)."""
        return shape[0], shape[1] // self._stride, shape[2] // self._stride, self._channels

    def __call__(self, batch: np.ndarray, upstream: np.ndarray) -> np.ndarray:
        """d(upstream . features) / d(batch) (N, h, w, 3), for a gradient by the features (N, fh, fw, C)."""
        each = zip(batch[:, None], np.ascontiguousarray(upstream, np.float32)[:, None], strict=True)
        return np.concatenate([self._graph.run(*pair)[0] for pair in each])


class Function:
    """The same through a `tf.function`, for networks that LiteRT's converter does not know."""

    def __init__(self, network: keras.Model) -> None:
        import tensorflow as tf

        spec = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
        self._function = tf.function(lambda batch: network(batch, training=False), input_signature=[spec])

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Engine`."""
        size = at_once(batch.shape[1:])
        chunks = [self._function(batch[start : start + size]) for start in range(0, len(batch), size)]
        features, logits = zip(*chunks, strict=True)
        return np.concatenate([np.asarray(f) for f in features]), np.concatenate([np.asarray(f) for f in logits])


def convert(network: keras.Model, canvas: tuple[int, int], half: bool = False) -> bytes:
    """A network (RGB -> features, logits) as a `.tflite` file; `half` stores its numbers as float16."""
    import tensorflow as tf

    spec = tf.TensorSpec((1, *canvas, 3), tf.float32)
    return convert_function(lambda batch: network(batch, training=False), [spec], half)


def convert_function(function: Callable, specs: list[tf.TensorSpec], half: bool = False) -> bytes:
    """Any TensorFlow function of tensors like `specs` as a `.tflite` file."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    traced = tf.function(function).get_concrete_function(*specs)
    # Keras 3 variables are not tracked by the converter: unfrozen, it writes a file without weights.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(traced)])
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def agree(engine: Engine, network: keras.Model, batch: np.ndarray) -> None:
    """Raise ArithmeticError unless engine and network give the same features and logits on a batch."""
    truths = network(batch, training=False)
    for what, ours, theirs in zip(("features", "logits"), engine.forward(batch), truths, strict=True):
        truth = np.asarray(theirs)
        gap = float(np.abs(ours - truth).max() / max(float(truth.std()), 1e-6))
        if not gap < PARITY:  # a NaN is no agreement either
            raise ArithmeticError(f"LiteRT's {what} are {gap:.1e} standard deviations from those of Keras")


def compile_network(network: keras.Model, canvas: tuple[int, int], keep: Path | None = None) -> Engine:
    """The fastest engine that gives the network's own answers: LiteRT, or a `tf.function` with a line in the log.

    `keep`: where the converted network is kept for the next time; a damaged or foreign file there is made anew.
    """
    probe = np.random.default_rng(0).uniform(0, 255, (2, *canvas, 3)).astype(np.float32)
    if keep and keep.exists():
        try:
            return _checked(keep.read_bytes(), network, probe)
        except Exception as error:  # noqa: BLE001  (whatever LiteRT raises on bytes that are no network)
            log.warning("%s is not the converted %s and is made anew: %s", keep, network.name, reason(error))
    try:
        engine = _checked(convert(network, canvas), network, probe)
    except Exception as error:  # noqa: BLE001  (the converter raises whatever its many stages raise)
        log.warning("%s runs through TensorFlow, about four times slower: %s", network.name, reason(error))
        return Function(network)
    if keep:
        try:
            write_atomically(keep, engine.model)
        except OSError as error:  # a full or read-only disk costs the next start its speed, not this one its result
            log.warning("The converted %s cannot be kept as %s: %s", network.name, keep, reason(error))
    return engine


def _checked(model: bytes, network: keras.Model, probe: np.ndarray) -> LiteRT:
    engine = LiteRT(model)
    agree(engine, network, probe)
    return engine


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not by tempfile, whose files only their owner may read.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
