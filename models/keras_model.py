"""Take a Keras 3 classifier apart: pixels -> features -> logits, without touching the user's model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from models.classifier import Activation, Classifier, check_labels
from models.engine import Engine, compile_network
from models.errors import ModelError
from models.head import Head, LinearHead, NetworkHead

# Layers behind which a map is only coarser or the same: the activation before them is the one to explain.
_PASSIVE = (
    layers.InputLayer, layers.MaxPooling2D, layers.AveragePooling2D, layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D, layers.Dropout, layers.SpatialDropout2D, layers.ZeroPadding2D, layers.Cropping2D,
    layers.Flatten, layers.Reshape, layers.Identity, layers.Rescaling, layers.Normalization, layers.Lambda,
)  # fmt: skip
_ACTIVATIONS: dict[str, Activation] = {
    "Softmax": "softmax",
    "Sigmoid": "sigmoid",
    "softmax": "softmax",
    "sigmoid": "sigmoid",
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
    pixels = keras.Input((*canvas, 3), name="pixels")
    prepared = pixels if preprocess is None else layers.Lambda(preprocess, name="preprocess")(pixels)
    copies = _Copies()
    try:
        output = copies.inline(model, prepared)
    except ModelError:
        raise
    except Exception as error:  # whatever a user's own layer raises
        raise ModelError(f"The model '{model.name}' cannot be copied: {str(error).splitlines()[0]}") from error
    logits, activation = _without_activation(output)
    activation = activation or copies.removed or "softmax"
    copies.transfer()
    _check_copy(model, keras.Model(pixels, logits), preprocess, activation)
    if logits.shape[-1] == 1:
        logits, activation = (
            layers.Concatenate()([layers.Rescaling(-0.5)(logits), layers.Rescaling(0.5)(logits)]),
            "softmax",
        )
    features, head = _split(pixels, logits, model.name)
    return keras.Model(pixels, [features, logits], name=model.name), head, activation


def _check_ends(model: keras.Model) -> tuple[int, int]:
    """(h, w) of the input of a model with one RGB input and one row of outputs, else ModelError."""
    if not isinstance(model, keras.Sequential) and not hasattr(model, "_run_through_graph"):
        raise ModelError(
            f"'{model.name}' is a subclassed model, whose layers cannot be seen from outside; "
            "build it as keras.Model(inputs, outputs) or keras.Sequential."
        )
    if not model.built or not hasattr(model, "inputs") or not model.inputs:
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


class _Copies:
    """Copies of a model's layers, one a layer however often it is called, and the weights they still have to receive."""

    def __init__(self) -> None:
        self._copies: dict[int, tuple[Any, Any]] = {}
        self.removed: Activation | None = None
        self._final: Any = None

    def inline(self, model: keras.Model, inputs: Any) -> Any:
        """The output of a copy of `model` on `inputs`, with nested models spread out into their layers."""
        self._final = _final_layer(model)
        return self._inline(model, inputs)

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
        return operation(*arguments, **options)

    def _copy(self, operation: Any) -> Any:
        if isinstance(operation, keras.Model):
            if not isinstance(operation, keras.Sequential) and not hasattr(operation, "_run_through_graph"):
                raise ModelError(
                    f"The nested model '{operation.name}' is subclassed; its layers cannot be seen from outside."
                )
            return operation  # spread out when called
        if not isinstance(operation, layers.Layer):
            return operation  # a bare operation such as x + y has no weights: nothing to protect
        if id(operation) not in self._copies:
            config = operation.get_config()
            if operation is self._final and str(config.get("activation")) in _ACTIVATIONS:
                self.removed = _ACTIVATIONS[config["activation"]]
                config["activation"] = "linear"
            self._copies[id(operation)] = (operation, type(operation).from_config(config))
        return self._copies[id(operation)][1]

    def transfer(self) -> None:
        """Give every copy its original's weights."""
        for original, copy in self._copies.values():
            copy.set_weights(original.get_weights())


def _final_layer(model: Any) -> Any:
    """The layer that makes a model's output, looked for inside nested models too."""
    while isinstance(model, keras.Model):
        model = model.layers[-1] if isinstance(model, keras.Sequential) else model.outputs[0]._keras_history.operation
    return model


def _without_activation(tensor: Any) -> tuple[Any, Activation | None]:
    """The tensor before a final softmax or sigmoid that is a layer or an operation of its own."""
    operation = tensor._keras_history.operation
    kind = getattr(getattr(operation, "activation", None), "__name__", None)
    kind = kind if isinstance(operation, layers.Activation) else type(operation).__name__
    if kind in _ACTIVATIONS:
        return operation._inbound_nodes[-1].input_tensors[0], _ACTIVATIONS[kind]
    return tensor, None


def _check_copy(model: keras.Model, copy: keras.Model, preprocess: Callable | None, activation: Activation) -> None:
    """Raise ModelError unless the copy's probabilities or logits are the original's answers."""
    probe = np.random.default_rng(0).uniform(0, 255, (2, *copy.input_shape[1:])).astype(np.float32)
    original = np.asarray(model(preprocess(probe.copy()) if preprocess else probe, training=False))
    logits = np.asarray(copy(probe, training=False))
    answers = [logits, np.asarray(getattr(keras.activations, activation)(keras.ops.convert_to_tensor(logits)))]
    if not any(np.allclose(answer, original, rtol=1e-3, atol=1e-4) for answer in answers):
        raise ModelError(
            f"A copy of '{model.name}' does not answer as it does; its last layers are of a kind that is not known."
        )
    sums = logits.sum(1)
    if logits.shape[1] > 1 and logits.min() >= 0 and np.allclose(sums, 1, atol=1e-3):
        raise ModelError(
            f"'{model.name}' returns probabilities in a way that cannot be undone; "
            "end it with Dense(classes) and an activation of softmax, sigmoid or none."
        )


def _split(pixels: Any, logits: Any, name: str) -> tuple[Any, Head]:
    """The last spatial activation and the head behind it."""
    for features in _spatial(keras.Model(pixels, logits)):
        try:
            behind = keras.Model(features, logits)
        except ValueError:
            continue  # not the only way to the logits
        return features, _head(behind)
    raise ModelError(
        f"'{name}' has no layer with a spatial map that all of its output depends on; nothing can be shown on a picture."
    )


def _spatial(model: keras.Model) -> Iterator[Any]:
    """Outputs (N, h > 1, w > 1, C) of layers that decide something, last first."""
    for operation in reversed(model.operations):
        if isinstance(operation, _PASSIVE):
            continue
        for tensor in operation._inbound_nodes[-1].output_tensors:
            if len(tensor.shape) == 4 and all(size is None or size > 1 for size in tensor.shape[1:3]):
                yield tensor


def _head(behind: keras.Model) -> Head:
    """A closed form where the head is global average pooling and a dense layer, else the model itself."""
    parts = [
        o
        for o in behind.operations
        if not isinstance(o, (layers.InputLayer, layers.Dropout, layers.Flatten, layers.Identity))
    ]
    match parts:
        case [layers.GlobalAveragePooling2D(), layers.Dense() as dense] if dense.activation is keras.activations.linear:
            weights = dense.get_weights()
            return LinearHead(weights[0], weights[1] if dense.use_bias else np.zeros(weights[0].shape[1]))
    return NetworkHead(behind)
