"""Make a `Classifier` from any function that turns pictures into scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from core.errors import ModelError, describe_error
from models.classifier import Classifier, check_labels
from models.forward_engine import ForwardEngine, settle
from models.geometry import Fit
from models.input_layout import InputLayout
from models.outputs import find_activation
from models.preprocessing import WAYS


def from_function(
    function: Callable[[np.ndarray], Any],
    labels: Sequence[str] | None,
    size: tuple[int, int],
    *,
    fit: Fit | None = None,
    activation: str | None = None,
    name: str = "function",
) -> Classifier:
    """Make a classifier from a function, such as one that asks a service or another framework.

    It has the methods that need forward passes only: those by perturbation.

    Args:
        function: Pixels, float32 RGB (N, h, w, 3) in [0, 255] -> scores (N, classes): logits or probabilities. Several threads
            may call it.
        labels: One label per class, or None for "class 0", "class 1", ...
        size: The height and the width that it takes.
        fit: How a picture is fitted to that size, see `models.geometry`; by default "squash".
        activation: "softmax" or "sigmoid" for a function that gives logits. By default its answers to photographs decide.
        name: Name of the classifier.

    Returns:
        The classifier.

    Raises:
        ModelError: In one sentence, if the function fails or its answers are no scores of classes.

    >>> brightness = lambda pixels: np.stack([pixels.mean((1, 2, 3)), 255 - pixels.mean((1, 2, 3))], 1) / 255
    >>> from_function(brightness, ["light", "dark"], (32, 32)).predict(np.full((9, 9, 3), 204, np.uint8))[0]
    Prediction(index=0, label='light', probability=0.800000011920929)
    """
    if len(size) != 2 or not all(8 <= int(side) <= 4096 for side in size):
        raise ModelError(f"The size must be a height and a width of 8 to 4096 pixels, such as (224, 224); got {size}.")

    def run(batch: np.ndarray) -> tuple[None, np.ndarray]:
        try:
            outputs = np.asarray(function(batch), np.float32)
        except Exception as error:  # the function may raise any type
            raise ModelError(f"The function of '{name}' failed: {describe_error(error)[:200]}.") from error
        if outputs.ndim != 2 or len(outputs) != len(batch):
            shape = f"for {len(batch)} pictures the function of '{name}' returned {outputs.shape}"
            raise ModelError(f"A function must return one row of scores per picture, (N, classes); {shape}.")
        return None, outputs

    layout = InputLayout(int(size[0]), int(size[1]))
    return settle(
        name, ForwardEngine(run, layout), (int(size[0]), int(size[1])), lambda classes: check_labels(labels, classes),
        lambda: no_network(name), way=WAYS["0..255"], reason="inside", fit=fit, activation=find_activation(activation),
        layout=layout,
    )  # fmt: skip


def no_network(name: str) -> NoReturn:
    """Raise the ModelError for what only a Keras network can do."""
    raise ModelError(
        f"'{name}' has no layers to choose and cannot be randomised; this needs a Keras model, from a .keras or .h5 file."
    )
