"""Gradients of logits with respect to pixels and activations, computed by TensorFlow.

Each gradient is one function per network (or layer), and TensorFlow traces it once. The objective, the pictures and the size
of the batch are its arguments, so they cause no second trace.
"""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import ModelError, UnknownNameError, unknown
from core.resources import keep_freed_memory
from core.stopping import check_stop
from models.engine import batch_size

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

RELUS = ("Relu", "Relu6")  # operations of TensorFlow
BATCH = 4  # fastest per picture on two cores; larger batches do not fit into the processor's cache
ROUNDING, TINY = 1e-6, 1e-30  # relative error of a bias; in place of a division by zero
BYTES_PER_PIXEL = 2048  # memory per canvas pixel: nearly three times as much as measured for the embedded networks


class PixelGradient:
    """d(objective . logits) / d(pixels) of a Keras network (pixels -> features, logits)."""

    def __init__(self, network: keras.Model) -> None:
        import tensorflow as tf

        keep_freed_memory()

        @tf.function(input_signature=signature(network))
        def gradient(batch: tf.Tensor, objective: tf.Tensor) -> tf.Tensor:
            return self._differentiate(network, batch, objective)

        self._gradient = gradient

    def _differentiate(self, network: keras.Model, batch: tf.Tensor, objective: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(batch)
            score = tf.linalg.matvec(network(batch, training=False)[1], objective)
        return tape.gradient(score, batch)

    def __call__(self, batch: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """The gradient (N, h, w, 3) at a batch (N, h, w, 3) in [0, 255], in chunks of at most BATCH.

        `objective`: float32 weights of the logits (classes,).
        """
        size = batch_size(batch.shape[1:], BATCH, BYTES_PER_PIXEL)
        chunks = []
        for start in range(0, len(batch), size):
            check_stop()
            chunks.append(np.asarray(self._gradient(batch[start : start + size], objective)))
        return np.concatenate(chunks)


class GuidedGradient(PixelGradient):
    """Guided backpropagation: every ReLU passes back positive gradients only (Springenberg et al. 2015).

    https://arxiv.org/abs/1412.6806. A ReLU passes the positive part of the gradient where its input was positive, so a ReLU6
    above its cap passes it too. This holds for every ReLU operation of TensorFlow's graph, wherever Keras put it: a layer, an
    operation, the activation of another layer, or a step inside a custom layer. A PReLU is a leaky ReLU and stays as it is.
    Raises ModelError for a network without ReLU.
    """

    def __init__(self, network: keras.Model) -> None:
        if not has_relu(network):
            raise ModelError(f"'{network.name}' has no ReLU, which guided backpropagation needs; use saliency.")
        super().__init__(network)

    def _differentiate(self, network: keras.Model, batch: tf.Tensor, objective: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        graph, guided = tf.compat.v1.get_default_graph(), dict.fromkeys(RELUS, _guided_relu())

        def call(operation: Any, *arguments: Any, **options: Any) -> Any:
            if getattr(operation, "_call_has_training_arg", False):
                options["training"] = False
            is_leaky = type(operation).__name__ == "PReLU"
            with nullcontext() if is_leaky else graph.gradient_override_map(guided):
                return operation(*arguments, **options)

        logits = network._run_through_graph(batch, call_fn=call)[1]
        return tf.gradients(tf.linalg.matvec(logits, objective), batch)[0]  # a tape does not read the map above


@cache
def _guided_relu() -> str:
    """The name under which TensorFlow finds the gradient of a guided ReLU."""
    import tensorflow as tf

    @tf.RegisterGradient("ThumbscopeGuidedRelu")
    def gradient(operation: tf.Operation, upstream: tf.Tensor) -> tf.Tensor:
        return tf.where(operation.inputs[0] > 0, tf.nn.relu(upstream), tf.zeros_like(upstream))

    return "ThumbscopeGuidedRelu"


class FullGradient:
    """The score as a sum: pixels times their gradient, and a term for each bias (Srinivas & Fleuret 2019).

    https://arxiv.org/abs/1905.00780. A layer f with input a has the bias b = f(a) - J a, where J is its Jacobian: the bias of a
    convolution, 6 for a ReLU6 at its cap, 0 for a ReLU. By the chain rule the score is exactly
    x . d score / d x + the sum over the layers of b . d score / d f(a).
    """

    def __init__(self, network: keras.Model) -> None:
        import tensorflow as tf

        @tf.function(input_signature=signature(network))
        def compute(batch: tf.Tensor, objective: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
            outputs: list[tf.Tensor] = []
            biases: list[tf.Tensor] = []

            def call(operation: Any, *arguments: Any, **options: Any) -> Any:
                if getattr(operation, "_call_has_training_arg", False):
                    options["training"] = False
                tensors = [each for each in tf.nest.flatten((arguments, options)) if tf.is_tensor(each)]
                inputs = [each for each in tensors if each.dtype.is_floating]
                with tf.autodiff.ForwardAccumulator(inputs, inputs) as accumulator:
                    results = operation(*arguments, **options)
                for output in tf.nest.flatten(results):
                    bias = output - accumulator.jvp(output, tf.UnconnectedGradients.ZERO)
                    rounding = ROUNDING * tf.reduce_max(tf.abs(output))
                    outputs.append(output)
                    biases.append(tf.where(tf.abs(bias) > rounding, bias, 0))
                return results

            with tf.GradientTape() as tape:
                tape.watch(batch)
                logits = network._run_through_graph(batch, call_fn=call)[1]
                score = tf.linalg.matvec(logits, objective)
            gradients = tape.gradient(score, [batch, *outputs])
            pairs = zip(gradients, [batch, *biases], strict=True)
            terms = [gradient * value for gradient, value in pairs if gradient is not None]
            total = tf.add_n([tf.reduce_sum(term) for term in terms])
            sizes = [tf.abs(term[0]) for term in terms if len(term.shape) == 4]
            return total, [tf.reduce_sum(size, -1) / tf.maximum(tf.reduce_max(size), TINY) for size in sizes]

        self._compute = compute

    def __call__(self, batch: np.ndarray, objective: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """The sum of all terms, and a map (lh, lw) of the pixels and of each layer with a spatial output, not negative.

        A map is the sum over the channels of the absolute terms, divided by the largest of them; 0 for a layer without bias.
        `batch`: one canvas (1, h, w, 3) in [0, 255].
        """
        check_stop()
        total, maps = self._compute(batch, objective)
        return float(total), [each.numpy() for each in maps]


class LayerGradient:
    """The activation of one layer, and d(objective . logits) / d(activation).

    Raises UnknownNameError if there is no such layer or its output is not a spatial map.
    """

    def __init__(self, network: keras.Model, layer: str) -> None:
        import keras
        import tensorflow as tf

        inner = keras.Model(network.inputs, [spatial_map(network, layer), network.outputs[1]])

        @tf.function(input_signature=signature(network))
        def gradient(batch: tf.Tensor, objective: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(batch)
                activation, logits = inner(batch, training=False)
                score = tf.linalg.matvec(logits, objective)
            return activation, tape.gradient(score, activation)

        self._gradient = gradient

    def __call__(self, batch: np.ndarray, objective: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Activation and gradient, each (N, lh, lw, C), at a batch (N, h, w, 3) in [0, 255]."""
        check_stop()
        activation, gradient = self._gradient(batch, objective)
        return np.asarray(activation), np.asarray(gradient)


class ChannelGradient(PixelGradient):
    """d(mean of one channel of a layer) / d(pixels).

    Raises UnknownNameError if there is no such layer or its output is not a spatial map.
    """

    def __init__(self, network: keras.Model, layer: str) -> None:
        import keras

        activation = spatial_map(network, layer)
        self._count, self._layer = activation.shape[-1], layer
        super().__init__(keras.Model(network.inputs, [activation, keras.layers.GlobalAveragePooling2D()(activation)]))

    def at_channel(self, channel: int, batch: np.ndarray) -> np.ndarray:
        """The gradient (N, h, w, 3) at a batch (N, h, w, 3) in [0, 255]. Raises UnknownNameError for a wrong channel."""
        if not 0 <= channel < self._count:
            raise unknown(f"channel of '{self._layer}'", channel, [f"0 to {self._count - 1}"])
        return self(batch, np.eye(self._count, dtype=np.float32)[channel])


def signature(network: keras.Model) -> list[tf.TensorSpec]:
    """The types of a batch of canvases and of an objective, for a traced function."""
    import tensorflow as tf

    pixels = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
    return [pixels, tf.TensorSpec((network.output_shape[1][-1],), tf.float32)]


def has_relu(network: keras.Model) -> bool:
    """Whether a network (pixels -> features, logits) has a ReLU, also as a step inside a custom layer."""
    import tensorflow as tf

    if any(is_relu(operation) for operation in network.operations):
        return True
    if all(type(operation).__module__.startswith("keras.") for operation in network.operations):
        return False
    pixels, _ = signature(network)
    graph = tf.function(network).get_concrete_function(pixels, training=False).graph
    return any(operation.type in RELUS for operation in graph.get_operations())


def is_relu(operation: Any) -> bool:
    """Whether a Keras operation is a ReLU or a ReLU6, or has one as its activation. A leaky ReLU is none."""
    name = type(operation).__name__
    if name == "ReLU":
        return not operation.negative_slope
    activation = getattr(operation, "activation", None)
    return name in {"Relu", "Relu6"} or getattr(activation, "__name__", "") in {"relu", "relu6"}


def is_activation(operation: Any) -> bool:
    """Whether the output of a Keras operation is the output of a nonlinearity."""
    activation = getattr(operation, "activation", None)
    return is_relu(operation) or getattr(activation, "__name__", "linear") != "linear"


def channels(network: keras.Model) -> dict[str, int]:
    """The layers whose output is a spatial map after a nonlinearity, and the number of channels of each.

    For a network without such layers: all layers whose output is a spatial map.
    """
    maps, activations = _maps(network)
    return {name: int(maps[name].shape[-1]) for name in activations or maps}


def spatial_maps(network: keras.Model) -> dict[str, Any]:
    """The outputs of the same layers as `channels`, and the features."""
    maps, activations = _maps(network)
    features = network.outputs[0]._keras_history.operation.name
    return {name: maps[name] for name in maps if not activations or name in activations or name == features}


def spatial_map(network: keras.Model, layer: str) -> Any:
    """The output of the layer of this name. Raises UnknownNameError if there is none with a spatial map."""
    maps, _ = _maps(network)
    if layer not in maps:
        raise UnknownNameError(
            f"There is no layer '{layer}' with a spatial map; choose from: {', '.join(channels(network))}."
        )
    return maps[layer]


def _maps(network: keras.Model) -> tuple[dict[str, Any], list[str]]:
    """The spatial maps by the name of their layer, and the names of those after a nonlinearity.

    A layer that is called more than once has no single output and is left out.
    """
    nodes: dict[int, list[Any]] = {}  # those of this network: a layer may also belong to a model behind it
    for node in itertools.chain(*network._nodes_by_depth.values()):
        nodes.setdefault(id(node.operation), []).append(node)
    maps, activations = {}, []
    for operation in network.operations:
        called = nodes.get(id(operation), [])
        if len(called) == 1 and called[0].input_tensors and len(called[0].output_tensors) == 1:
            output = called[0].output_tensors[0]
            if len(output.shape) == 4 and set(output.shape[1:3]) != {1}:
                maps[operation.name] = output
                activations += [operation.name] if is_activation(operation) else []
    return maps, activations
