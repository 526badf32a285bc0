"""LiteRT with XNNPACK: fast forward passes, gradients without TensorFlow, and the conversion of Keras networks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import describe_error
from core.files import write_atomically
from core.resources import available_cores
from core.stopping import check_stop
from models.engine import Engine, TensorFlowEngine, forward_in_chunks

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

log = logging.getLogger(__name__)

MAX_DIFFERENCE = 1e-3  # largest accepted difference from Keras, in standard deviations of the output
# Of the weights, in bytes. The conversion needs twenty times as much memory, and so large a network gains little from it.
MAX_CONVERTED = 64_000_000


class LiteRTGraph:
    """A `.tflite` file and its interpreter.

    Inputs and outputs are sorted: more dimensions come first, then fewer channels.

    One interpreter serves every batch and canvas, because resizing it takes less time than a forward pass. The interpreter
    holds the tensors, so a lock lets one thread in at a time. LiteRT itself uses all cores.
    """

    def __init__(self, model: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        def indices(details: list[dict[str, Any]]) -> list[int]:
            ordered = sorted(details, key=lambda detail: (-len(detail["shape"]), detail["shape"][-1]))
            return [detail["index"] for detail in ordered]

        self._interpreter = Interpreter(model_content=model, num_threads=available_cores())
        self._inputs = indices(self._interpreter.get_input_details())
        self._outputs = indices(self._interpreter.get_output_details())
        self._shapes: list[tuple[int, ...]] = []
        self._lock = threading.Lock()

    def invoke(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """The outputs for float32 inputs of any batch size and canvas."""
        shapes = [array.shape for array in inputs]
        with self._lock:
            if shapes != self._shapes:
                self._shapes = []  # stays empty if LiteRT refuses the canvas
                for index, shape in zip(self._inputs, shapes, strict=True):
                    self._interpreter.resize_tensor_input(index, shape)
                self._interpreter.allocate_tensors()
                self._shapes = shapes
            for index, array in zip(self._inputs, inputs, strict=True):
                self._interpreter.set_tensor(index, array)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index) for index in self._outputs]


class LiteRTEngine:
    """Runs a `.tflite` network with two outputs: features (4-D) and logits (2-D). `model`: the bytes of the file."""

    def __init__(self, model: bytes) -> None:
        self.model = model
        self._graph = LiteRTGraph(model)

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Engine`."""
        return forward_in_chunks(self._graph.invoke, batch)


class BackwardGraph:
    """Computes the gradient of a network with LiteRT, from a graph that scripts/backward_graphs.py made.

    Pictures go through the graph one by one. This is as fast as a batch and needs the least memory. The gradient of a picture
    then does not depend on the other pictures of the batch. The graph is loaded when it is first needed.

    Args:
        model: Returns the bytes of the `.tflite` file.
        channels: Number of channels of the features.
        stride: Pixels of the canvas per cell of the features.
    """

    def __init__(self, model: Callable[[], bytes], channels: int, stride: int) -> None:
        self._model, self._channels, self._stride = model, channels, stride

    @cached_property
    def _graph(self) -> LiteRTGraph:
        return LiteRTGraph(self._model())

    def features_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """The shape (N, fh, fw, C) of the features for a batch of shape (N, h, w, 3)."""
        return shape[0], shape[1] // self._stride, shape[2] // self._stride, self._channels

    def __call__(self, batch: np.ndarray, upstream: np.ndarray) -> np.ndarray:
        """The gradient with respect to the pixels: d(upstream . features) / d(batch).

        Args:
            batch: Canvases (N, h, w, 3) in [0, 255].
            upstream: Gradient with respect to the features (N, fh, fw, C).

        Returns:
            float32 (N, h, w, 3).
        """
        gradients = []
        for pair in zip(batch[:, None], np.ascontiguousarray(upstream, np.float32)[:, None], strict=True):
            check_stop()
            gradients.append(self._graph.invoke(*pair)[0])
        return np.concatenate(gradients)


def convert(network: keras.Model, canvas: tuple[int, int], float16: bool = False, batch: int | None = None) -> bytes:
    """Convert a Keras network to a `.tflite` file.

    Args:
        network: RGB in [0, 255] -> features, logits.
        canvas: The shape (h, w) of its input.
        float16: Whether to store the weights as float16.
        batch: The number of canvases for which the file is made. With None it is open: a Reshape in the network, as in the
            heads of many models, would otherwise keep the number.

    Returns:
        The bytes of the file.
    """
    import tensorflow as tf

    spec = tf.TensorSpec((batch, *canvas, 3), tf.float32)
    return convert_function(lambda canvases: network(canvases, training=False), [spec], float16)


def convert_function(function: Callable, specs: list[tf.TensorSpec], float16: bool = False) -> bytes:
    """Convert a TensorFlow function to a `.tflite` file.

    Args:
        function: A function of tensors.
        specs: Shape and type of each of its arguments.
        float16: Whether to store constants as float16.

    Returns:
        The bytes of the file.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    traced = tf.function(function).get_concrete_function(*specs)
    logging.getLogger("absl").setLevel(logging.ERROR)  # a warning about tracking, which the next lines make unnecessary
    # The converter does not track the variables of Keras 3. Without this step the file has no weights.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(traced)])
    if float16:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def check_agreement(engine: Engine, network: keras.Model, batch: np.ndarray) -> None:
    """Check that an engine and a Keras network give the same features and logits.

    Args:
        engine: The engine.
        network: The Keras network.
        batch: Canvases (N, h, w, 3) in [0, 255] to compare them on.

    Raises:
        ArithmeticError: If an output differs by more than MAX_DIFFERENCE standard deviations.
    """
    outputs = network(batch, training=False)
    for name, lite, keras_output in zip(("features", "logits"), engine.forward(batch), outputs, strict=True):
        reference = np.asarray(keras_output)
        difference = float(np.abs(lite - reference).max() / max(float(reference.std()), 1e-6))
        if not difference < MAX_DIFFERENCE:  # also true for NaN
            raise ArithmeticError(f"LiteRT's {name} are {difference:.1e} standard deviations from those of Keras")


def compile_network(network: keras.Model, canvas: tuple[int, int], cache_file: Path | None = None) -> Engine:
    """The fastest engine that gives the same outputs as a Keras network.

    This is LiteRT. If LiteRT cannot convert the network or gives other outputs, it is TensorFlow, with a warning in the log.
    It is TensorFlow too for a network with more than MAX_CONVERTED bytes of weights.

    Args:
        network: RGB in [0, 255] -> features, logits.
        canvas: The shape (h, w) of its input.
        cache_file: File that keeps the converted network for the next start. A damaged or wrong file is replaced.

    Returns:
        The engine.
    """
    if 4 * network.count_params() > MAX_CONVERTED:
        return TensorFlowEngine(network)
    rng = np.random.default_rng(0)
    probes = [rng.uniform(0, 255, (2, *canvas, 3)).astype(np.float32)]
    if network.input_shape[1] is None:  # the conversion must not have fixed the shape of the canvas
        probes.append(rng.uniform(0, 255, (1, canvas[0] + 64, canvas[1] - 32, 3)).astype(np.float32))
    if cache_file and cache_file.exists():
        try:
            return _checked(cache_file.read_bytes(), network, probes)
        except Exception as error:  # noqa: BLE001  (LiteRT raises many types on bytes that are no network)
            log.warning(
                "File %s does not contain the converted %s; it is converted again: %s",
                cache_file, network.name, describe_error(error),
            )  # fmt: skip
    try:
        engine = _checked(convert(network, canvas), network, probes)
    except Exception as error:  # noqa: BLE001  (the stages of the converter raise many types)
        log.warning(
            "%s runs in TensorFlow, which takes about four times as long: %s", network.name, describe_error(error)
        )
        return TensorFlowEngine(network)
    if cache_file:
        try:
            write_atomically(cache_file, engine.model)
        except OSError as error:  # on a full or read-only disk the next start is slow, but this one works
            log.warning("The converted %s cannot be kept as %s: %s", network.name, cache_file, describe_error(error))
    return engine


def _checked(model: bytes, network: keras.Model, probes: list[np.ndarray]) -> LiteRTEngine:
    engine = LiteRTEngine(model)
    for probe in probes:
        check_agreement(engine, network, probe)
    return engine
