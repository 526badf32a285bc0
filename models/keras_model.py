"""Take a Keras 3 classifier apart: pixels -> features -> logits, without touching the user's model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from inspect import isfunction
from typing import Any

import keras
import numpy as np
from keras import layers

from models.classifier import Activation, Classifier, check_labels
from models.engine import Engine, compile_network
from models.errors import ModelError, reason
from models.head import Head, LinearHead, NetworkHead

# Layers behind which a map is only coarser or the same: the activation before them is the one to explain.
_PASSIVE = (
    layers.InputLayer, layers.MaxPooling2D, layers.AveragePooling2D, layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D, layers.Dropout, layers.SpatialDropout2D, layers.ZeroPadding2D, layers.Cropping2D,
    layers.Flatten, layers.Reshape, layers.Identity, layers.Rescaling, layers.Normalization, layers.Lambda,
)  # fmt: skip
_PASSIVE_OPERATIONS = {"MaxPool", "AveragePool"}  # the same as keras.ops.max_pool(x, ...), known by their class only

# Final activations that are taken off, by the name of their function or layer: what turns the logits into probabilities,
# and what the model itself made of them.
_FINAL: dict[str, tuple[Activation, Callable]] = {
    "softmax": ("softmax", keras.ops.softmax),
    "softmax_v2": ("softmax", keras.ops.softmax),  # tf.nn.softmax
    "Softmax": ("softmax", keras.ops.softmax),
    "log_softmax": ("softmax", keras.ops.log_softmax),
    "log_softmax_v2": ("softmax", keras.ops.log_softmax),
    "LogSoftmax": ("softmax", keras.ops.log_softmax),
    "sigmoid": ("sigmoid", keras.ops.sigmoid),
    "Sigmoid": ("sigmoid", keras.ops.sigmoid),
}


def to_classifier(
    model: keras.Model,
    labels: Sequence[str] | None,
    preprocess: Callable | None,
    name: str | None,
    engine: Callable[[keras.Model, tuple[int, int]], Engine] = compile_network,
) -> Classifier:
    """See `Classifier.from_keras`; `engine` compiles the flattened network for a canvas."""
    network, head, activation = take_apart(model, preprocess)
    classes = network.output_shape[1][-1]
    height, width = network.input_shape[1:3]
    return Classifier(
        name=name or model.name,
        labels=check_labels(labels, classes),
        engine=engine(network, (height, width)),
        head=head,
        network=lambda: network,
        canvas=(height, width),
        activation=activation,
    )


def take_apart(model: keras.Model, preprocess: Callable | None = None) -> tuple[keras.Model, Head, Activation]:
    """A flat copy (RGB in [0, 255] -> features, logits), its head, and the activation that turns logits into probabilities."""
    canvas = _check_ends(model)
    copies = _Copies(_final_layer(model))
    pixels = keras.Input((*canvas, 3), name="pixels")
    output = copies.inline(model, _prepare(pixels, preprocess))
    logits, final = _without_activation(output)
    final = final or copies.removed
    activation: Activation
    activation, answer = _FINAL[final] if final else ("softmax", None)
    copies.transfer()
    _check_copy(model, keras.Model(pixels, logits), preprocess, answer, copies.exact)
    if logits.shape[-1] == 1:
        logits, activation = _two_classes(logits), "softmax"
    features = _last_spatial(pixels, logits, copies.tensors, model.name)
    head = _head(keras.Model(features, logits))
    return keras.Model(pixels, [features, logits], name=model.name), head, activation


def copy(network: keras.Model) -> tuple[keras.Model, list[tuple[Any, Any]]]:
    """A flat network (pixels -> features, logits) with weights of its own; and its operations, each with its copy, in order."""
    copies = _Copies()
    pixels = keras.Input(network.input_shape[1:], name="pixels")
    outputs = copies.inline(network, pixels)
    copies.transfer()
    return keras.Model(pixels, outputs, name=network.name), copies.pairs


def _check_ends(model: keras.Model) -> tuple[int, int]:
    """(h, w) of the input of a model with one RGB input and one row of outputs, else ModelError."""
    if not isinstance(model, keras.Model):
        raise ModelError(f"A Keras 3 model is needed (keras.Model or keras.Sequential), not {type(model).__name__}.")
    if not _is_graph(model):
        raise ModelError(
            f"'{model.name}' is a subclassed model, whose layers cannot be seen from outside; "
            "build it as keras.Model(inputs, outputs) or keras.Sequential."
        )
    if not model.built or not model.inputs:
        raise ModelError(f"'{model.name}' has no input shape yet; start it with keras.Input((height, width, 3)).")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"'{model.name}' has {len(model.inputs)} inputs and {len(model.outputs)} outputs; one each is needed."
        )
    shape, result = tuple(model.inputs[0].shape), tuple(model.outputs[0].shape)
    if len(shape) != 4 or shape[3] != 3:
        raise ModelError(
            f"'{model.name}' takes {shape}; it must take colour pictures, channels last: (None, height, width, 3)."
        )
    if len(result) != 2 or result[1] is None:
        raise ModelError(f"'{model.name}' returns {result}; a classifier returns one row of classes: (None, classes).")
    return shape[1] or Classifier.side, shape[2] or Classifier.side


def _is_graph(model: Any) -> bool:
    return isinstance(model, keras.Sequential) or hasattr(model, "_run_through_graph")


def _prepare(pixels: Any, preprocess: Callable | None) -> Any:
    if preprocess is None:
        return pixels
    try:
        return layers.Lambda(preprocess, name="preprocess")(pixels)
    except Exception as error:  # whatever a user's own function raises
        raise ModelError(
            "`preprocess` cannot become part of the network; write it with keras.ops or TensorFlow, not with NumPy alone."
        ) from error


class _Copies:
    """Copies of a model's layers, one a layer however often it is called, and the weights they still have to receive.

    `final`: the layer whose activation is taken off if it is a softmax or sigmoid. `tensors`: all outputs in the order of
    calculation. `removed`: that activation, if it was taken off. `exact`: no layer calculated in less than float32; the
    copies never do.
    """

    def __init__(self, final: Any = None) -> None:
        self.tensors: list[Any] = []
        self.removed: str | None = None
        self.exact = True
        self._final = final
        self._copies: dict[int, tuple[Any, Any]] = {}
        self._names = {"pixels", "preprocess", "two_classes"}

    def inline(self, model: keras.Model, inputs: Any) -> Any:
        """The output of a copy of `model` on `inputs`, with nested models spread out into their layers."""
        try:
            return self._inline(model, inputs)
        except ModelError:
            raise
        except Exception as error:  # whatever a user's own layer raises
            raise ModelError(f"The model '{model.name}' cannot be copied: {reason(error)}.") from error

    def _inline(self, model: Any, inputs: Any) -> Any:
        if isinstance(model, keras.Sequential):
            for layer in model.layers:
                inputs = self._call(self._copy(layer), inputs)
            return inputs
        return model._run_through_graph(inputs, operation_fn=self._copy, call_fn=self._call)

    def _call(self, operation: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(operation, keras.Model):
            return self._inline(operation, arguments[0] if len(arguments) == 1 else arguments)
        options.pop("training", None)
        outputs = operation(*arguments, **options)
        self.tensors += keras.tree.flatten(outputs)
        return outputs

    def _copy(self, operation: Any) -> Any:
        if isinstance(operation, keras.Model):
            if not _is_graph(operation):
                raise ModelError(
                    f"The nested model '{operation.name}' is subclassed; its layers cannot be seen from outside."
                )
            return operation  # spread out when called
        if id(operation) not in self._copies:
            copy = self._copy_layer(operation) if isinstance(operation, layers.Layer) else _copy_operation(operation)
            self._copies[id(operation)] = operation, copy
            copy.name = self._unique(operation.name)
        return self._copies[id(operation)][1]

    def _copy_layer(self, layer: Any) -> Any:
        if isinstance(layer, layers.Lambda):  # Keras calls reading its code back unsafe, but here it never left
            return layers.Lambda(layer.function, layer._output_shape, layer.mask, layer.arguments, dtype="float32")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about writing a lambda down, which is not what happens here
                config = layer.get_config()
            if type(layer).from_config.__func__ is layers.Layer.from_config.__func__:
                # Functions as they are: by name Keras finds only its own.
                config |= {key: value for key in config if isfunction(value := getattr(layer, key, None))}
            if layer is self._final and not isinstance(layer, layers.Activation) and config.get("activation"):
                self.removed = _final_name(layer.activation)
                if self.removed:
                    config["activation"] = "linear"
            if layer.compute_dtype != "float32" and "dtype" in config:
                self.exact = self.exact and layer.compute_dtype == "float64"
                config["dtype"] = "float32"
            return type(layer).from_config(config)
        except Exception as error:  # whatever a user's own layer raises
            raise ModelError(
                f"The layer '{layer.name}' ({type(layer).__name__}) cannot be copied; "
                "give it a get_config() that returns the arguments it was made with."
            ) from error

    def _unique(self, name: str) -> str:
        """Nested models may use a name twice, a flat one may not."""
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
        """Give every copy its original's weights."""
        for original, copy in self.pairs:
            if isinstance(original, layers.Layer):
                copy.set_weights(original.get_weights())
            if isinstance(original, layers.Normalization):
                copy.finalize_state()  # it calculates with what it derives from its weights


def _copy_operation(operation: Any) -> Any:
    """A bare operation such as x + y without its place in the graph: calling the original again would add to the model's."""
    copy = object.__new__(type(operation))
    vars(copy).update(vars(operation), _inbound_nodes=[], _outbound_nodes=[])
    return copy


def _final_layer(model: Any) -> Any:
    """The layer that makes a model's output, looked for inside nested models too."""
    while isinstance(model, keras.Model) and _is_graph(model):
        model = model.layers[-1] if isinstance(model, keras.Sequential) else model.outputs[0]._keras_history.operation
    return model


def _final_name(activation: Any) -> str | None:
    """The name in _FINAL of a function, a layer or an operation, if it is one of them."""
    name = getattr(activation, "__name__", type(activation).__name__)
    return name if name in _FINAL else None


def _without_activation(tensor: Any) -> tuple[Any, str | None]:
    """The tensor before a final softmax or sigmoid that is a layer or an operation of its own, and that one's name."""
    node = _origin(tensor)
    operation = node.operation
    name = _final_name(operation.activation if isinstance(operation, layers.Activation) else operation)
    return (node.input_tensors[0], name) if name else (tensor, None)


def _check_copy(
    model: keras.Model, copy: keras.Model, preprocess: Callable | None, answer: Callable | None, exact: bool
) -> None:
    """Raise ModelError unless the copy's logits give the original's answers, by way of `answer` if that was taken off."""
    # Whole numbers: they are the same to models that take uint8.
    probe = np.random.default_rng(0).integers(0, 256, (2, *copy.input_shape[1:])).astype(np.float32)
    batch = keras.ops.convert_to_tensor(probe)
    original = np.asarray(model(preprocess(batch) if preprocess else batch, training=False), np.float32)
    logits = copy(probe, training=False)
    found = np.asarray(answer(logits) if answer else logits)
    rtol, atol = (1e-3, 1e-4) if exact else (5e-2, 1e-2)
    if not np.allclose(found, original, rtol, atol):
        raise ModelError(
            f"A copy of '{model.name}' does not answer as it does; one of its layers does more than its configuration says."
        )
    values = np.asarray(logits)
    if values.shape[1] > 1 and values.min() >= 0 and np.allclose(values.sum(1), 1, atol=1e-3):
        raise ModelError(
            f"'{model.name}' returns probabilities in a way that cannot be undone; "
            "end it with Dense(classes) and an activation of softmax, sigmoid or none."
        )


def _two_classes(logit: Any) -> Any:
    """One unit's logit z as the logits -z/2 and z/2 of two classes, whose softmax is 1 - sigmoid(z) and sigmoid(z)."""
    layer = layers.Dense(2, use_bias=False, name="two_classes")
    logits = layer(logit)
    layer.set_weights([np.array([[-0.5, 0.5]], np.float32)])
    return logits


def _origin(tensor: Any) -> Any:
    """The node, one call of an operation, that a symbolic tensor came from."""
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]


def _upstream(tensor: Any, stop: Any = None) -> dict[int, Any]:
    """By id, a symbolic tensor and all that it is made from, looking no further than `stop`."""
    found: dict[int, Any] = {}
    pending = [tensor]
    while pending:
        tensor = pending.pop()
        if id(tensor) not in found:
            found[id(tensor)] = tensor
            if tensor is not stop:
                pending += _origin(tensor).input_tensors
    return found


def _last_spatial(pixels: Any, logits: Any, tensors: list[Any], name: str) -> Any:
    """The last of `tensors` that is a learned spatial map (N, h > 1, w > 1, C) and the only way from pixels to logits."""
    for tensor in reversed(tensors):
        spatial = len(tensor.shape) == 4 and min(tensor.shape[1:3]) > 1
        if not spatial or is_passive(_origin(tensor).operation):
            continue
        between = _upstream(logits, stop=tensor)
        if id(tensor) in between and id(pixels) not in between and _is_learned(tensor):
            return tensor
    raise ModelError(
        f"'{name}' has no layer with a spatial map that all of its output depends on; nothing can be shown on a picture."
    )


def is_passive(operation: Any) -> bool:
    """Whether nothing is recognised there: a map behind it is only coarser or the same."""
    return isinstance(operation, _PASSIVE) or type(operation).__name__ in _PASSIVE_OPERATIONS


def _is_learned(tensor: Any) -> bool:
    """Whether weights had a part in it: a rescaled picture is no feature."""
    operations = (_origin(source).operation for source in _upstream(tensor).values())
    return any(getattr(operation, "weights", None) and not is_passive(operation) for operation in operations)


def _head(behind: keras.Model) -> Head:
    """A closed form where the head is global average pooling and nothing but linear layers, else the model itself."""
    linear = linear_head(behind)
    if linear:
        probe = np.random.default_rng(0).uniform(0, 1, (2, *behind.input_shape[1:])).astype(np.float32)
        if np.allclose(linear.logits(probe), np.asarray(behind(probe, training=False)), rtol=1e-3, atol=1e-4):
            return linear
    return NetworkHead(behind)


def linear_head(behind: keras.Model) -> LinearHead | None:
    """What the head would be if its layers were a chain."""
    idle = (layers.InputLayer, layers.Dropout, layers.Flatten, layers.Identity)
    parts = [operation for operation in behind.operations if not isinstance(operation, idle)]
    if not parts or not isinstance(parts[0], layers.GlobalAveragePooling2D):
        return None
    weights, bias = None, np.zeros(behind.input_shape[-1])
    for dense in parts[1:]:
        if not isinstance(dense, layers.Dense) or dense.activation is not keras.activations.linear:
            return None
        kernel, *offset = dense.get_weights()
        weights = kernel if weights is None else weights @ kernel
        bias = bias @ kernel + (offset[0] if offset else 0)
    return LinearHead(np.eye(len(bias)) if weights is None else weights, bias)
