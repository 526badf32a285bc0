"""Layers other than the features, for class activation maps: which there are, and the part of the network behind one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.errors import ModelError
from models import gradients
from models.classifier import Classifier
from models.head import Head

if TYPE_CHECKING:
    import keras


def list_layers(classifier: Classifier) -> list[tuple[str, tuple[int, int], int]]:
    """The layers whose output is a spatial map: name, rows and columns of cells, channels. Imports TensorFlow.

    On a canvas that follows the picture, the cells are those of a square picture.
    """
    canvas = classifier.canvas or classifier.geometry((1, 1)).canvas

    def shapes(network: keras.Model) -> dict[str, tuple[int, ...]]:
        import keras

        maps = gradients.spatial_maps(network)
        found = keras.Model(network.inputs, maps).compute_output_shape((1, *canvas, 3))
        return {name: tuple(shape) for name, shape in found.items()}

    return [(name, (h, w), c) for name, (_, h, w, c) in classifier.cached("layers", shapes).items()]


def layer_table(classifier: Classifier) -> str:
    """The table of `--layers`: one line per layer. The layer that maps use without `layer=` has a star."""
    rows = [("layer", "cells", "channels")]
    for name, (height, width), channels in list_layers(classifier):
        star = " *" if name == classifier.features_layer else ""
        rows.append((name + star, f"{height}x{width}", str(channels)))
    longest = max(len(row[0]) for row in rows)
    return "\n".join(f"{name:<{longest}}  {cells:>9}  {channels:>8}" for name, cells, channels in rows)


def head_at(classifier: Classifier, layer: str, gradient: np.ndarray) -> Head:
    """The part of a network behind one of its layers. Imports TensorFlow.

    Args:
        classifier: The classifier.
        layer: Name of a layer whose output is a spatial map.
        gradient: The gradient of the score with respect to that output (lh, lw, C), for the picture that is explained.

    Returns:
        The head. Where other paths lead around the layer, it only knows that gradient.
    """
    head = classifier.cached(f"head of {layer}", lambda network: _head_behind(network, layer))
    return head or _PathsAround(layer, gradient)


def _head_behind(network: keras.Model, layer: str) -> Head | None:
    """The head behind a layer; None if the layer alone does not determine the logits."""
    import keras

    from models.from_keras import make_head

    try:
        return make_head(keras.Model(gradients.spatial_map(network, layer), network.outputs[1]))
    except ValueError:  # Keras: the graph of the logits is not connected to this layer alone
        return None


class _PathsAround:
    """The head behind a layer that other paths lead around: its gradient for one picture is all there is."""

    has_constant_gradient = False

    def __init__(self, layer: str, gradient: np.ndarray) -> None:
        self._layer, self._gradient = layer, gradient

    def logits(self, features: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """See `Head`."""
        raise ModelError(
            f"Other paths lead around the layer '{self._layer}', so the score cannot be computed from it alone; use grad-cam "
            "or choose another layer."
        )

    def gradient(self, features: np.ndarray, objective: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """See `Head`."""
        return np.broadcast_to(self._gradient, features.shape)
