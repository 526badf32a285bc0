"""Build a Keras model from the JSON in a file, layer by layer, from a list of allowed classes.

Nothing from the file is executed. A class is looked up in a fixed list, and an activation is a known name. Anything else that a
layer could load (custom objects, Lambda, initialisers, regularisers) is refused or left out. The JSON of Keras 2 and of Keras 3
is read; Keras 3 itself refuses most files of Keras 2.

Weights are zero at first. A budget stops a file that describes more parameters than it holds, before memory is allocated.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from core.errors import ModelError, describe_error
from core.keras_settings import use_keras

use_keras()

MAX_DEPTH = 8  # models inside models
MAX_LAYERS = 5000
MAX_ELEMENTS = 50_000_000  # of one activation for one picture

ALLOWED = {
    name: getattr(layers, name)
    for name in (
        "Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average", "AveragePooling2D", "BatchNormalization",
        "CenterCrop", "Concatenate", "Conv2D", "Conv2DTranspose", "Cropping2D", "Dense", "DepthwiseConv2D", "Dot", "Dropout",
        "ELU", "Flatten", "GaussianDropout", "GaussianNoise", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
        "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GroupNormalization", "Identity", "LayerNormalization", "LeakyReLU",
        "Maximum", "MaxPooling2D", "Minimum", "Multiply", "MultiHeadAttention", "Normalization", "PReLU", "Permute",
        "RandomBrightness", "RandomContrast", "RandomCrop", "RandomFlip", "RandomHeight", "RandomRotation",
        "RandomTranslation", "RandomWidth", "RandomZoom", "ReLU", "RepeatVector", "Rescaling", "Reshape", "Resizing",
        "SeparableConv2D", "Softmax", "SpatialDropout2D", "Subtract", "UnitNormalization", "UpSampling2D", "ZeroPadding2D",
    )
    if hasattr(layers, name)
} | {"BatchNormalizationV1": layers.BatchNormalization, "BatchNormalizationV2": layers.BatchNormalization}  # fmt: skip
MODELS = {"Sequential", "Functional", "Model"}
ACTIVATIONS = {
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "swish", "softmax", "sigmoid", "log_softmax",
    "hard_sigmoid", "hard_silu", "hard_swish", "tanh", "softplus", "softsign", "exponential", "mish", "celu", "glu",
}  # fmt: skip
# Functions that a graph may call: those of Keras 3 by their class, those of TensorFlow by their name.
OPERATIONS = {
    "Add": "add", "Subtract": "subtract", "Multiply": "multiply", "TrueDivide": "true_divide", "Divide": "divide",
    "Negative": "negative", "Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Softmax": "softmax", "Silu": "silu",
    "Gelu": "gelu", "Mean": "mean", "Max": "max", "Sum": "sum", "Maximum": "maximum", "Minimum": "minimum", "Sqrt": "sqrt",
    "Square": "square", "Concatenate": "concatenate", "Cast": "cast", "Matmul": "matmul", "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu", "Tanh": "tanh", "LogSoftmax": "log_softmax",
}  # fmt: skip
TENSORFLOW_OPERATIONS = {
    "math.truediv": "true_divide", "__operators__.truediv": "true_divide", "math.divide": "divide", "math.subtract": "subtract",
    "math.multiply": "multiply", "math.add": "add", "__operators__.add": "add", "nn.relu": "relu", "nn.relu6": "relu6",
    "nn.softmax": "softmax", "nn.sigmoid": "sigmoid", "math.sigmoid": "sigmoid", "nn.silu": "silu", "nn.swish": "silu",
    "math.reduce_mean": "mean", "math.reduce_max": "max", "identity": "identity", "cast": "cast", "math.negative": "negative",
    "concat": "concatenate", "math.tanh": "tanh",
}  # fmt: skip
# Settings that change nothing when a trained model answers, or that are only of use while it is trained.
_IGNORED_ENDS = ("_initializer", "_regularizer", "_constraint")
_IGNORED = {
    "batch_input_shape", "batch_shape", "dtype", "sparse", "ragged", "dynamic", "optional", "input_dtype", "build_config",
    "quantization_config", "seed", "noise_shape", "synchronized", "renorm", "renorm_clipping", "renorm_momentum", "fused",
    "virtual_batch_size", "adjustment", "input_shape", "autocast", "bounding_box_format", "data_format_", "implementation",
    "beta_regularizer", "flash_attention", "invert", "input_mean", "input_variance",
}  # fmt: skip
_RENAMED = {("LeakyReLU", "alpha"): "negative_slope"}


class _Zeros(keras.initializers.Initializer):
    """Zeros, after `take` has allowed their shape. A layer of attention makes its own copies of it, from its settings."""

    def __init__(self, take: Callable[[Any], None]) -> None:
        self.take = take

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        self.take(shape)
        return ops.zeros(shape, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"take": self.take}


class GraphBuilder:
    """Builds models from the JSON of a file.

    Args:
        name: Name of the file, for errors.
        budget: How many parameters the file holds. A model with more is refused.
    """

    def __init__(self, name: str, budget: int) -> None:
        self.name = name
        self._left = budget
        self._layers = 0

    def build(self, node: Any) -> keras.Model:
        """The model that the JSON describes, with weights of zero. Raises ModelError in one sentence."""
        try:
            model = self._model(node, 0)
        except ModelError:
            raise
        except RecursionError as error:
            raise self._error("it is nested too deeply") from error
        except Exception as error:  # Keras raises many types for settings that do not fit together
            raise self._error(f"its layers do not fit together ({describe_error(error)})") from error
        for layer in model._flatten_layers():  # copies of the layers get initialisers that Keras can write down
            for attribute in [name for name in vars(layer) if name.endswith("_initializer")]:
                setattr(layer, attribute, keras.initializers.Zeros())
        return model

    def _error(self, reason: str) -> ModelError:
        return ModelError(f"'{self.name}' cannot be used: {reason[:300]}.")

    def _take(self, shape: Any) -> None:
        """Take the parameters of a weight from the budget, before they are allocated."""
        self._left -= math.prod(shape)
        if self._left < 0:
            raise self._error("it describes more parameters than it holds; it is damaged or not complete")

    def _call(self, layer: Any, *arguments: Any, **options: Any) -> Any:
        outputs = layer(*arguments, **options)
        for tensor in keras.tree.flatten(outputs):
            if math.prod(size or 1 for size in tensor.shape) > MAX_ELEMENTS:
                raise self._error(f"one of its activations has more than {MAX_ELEMENTS} values")
        return outputs

    def _model(self, node: Any, depth: int) -> keras.Model:
        if depth > MAX_DEPTH:
            raise self._error("it is nested too deeply")
        config = node["config"]
        if node["class_name"] not in MODELS:
            raise self._error(f"it is a '{node['class_name']}' and neither Sequential nor Functional")
        if node["class_name"] == "Sequential":
            return self._sequential(node, config, depth)
        return self._functional(config, depth)

    def _sequential(self, node: Any, config: Any, depth: int) -> keras.Model:
        nodes = config if isinstance(config, list) else config["layers"]  # a list in Keras before 2.2.3
        shape = self._input_shape(node, nodes)
        children = [self._layer(child, depth) for child in nodes if child["class_name"] != "InputLayer"]
        if shape is None and children and isinstance(children[0], keras.Model):
            shape = children[0].input_shape
        if shape is None:
            raise self._error("the shape of its input is missing; save it after it was trained or called once")
        name = None if isinstance(config, list) else config.get("name")
        x = pixels = self._input(shape)
        for child in children:
            x = self._call(child, x)
        model = keras.Sequential([pixels, *children], name=name)
        if isinstance(config, dict) and config.get("trainable") is False:
            model.trainable = False
        return model

    def _input_shape(self, node: Any, nodes: list[Any]) -> Any:
        """The shape (None, ...) of the input of a Sequential, wherever its version of Keras stored it."""
        first = nodes[0]["config"] if nodes else {}
        build = node.get("build_config") or {}
        config = node["config"] if isinstance(node["config"], dict) else {}
        candidates = (
            *((first.get("batch_shape"), first.get("batch_input_shape")) if isinstance(first, dict) else ()),
            config.get("build_input_shape"),
            build.get("input_shape"),
        )
        return next((shape for shape in candidates if isinstance(shape, list) and len(shape) > 1), None)

    def _input(self, shape: Any, name: str | None = None) -> Any:
        sizes = tuple(shape)[1:]
        if not all(size is None or (isinstance(size, int) and 0 < size <= MAX_ELEMENTS) for size in sizes):
            raise self._error("the shape of its input is not a shape")
        if math.prod(size or 1 for size in sizes) > MAX_ELEMENTS:
            raise self._error(f"its input has more than {MAX_ELEMENTS} values")
        return keras.Input(sizes, name=name)

    def _layer(self, node: Any, depth: int) -> Any:
        """One layer, or a model inside the model."""
        self._layers += 1
        if self._layers > MAX_LAYERS:
            raise self._error(f"it has more than {MAX_LAYERS} layers")
        kind = str(node["class_name"])
        if kind in MODELS:
            return self._model(node, depth + 1)
        module, is_layer = str(node.get("module") or ""), "trainable" in node["config"]
        if module.startswith("keras.src.ops") or (kind in OPERATIONS and not is_layer):
            return self._operation(kind, OPERATIONS, node["config"])
        if kind in ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"):
            return self._operation(str(node["config"].get("function", kind)), TENSORFLOW_OPERATIONS, {})
        if kind == "Lambda":
            raise self._error(
                "a Lambda layer in a file is code, which is never run; rebuild the model without it, such as with Rescaling, "
                "or load the file yourself and use from_keras"
            )
        if kind not in ALLOWED:
            raise self._error(
                f"its layer '{kind}' is not one of the layers that can be rebuilt; load the file yourself and use from_keras"
            )
        return ALLOWED[kind](**self._settings(kind, node["config"], depth))

    def _settings(self, kind: str, config: dict[str, Any], depth: int) -> dict[str, Any]:
        """The arguments of a layer: plain values only, with zeros for all weights."""
        accepted = {
            name
            for base in ALLOWED[kind].__mro__
            if issubclass(base, layers.Layer) and base is not layers.Layer
            for name in inspect.signature(base.__init__).parameters
        } - {"self", "args", "kwargs"}
        settings: dict[str, Any] = {}
        for key, value in config.items():
            key = _RENAMED.get((kind, key), key)
            if key == "activation":
                settings[key] = self._activation(value, depth)
            elif key == "name":
                settings[key] = new_name(value)
            elif key == "trainable":
                settings[key] = value
            elif key in _IGNORED or key.endswith(_IGNORED_ENDS) or value is None:
                continue
            elif key == "groups" and "groups" not in accepted and value == 1:
                continue  # Keras 2 wrote it for layers that never used it
            elif key not in accepted and (value is False or kind.startswith("Random")):
                continue  # switched off, or of use in training only
            elif key not in accepted:
                raise self._error(f"its layer '{kind}' has the setting '{key}', which is not known")
            elif _is_plain(value):
                settings[key] = value
            else:
                raise self._error(f"the setting '{key}' of its layer '{kind}' is not a plain value")
        axis = settings.get("axis")
        if kind.startswith("BatchNormalization") and isinstance(axis, list) and len(axis) == 1:
            settings["axis"] = axis[0]
        settings |= {name: _Zeros(self._take) for name in accepted if name.endswith("_initializer")}
        return settings

    def _activation(self, value: Any, depth: int) -> Any:
        """An activation by its name. Keras 3 writes some of them as objects."""
        if isinstance(value, dict):
            if value.get("class_name") in ("ReLU", "LeakyReLU", "ELU", "Softmax", "PReLU"):
                return self._layer(value, depth)
            value = value.get("config")
            value = value.get("name") if isinstance(value, dict) else value
        if value is None or value in ACTIVATIONS:
            return value or "linear"
        raise self._error(f"its activation '{value}' is not one of Keras' own")

    def _operation(self, kind: str, known: dict[str, str], config: dict[str, Any]) -> Callable:
        """A function of tensors instead of a layer."""
        if kind not in known:
            raise self._error(f"its operation '{kind}' is not one of those that can be rebuilt; use from_keras")
        if known[kind] == "identity":
            return lambda x: x
        function = getattr(ops, known[kind])
        fixed = {
            key: value for key, value in config.items() if key != "name" and value is not None and _is_plain(value)
        }

        def call(*arguments: Any, **options: Any) -> Any:
            if function is ops.cast:  # the network calculates in float32 throughout
                return arguments[0]
            return function(*arguments, *(options.pop(key) for key in ("y",) if key in options), **fixed, **options)

        return call

    def _functional(self, config: Any, depth: int) -> keras.Model:
        """A graph: every layer is called once its inputs exist."""
        built: dict[str, Any] = {}
        calls: dict[str, list[Any]] = {}
        tensors: dict[tuple[str, int], list[Any]] = {}
        for node in config["layers"]:
            name = node.get("name") or node["config"]["name"]
            if name in built or name in calls:
                raise self._error(f"two of its layers are called '{name}'")
            if node["class_name"] == "InputLayer":
                shape = node["config"].get("batch_shape") or node["config"].get("batch_input_shape")
                tensors[name, 0] = [self._input(shape, node["config"].get("name"))]
                continue
            built[name], calls[name] = self._layer(node, depth), list(node["inbound_nodes"])
        pending = [(name, index, call) for name, nodes in calls.items() for index, call in enumerate(nodes)]
        while pending:
            waiting = []
            for name, index, call in pending:
                try:
                    arguments, options = _arguments(call, tensors)
                except _NotYet:
                    waiting.append((name, index, call))
                    continue
                outputs = self._call(built[name], *arguments, **options)
                tensors[name, index] = keras.tree.flatten(outputs)
                if not isinstance(built[name], layers.Layer) and outputs is not arguments[0]:
                    outputs._keras_history.operation.name = new_name(name)  # its own might be that of a layer
            if len(waiting) == len(pending):
                raise self._error("its layers form no graph from its input to its output")
            pending = waiting
        ends = [
            [_find(reference, tensors) for reference in _references(config[key])]
            for key in ("input_layers", "output_layers")
        ]
        if len(ends[1]) != 1:
            raise self._error(f"it has {len(ends[1])} outputs; a classifier has one")
        model = keras.Model(ends[0][0] if len(ends[0]) == 1 else ends[0], ends[1][0], name=config.get("name"))
        if config.get("trainable") is False:
            model.trainable = False
        return model


def new_name(name: Any) -> str:
    """The name of a layer as Keras 3 allows it: without the "/" of some networks of Keras 2, such as "conv1/conv"."""
    return str(name).replace("/", "_")


class _NotYet(Exception):  # noqa: N818  (no error: the layer is called later)
    """A layer whose inputs do not exist yet."""


def _is_plain(value: Any) -> bool:
    """Whether a value consists of numbers, texts and lists of them only, with no number beyond reason."""
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return isinstance(value, (bool, str)) or (isinstance(value, (int, float)) and abs(value) < 1e9)


def _references(value: Any) -> list[list[Any]]:
    """The ends of a graph as a list of [name, node, tensor]; Keras 3 leaves the outer list out for a single one."""
    if isinstance(value, dict):
        value = list(value.values())
    return [value] if value and isinstance(value[0], str) else value


def _find(reference: Any, tensors: dict[tuple[str, int], list[Any]]) -> Any:
    """The tensor of [name, node, tensor]. Raises _NotYet. Old files count the first call of a nested model as node 1."""
    name, node, index = reference[:3]
    if (name, node) not in tensors:
        nodes = [key for key in tensors if key[0] == name]
        if len(nodes) != 1 or node != 1:
            raise _NotYet
        node = nodes[0][1]
    return tensors[name, node][index]


def _arguments(call: Any, tensors: dict[tuple[str, int], list[Any]]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of one call of a layer, in the form of Keras 3 (a dict) or Keras 2 (lists of references)."""

    def resolve(value: Any) -> Any:
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            return _find(value["config"]["keras_history"], tensors)
        if isinstance(value, list):
            return [resolve(item) for item in value]
        return value

    if isinstance(call, dict):
        arguments, options = resolve(call["args"]), {key: resolve(value) for key, value in call["kwargs"].items()}
    else:
        references = [call] if call and isinstance(call[0], str) else call
        inputs = [_find(reference, tensors) for reference in references]
        options = {}
        for reference in references:
            for key, value in (reference[3] if len(reference) > 3 else {}).items():
                is_tensor = isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str)
                options[key] = _find(value, tensors) if is_tensor else value
        arguments = inputs if len(inputs) == 1 else [inputs]
    return arguments, {
        key: value for key, value in options.items() if value is not None and key not in ("training", "mask", "name")
    }
