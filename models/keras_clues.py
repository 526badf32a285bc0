"""What a Keras model reveals about the preprocessing of its pixels: layers inside it, stored statistics, names of families."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from models.classifier import Activation
from models.features import is_passive
from models.flat_copy import FlatCopy, input_shape
from models.keras_copy import origin

_SCALING = {"Rescaling", "Normalization", "TrueDivide", "Divide", "Multiply", "Subtract", "Lambda"}


@dataclass(frozen=True)
class Statistics:
    """What the first batch normalisation stores, and what it gets.

    Args:
        means: Stored mean of each channel.
        variances: Stored variance of each channel.
        observe: The input of that layer (N, h, w, channels) for a batch of inputs of the model.
    """

    means: np.ndarray
    variances: np.ndarray
    observe: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Clues:
    """What a model reveals.

    Args:
        canvas: The shape (h, w) of its input; 224 for a side of any length.
        inside: Whether the model scales pixels itself, before its first layer with weights.
        families: The names of the model and of the models inside it.
        statistics: Those of the first batch normalisation; None without one, or if it was never trained.
        predict: The logits (N, classes) for a batch of inputs of the model.
    """

    canvas: tuple[int, int]
    inside: bool
    families: tuple[str, ...]
    statistics: Statistics | None
    predict: Callable[[np.ndarray], np.ndarray]


def find_clues(model: keras.Model, output: int | str | None = None, activation: Activation | None = None) -> Clues:
    """What a model reveals about its preprocessing. Raises ModelError for a model that `from_keras` refuses too.

    `output`, `activation`: as for `from_keras`.
    """
    canvas = input_shape(model)
    flat = FlatCopy(model, None, canvas, output, activation)
    inside, normalisation = False, None
    learned = False
    for tensor in flat.tensors:
        operation = origin(tensor).operation
        inside = inside or (not learned and type(operation).__name__ in _SCALING)
        learned = learned or bool(getattr(operation, "weights", None) and not is_passive(operation))
        if normalisation is None and isinstance(operation, layers.BatchNormalization):
            normalisation = tensor
    logits = keras.Model(flat.pixels, flat.logits)
    return Clues(
        canvas=canvas,
        inside=inside,
        families=(model.name, *(layer.name for layer in model._flatten_layers() if isinstance(layer, keras.Model))),
        statistics=None if normalisation is None else _statistics(flat, normalisation),
        predict=lambda batch: np.asarray(logits(batch, training=False)),
    )


def _statistics(flat: FlatCopy, normalised: keras.KerasTensor) -> Statistics | None:
    node = origin(normalised)
    layer, before = node.operation, node.input_tensors[0]
    means, variances = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
    if before.shape[-1] != len(means) or (np.ptp(means) == 0 and np.ptp(variances) == 0):
        return None
    network = keras.Model(flat.pixels, before)
    return Statistics(means, variances, lambda batch: np.asarray(network(batch, training=False)))
