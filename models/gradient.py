"""Gradients of logits by pixels and activations through TensorFlow.

Each is one traced function a network (a layer); classes, pictures and batches never trace it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from models.engine import at_once, keep_freed_memory
from models.errors import ModelError, UnknownNameError, unknown

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

BATCH = 4  # on two cores the quickest a picture: more of them fall out of the cache
PIXEL = 2048  # bytes of a gradient for each pixel of the canvas: nearly three times what the embedded networks took


class PixelGradient:
    """d(target . logits) / d(pixels)."""

    def __init__(self, network: keras.Model) -> None:
        import tensorflow as tf

        keep_freed_memory()

        @tf.function(input_signature=_signature(network))
        def gradient(batch: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(batch)
                score = tf.linalg.matvec(self._logits(network, batch), target)
            return tape.gradient(score, batch)

        self._gradient = gradient

    def _logits(self, network: keras.Model, batch: tf.Tensor) -> tf.Tensor:
        return network(batch, training=False)[1]

    def __call__(self, batch: np.ndarray, target: np.ndarray) -> np.ndarray:
        """(N, h, w, 3), at a batch (N, h, w, 3) in [0, 255], in chunks of BATCH, or fewer where memory is short."""
        size = at_once(batch.shape[1:], BATCH, PIXEL)
        chunks = [self._gradient(batch[i : i + size], target) for i in range(0, len(batch), size)]
        return np.concatenate([np.asarray(chunk) for chunk in chunks])


class GuidedGradient(PixelGradient):
    """The same, but every ReLU passes back only what is positive (Springenberg et al. 2015).

    Whatever kind of ReLU it is and wherever it sits (a layer, an operation, the activation of another layer), the positive
    part of the gradient passes where it was given something positive: a ReLU6 at its cap was on, and passes as well. The
    network is run layer by layer for this and stays as it is. Raises ModelError for a network without ReLUs.
    """

    def __init__(self, network: keras.Model) -> None:
        if not any(_is_relu(operation) for operation in network.operations):
            raise ModelError(f"'{network.name}' has no ReLU, which guided backpropagation is about; use saliency.")
        super().__init__(network)

    def _logits(self, network: keras.Model, batch: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        @tf.custom_gradient
        def guided(before: tf.Tensor, after: tf.Tensor) -> tuple[tf.Tensor, Any]:
            on = tf.cast(before > 0, before.dtype)
            return tf.identity(after), lambda upstream: (on * tf.nn.relu(upstream), None)

        def call(operation: Any, *arguments: Any, **options: Any) -> Any:
            if getattr(operation, "_call_has_training_arg", False):
                options["training"] = False
            if not _is_relu(operation):
                return operation(*arguments, **options)
            if not getattr(operation, "weights", None):  # a layer or an operation of its own
                return guided(arguments[0], operation(*arguments, **options))
            activation, operation.activation = operation.activation, None
            try:
                before = operation(*arguments, **options)
            finally:
                operation.activation = activation
            return guided(before, activation(before))

        return network._run_through_graph(batch, call_fn=call)[1]


class LayerGradient:
    """The activation of one layer and d(target . logits) / d(activation). Raises UnknownNameError for a name it cannot use."""

    def __init__(self, network: keras.Model, layer: str) -> None:
        import keras
        import tensorflow as tf

        inner = keras.Model(network.inputs, [_spatial(network, layer), network.outputs[1]])

        @tf.function(input_signature=_signature(network))
        def gradient(batch: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(batch)
                activation, logits = inner(batch, training=False)
                score = tf.linalg.matvec(logits, target)
            return activation, tape.gradient(score, activation)

        self._gradient = gradient

    def __call__(self, batch: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both (N, lh, lw, C), at a batch (N, h, w, 3) in [0, 255]."""
        activation, gradient = self._gradient(batch, target)
        return np.asarray(activation), np.asarray(gradient)


class ChannelGradient(PixelGradient):
    """d(mean of one channel of a layer) / d(pixels). Raises UnknownNameError for a layer or a channel there is not."""

    def __init__(self, network: keras.Model, layer: str) -> None:
        import keras

        activation = _spatial(network, layer)
        self._count, self._layer = activation.shape[-1], layer
        super().__init__(keras.Model(network.inputs, [activation, keras.layers.GlobalAveragePooling2D()(activation)]))

    def of(self, channel: int, batch: np.ndarray) -> np.ndarray:
        """(N, h, w, 3), at a batch (N, h, w, 3) in [0, 255]."""
        if not 0 <= channel < self._count:
            raise unknown(f"channel of '{self._layer}'", channel, [f"0 to {self._count - 1}"])
        return self(batch, np.eye(self._count, dtype=np.float32)[channel])


def _signature(network: keras.Model) -> list[tf.TensorSpec]:
    import tensorflow as tf

    pixels = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
    return [pixels, tf.TensorSpec((network.output_shape[1][-1],), tf.float32)]


def _is_relu(operation: Any) -> bool:
    """Whether it is a ReLU or ends in one, capped (ReLU6) or not; one that leaks is another thing."""
    name = type(operation).__name__
    if name == "ReLU":
        return not operation.negative_slope
    activation = getattr(operation, "activation", None)
    return name in {"Relu", "Relu6"} or getattr(activation, "__name__", "") in {"relu", "relu6"}


def is_activation(operation: Any) -> bool:
    """Whether it is what comes after a nonlinearity, and so a map of what was found where."""
    activation = getattr(operation, "activation", None)
    return _is_relu(operation) or getattr(activation, "__name__", "linear") != "linear"


def channels(network: keras.Model) -> dict[str, int]:
    """The layers whose output is a map after a nonlinearity (or any, where there are none), and how many channels each has."""
    maps, activations = _maps(network)
    return {name: int(maps[name].shape[-1]) for name in activations or maps}


def _spatial(network: keras.Model, layer: str) -> Any:
    """The output of the layer of that name, if it is a map that is calculated once."""
    maps, _ = _maps(network)
    if layer not in maps:
        raise UnknownNameError(
            f"There is no layer '{layer}' with a map to look at; choose from: {', '.join(channels(network))}."
        )
    return maps[layer]


def _maps(network: keras.Model) -> tuple[dict[str, Any], list[str]]:
    """The outputs that are maps, by the name of their layer, and the names of those after a nonlinearity."""
    maps, activations = {}, []
    for operation in network.operations:
        nodes = operation._inbound_nodes
        if len(nodes) == 1 and nodes[0].input_tensors and len(nodes[0].output_tensors) == 1:
            output = nodes[0].output_tensors[0]
            if len(output.shape) == 4 and set(output.shape[1:3]) != {1}:
                maps[operation.name] = output
                activations += [operation.name] if is_activation(operation) else []
    return maps, activations
