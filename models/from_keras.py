"""Make a `Classifier` from a Keras 3 model, without changing the model.

`take_apart` copies the model into one flat network (pixels -> features, logits) and finds its head (features -> logits).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from core.errors import ModelError
from core.keras_settings import use_keras
from models import keras_file
from models.attention import has_attention
from models.classifier import Activation, Classifier, check_fit, check_labels
from models.engine import Engine
from models.features import find_features
from models.flat_copy import FlatCopy, check_copy, input_shape
from models.geometry import Fit
from models.gradients import has_relu
from models.head import NO_FEATURES, Head, LinearHead, MissingHead, NetworkHead, head_capabilities
from models.keras_copy import Features
from models.keras_ends import read_input
from models.litert import compile_network
from models.outputs import find_activation
from models.preprocessing import Preprocessing

use_keras()


def from_keras(
    model: keras.Model,
    labels: Sequence[str] | None = None,
    *,
    preprocess: Callable | None = None,
    fit: Fit | None = None,
    side: int | None = None,
    name: str | None = None,
    output: int | str | None = None,
    activation: str | None = None,
    engine: Callable[[keras.Model, tuple[int, int]], Engine] = compile_network,
) -> Classifier:
    """Make a classifier from a Keras 3 model: functional, sequential or subclassed, nested or not.

    The model is copied and never changed, so later training of the model does not change the classifier. A layer that cannot
    be copied is called as it is; its training does. The features are the last spatial activation: after BatchNorm and ReLU,
    before a last pooling. A model without one has no class activation maps, but all other methods. A final softmax or sigmoid
    is removed. A single sigmoid unit becomes two classes. Grey, RGBA and channels first are adapted.

    Args:
        model: Pixels -> logits or probabilities (N, classes). A model of tf_keras (Keras 2) is made anew with its weights.
        labels: One label per class, in order; by default "class 0", "class 1", ...
        preprocess: Turns a float32 RGB batch in [0, 255] into the input of the model, such as
            `keras.applications.resnet50.preprocess_input`. By default the batch stays as it is.
        fit: How a picture is fitted to the input of the model: "squash", "crop", "letterbox" or "follow", see
            `models.geometry`. Choose what was used in training. By default "follow" for a model that takes any size, and
            "squash" for any other, as `keras.utils.image_dataset_from_directory` does.
        side: For a model that takes any size: the canvas has about side * side pixels, by default 224.
        name: Name of the classifier, by default the name of the model.
        output: Index or name of the output with the classes, for a model with several.
        activation: "softmax" or "sigmoid", for a model that gives logits. By default its loss decides, or "softmax".
        engine: Compiles the flat network for a canvas (h, w).

    Returns:
        The classifier, which takes pictures of any size.

    Raises:
        ModelError: If the model cannot be used; the message says why in one sentence.

    >>> pixels = keras.Input((32, 32, 3))
    >>> features = layers.Conv2D(4, 3, activation="relu")(pixels)
    >>> model = keras.Model(pixels, layers.Dense(2)(layers.GlobalAveragePooling2D()(features)), name="tiny")
    >>> from_keras(model, ["cat", "dog"])
    Classifier('tiny', 2 classes)
    """
    if any(base.__module__.startswith("tf_keras.") for base in type(model).__mro__):
        model = keras_file.read_tf_keras(model)
    layout = read_input(model)
    takes_any_size = layout.height is None and layout.width is None
    fit = fit or ("follow" if takes_any_size else "squash")
    shape = (layout.height or side or Classifier.side, layout.width or side or Classifier.side)
    canvas = None if takes_any_size and fit == "follow" else shape
    name = name or model.name
    fit = check_fit(name, fit, canvas)
    parts = take_apart(model, preprocess, shape, canvas is None, output, find_activation(activation))
    network = parts.network
    classifier = Classifier(
        name=name,
        labels=check_labels(labels, network.output_shape[1][-1]),
        engine=engine(network, shape),
        head=parts.head,
        build_network=lambda: network,
        canvas=canvas,
        activation=parts.activation,
        fit=fit,
        capabilities=parts.capabilities,
    )
    has_map = "features" in parts.capabilities
    classifier.features_layer = network.outputs[0]._keras_history.operation.name if has_map else ""
    classifier.notes, classifier.has_tokens = parts.notes, parts.has_tokens
    way = preprocess.name if isinstance(preprocess, Preprocessing) else "inside"
    classifier.preprocessing = ", ".join(filter(None, (way, layout.description)))
    if canvas is None:
        classifier.side, classifier.stride = side or Classifier.side, _stride(network, shape)
    return classifier


@dataclass(frozen=True)
class Parts:
    """A model taken apart.

    Args:
        network: RGB in [0, 255] -> features, logits.
        head: Its part behind the features.
        activation: Turns logits into probabilities.
        capabilities: What the classifier can do.
        notes: Sentences for the user.
        has_tokens: Whether the features are tokens of a transformer.
    """

    network: keras.Model
    head: Head
    activation: Activation
    capabilities: frozenset[str]
    notes: tuple[str, ...]
    has_tokens: bool


def split_model(
    model: keras.Model,
    preprocess: Callable | None = None,
    canvas: tuple[int, int] | None = None,
    follows: bool = False,
) -> tuple[keras.Model, Head, Activation]:
    """The network, its head and its activation, see `take_apart`."""
    parts = take_apart(model, preprocess, canvas, follows)
    return parts.network, parts.head, parts.activation


def take_apart(
    model: keras.Model,
    preprocess: Callable | None = None,
    canvas: tuple[int, int] | None = None,
    follows: bool = False,
    output: int | str | None = None,
    activation: Activation | None = None,
) -> Parts:
    """Copy a model into one flat network and find its parts.

    Args:
        model, preprocess, output, activation: As for `from_keras`.
        canvas: The shape (h, w) on which the parts are found, by default the input shape of the model.
        follows: Whether the network takes canvases of any shape. By default it takes `canvas` only.

    Raises:
        ModelError: As `from_keras` does.
    """
    flat = FlatCopy(model, preprocess, canvas or input_shape(model), output, activation)
    check_copy(model, flat, preprocess)
    found, note = _find_features(flat, model.name, tokens=not follows)
    if follows or (found and found.grid):
        shape = (None, None) if follows else canvas or input_shape(model)
        flat = FlatCopy(model, preprocess, shape, output, activation, flat.reading, found)
    head: Head | None = None
    if found is None:
        features: Any = layers.Lambda(_no_features, output_shape=NO_FEATURES, name="no_map")(flat.pixels)
    else:
        features = flat.tensors[found.index]
        head = make_head(keras.Model(features, flat.logits), found.grid.hidden_rows if found.grid else 0)
    network = keras.Model(flat.pixels, [features, flat.logits], name=model.name)
    able = head_capabilities(head) | {"gradient"}
    if has_relu(network):
        able |= {"guided"}
    if found and found.grid and has_attention(network, found.grid.count):
        able |= {"attention"}
    notes = (*flat.notes, note) if note else flat.notes
    has_tokens = bool(found and found.grid)
    return Parts(network, head or MissingHead(model.name), flat.activation, able, notes, has_tokens)


def _find_features(flat: FlatCopy, name: str, tokens: bool) -> tuple[Features | None, str]:
    """The features, or None and the reason why there are none, in one sentence."""
    try:
        return find_features(flat.pixels, flat.logits, flat.tensors, name, tokens), ""
    except ModelError as error:
        return None, str(error)


def _no_features(pixels: Any) -> Any:
    """The features of a network without a spatial map: zeros (N, 1, 1, 1)."""
    return keras.ops.mean(pixels, (1, 2, 3), keepdims=True) * 0


def _stride(network: keras.Model, canvas: tuple[int, int]) -> int:
    """About how many pixels of the canvas a cell of the features has: 8, 16 or 32."""
    (_, height, _, _), _ = network.compute_output_shape((None, *canvas, 3))
    return min((8, 16, 32), key=lambda stride: abs(stride - canvas[0] / height))


def make_head(behind: keras.Model, hidden_rows: int = 0) -> Head:
    """A LinearHead if the layers are global average pooling and linear layers, else a NetworkHead.

    `hidden_rows`: the last rows of the features that are no cells, see `models.tokens`.

    A test on random features decides whether the LinearHead is right. Where the features may have any size, those of the test
    have 7 x 7 cells.
    """
    linear = None if hidden_rows else linear_head(behind)
    if linear:
        probe = np.random.default_rng(0).uniform(0, 1, (2, *(size or 7 for size in behind.input_shape[1:])))
        probe = probe.astype(np.float32)
        if np.allclose(linear.logits(probe), np.asarray(behind(probe, training=False)), rtol=1e-3, atol=1e-4):
            return linear
    return NetworkHead(behind, hidden_rows)


def linear_head(behind: keras.Model) -> LinearHead | None:
    """The closed form of a head of global average pooling and linear layers, or None for other layers.

    `behind`: features -> logits. Its layers are assumed to form a chain.
    """
    idle = (layers.InputLayer, layers.Dropout, layers.Flatten, layers.Identity, layers.Reshape)
    parts = [operation for operation in behind.operations if not isinstance(operation, idle)]
    if not parts or not isinstance(parts[0], (layers.GlobalAveragePooling2D, layers.GlobalAveragePooling1D)):
        return None
    weights, bias = None, np.zeros(behind.input_shape[-1])
    for dense in parts[1:]:
        if not isinstance(dense, layers.Dense) or dense.activation is not keras.activations.linear:
            return None
        kernel, *offset = dense.get_weights()
        weights = kernel if weights is None else weights @ kernel
        bias = bias @ kernel + (offset[0] if offset else 0)
    return LinearHead(np.eye(len(bias)) if weights is None else weights, bias)
