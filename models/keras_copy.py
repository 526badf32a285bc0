"""Copy the layers of a Keras 3 model into one flat network. The model itself is not changed."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from core.errors import ModelError, describe_error
from core.keras_settings import use_keras
from models.classifier import Activation
from models.tokens import TokenGrid

use_keras()

# Final activations that are removed, by the name of their function or layer: the activation that turns logits into
# probabilities, and the function that turns logits into the outputs of the model.
FINAL_ACTIVATIONS: dict[str, tuple[Activation, Callable]] = {
    "softmax": ("softmax", keras.ops.softmax),
    "softmax_v2": ("softmax", keras.ops.softmax),  # tf.nn.softmax
    "Softmax": ("softmax", keras.ops.softmax),
    "log_softmax": ("softmax", keras.ops.log_softmax),
    "log_softmax_v2": ("softmax", keras.ops.log_softmax),
    "LogSoftmax": ("softmax", keras.ops.log_softmax),
    "sigmoid": ("sigmoid", keras.ops.sigmoid),
    "Sigmoid": ("sigmoid", keras.ops.sigmoid),
}


def run_network(network: Any, batch: Any, takes_training: bool = True) -> Any:
    """The outputs of a Keras model for a batch, at inference. Raises ModelError if TensorFlow cannot run it on this machine.

    `takes_training`: whether it has the argument `training`.
    """
    import tensorflow as tf

    try:
        return network(batch, training=False) if takes_training else network(batch)
    except tf.errors.UnimplementedError as error:  # such as convolutions with channels first on some processors
        reason = next((line for line in str(error).splitlines() if "only supports" in line), describe_error(error))
        raise ModelError(
            f"'{network.name}' cannot run on this machine: {reason.split('}} ')[-1].split('. ')[0]}."
        ) from error


def origin(tensor: Any) -> Any:
    """The node (one call of an operation) that made a symbolic tensor."""
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]


def copy_network(network: keras.Model) -> tuple[keras.Model, list[tuple[Any, Any]]]:
    """Copy a flat network (pixels -> features, logits) with its weights.

    Returns the copy, and pairs of each operation and its copy in the order of calculation.
    """
    copies = LayerCopies()
    pixels = keras.Input(network.input_shape[1:], name="pixels")
    outputs = copies.inline(network, pixels)
    copies.transfer()
    return keras.Model(pixels, outputs, name=network.name), copies.pairs


def is_graph(model: Any) -> bool:
    """Whether the layers of a model can be read: a functional or a sequential model."""
    return isinstance(model, keras.Sequential) or hasattr(model, "_run_through_graph")


def inference_options(model: Any) -> dict[str, bool]:
    """The arguments with which the method `call` of a model does not train."""
    return {"training": False} if "training" in inspect.signature(model.call).parameters else {}


@contextlib.contextmanager
def traced(model: Any, shape: tuple[int | None, ...]) -> Iterator[Any]:
    """A subclassed model as a graph of its layers, traced through its method `call`. Any other model as it is.

    The layers of the model are called on symbolic tensors for this. Afterwards they forget these calls, so the graph is valid
    inside `with` only. `shape`: of one input, without the batch. None if `call` does not work on symbolic tensors, such as
    one that uses functions of TensorFlow.
    """
    if is_graph(model):
        yield model
        return
    nodes = [(layer, list(layer._inbound_nodes), list(layer._outbound_nodes)) for layer in model._flatten_layers()]
    pixels = keras.Input(shape)
    try:
        try:
            graph = keras.Model(pixels, model.call(pixels, **inference_options(model)), name=model.name)
        except Exception:  # noqa: BLE001  (a user's model may raise any type)
            graph = None
        yield graph
    finally:
        for layer, inbound, outbound in nodes:
            layer._inbound_nodes[:], layer._outbound_nodes[:] = inbound, outbound


class AsIs(layers.Layer):
    """A layer or a model that cannot be copied: it is called as it is, with the weights of the user's own model."""

    def __init__(self, layer: Any, **options: Any) -> None:
        super().__init__(dtype="float32", **options)
        self.layer = layer

    def call(self, *arguments: Any, **options: Any) -> Any:
        """The outputs of the layer."""
        return self.layer(*arguments, **options)


def final_activation_name(activation: Any) -> str | None:
    """The key in FINAL_ACTIVATIONS of a function, a layer or an operation of Keras or TensorFlow; None if it has none."""
    name = getattr(activation, "__name__", type(activation).__name__)
    module = getattr(activation, "__module__", "") or ""
    return name if name in FINAL_ACTIVATIONS and module.split(".")[0] in ("keras", "tensorflow") else None


@dataclass(frozen=True)
class Features:
    """Where the features are: the `index` of a tensor, and the grid of its tokens if it holds tokens."""

    index: int
    grid: TokenGrid | None = None


class LayerCopies:
    """Copies of the layers of a model: one copy per layer, however often the model calls it.

    `final` is the layer whose activation is removed if it is a softmax or a sigmoid. Afterwards, `tensors` holds all outputs in
    the order of calculation, and `removed` the name of the removed activation. `exact` says whether every layer of the
    original calculates with float32 or better. The copies always use float32. If the `features` are tokens, they become a map
    in `tensors`, and the rest is calculated from that map.
    """

    def __init__(self, final: Any = None, features: Features | None = None) -> None:
        self.tensors: list[Any] = []
        self.removed: str | None = None
        self.exact = True
        self.final, self._features = final, features
        self._copies: dict[int, tuple[Any, Any]] = {}
        self._names = {"pixels", "preprocess", "two_classes"}

    def inline(self, model: keras.Model, inputs: Any) -> Any:
        """The outputs of a copy of `model`, a graph, on `inputs`. Nested models are replaced by their layers."""
        try:
            return self._inline(model, inputs)
        except ModelError:
            raise
        except Exception as error:  # a user's layer may raise any type
            raise ModelError(f"The model '{model.name}' cannot be copied: {describe_error(error)}.") from error

    def _inline(self, model: Any, inputs: Any) -> Any:
        """As `inline`, with the errors of the layers."""
        if isinstance(model, keras.Sequential):
            for layer in model.layers:
                inputs = self._call(self._copy(layer), inputs)
            return inputs
        return model._run_through_graph(inputs, operation_fn=self._copy, call_fn=self._call)

    def _call(self, operation: Any, *arguments: Any, **options: Any) -> Any:
        """Call a copy and record its outputs; a nested model is replaced by its layers."""
        if isinstance(operation, keras.Model):
            return self._inline_nested(operation, arguments[0] if len(arguments) == 1 else arguments)
        options.pop("training", None)
        outputs = operation(*arguments, **options)
        self.tensors += keras.tree.flatten(outputs)
        if self._features and self._features.grid and len(self.tensors) == self._features.index + 1:
            name = self._unique(f"{operation.name}_map")
            self.tensors[-1] = self._features.grid.to_map(outputs, name)
            return self._features.grid.to_tokens(self.tensors[-1])
        return outputs

    def _inline_nested(self, model: keras.Model, inputs: Any) -> Any:
        """The outputs of a model inside the model, which may be subclassed."""
        if is_graph(model):
            return self._inline(model, inputs)
        if not isinstance(inputs, keras.KerasTensor):
            return self.call_as_is(model, inputs)
        with traced(model, tuple(inputs.shape[1:])) as graph:
            return self.call_as_is(model, inputs) if graph is None else self._inline(graph, inputs)

    def call_as_is(self, model: keras.Model, inputs: Any) -> Any:
        """The outputs of a model that cannot be copied."""
        if id(model) not in self._copies:
            self._copies[id(model)] = model, AsIs(model, name=self._unique(model.name))
        return self._call(self._copies[id(model)][1], inputs)

    def _copy(self, operation: Any) -> Any:
        """The copy of an operation, made at the first call; a nested model is returned as it is."""
        if isinstance(operation, keras.Model):
            return operation  # replaced by its layers when it is called
        if id(operation) not in self._copies:
            copy = self._copy_layer(operation) if isinstance(operation, layers.Layer) else _copy_operation(operation)
            self._copies[id(operation)] = operation, copy
            copy.name = self._unique(operation.name)
        return self._copies[id(operation)][1]

    def _copy_layer(self, layer: Any) -> Any:
        """A new layer with the configuration of `layer`, in float32, without its weights."""
        if isinstance(layer, layers.Lambda):  # from_config refuses code as unsafe, but this code is the user's own
            return layers.Lambda(layer.function, layer._output_shape, layer.mask, layer.arguments, dtype="float32")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about storing a lambda in a file, which does not happen here
                config = layer.get_config()
            if type(layer).from_config.__func__ is layers.Layer.from_config.__func__:
                # Keras finds its own functions by name, but not those of the user; so pass them on.
                config |= {key: value for key in config if inspect.isfunction(value := getattr(layer, key, None))}
            if layer is self.final and not isinstance(layer, layers.Activation) and config.get("activation"):
                self.removed = final_activation_name(layer.activation)
                if self.removed:
                    config["activation"] = "linear"
            if layer.compute_dtype != "float32" and "dtype" in config:
                self.exact = self.exact and layer.compute_dtype == "float64"
                config["dtype"] = "float32"
            return type(layer).from_config(config)
        except Exception:  # noqa: BLE001  (a user's layer may raise any type)
            self.exact = self.exact and layer.compute_dtype in ("float32", "float64")
            return AsIs(layer)

    def _unique(self, name: str) -> str:
        """A free name: nested models may use a name twice, but a flat network may not."""
        free = name
        while free in self._names:
            free += "_"
        self._names.add(free)
        return free

    @property
    def pairs(self) -> list[tuple[Any, Any]]:
        """Every operation and its copy, in the order of calculation."""
        return list(self._copies.values())

    def transfer(self) -> None:
        """Copy the weights of every layer to its copy."""
        for original, copy in self.pairs:
            if isinstance(original, layers.Layer) and not isinstance(copy, AsIs):
                copy.set_weights(original.get_weights())
            if isinstance(original, layers.Normalization):
                copy.finalize_state()  # derives mean and variance from the weights


def _copy_operation(operation: Any) -> Any:
    """A copy of an operation such as x + y, without its place in the graph.

    A new call of the original operation would change the graph of the user's model.
    """
    copy = object.__new__(type(operation))
    vars(copy).update(vars(operation), _inbound_nodes=[], _outbound_nodes=[])
    return copy
