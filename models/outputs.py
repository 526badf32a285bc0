"""What the outputs of a classifier mean: logits or probabilities, of exclusive classes (softmax) or independent ones (sigmoid).

A final softmax or sigmoid that is known is removed elsewhere. For all other outputs, `read_outputs` decides by the outputs for
photographs, the loss of the training, and what the user says. Outputs that are no scores of classes are refused in a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import ModelError, unknown
from models.classifier import Activation

ACTIVATIONS = ("softmax", "sigmoid")
SMALLEST = 1e-30  # probabilities below are raised to this, so that their logarithm is finite
# Losses by their name in lower case, without underscores.
_LOSSES = {
    "softmax": ("categoricalcrossentropy", "sparsecategoricalcrossentropy", "categoricalfocalcrossentropy"),
    "sigmoid": ("binarycrossentropy", "binaryfocalcrossentropy", "bce"),
    "a regression": (
        "meansquarederror", "mse", "meanabsoluteerror", "mae", "meanabsolutepercentageerror", "mape",
        "meansquaredlogarithmicerror", "msle", "huber", "huberloss", "logcosh", "poisson",
    ),
    "an embedding": ("cosinesimilarity", "circle", "tripletloss", "contrastiveloss"),
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """What outputs mean.

    Args:
        activation: Turns the logits into probabilities.
        from_probabilities: Whether the outputs are probabilities. Their logits are calculated from them.
        note: A sentence for the user; empty if there is nothing to say.
    """

    activation: Activation
    from_probabilities: bool = False
    note: str = ""

    def to_logits(self, outputs: Any, library: Any = np) -> Any:
        """The logits (N, units) of outputs (N, units). `library`: NumPy or keras.ops."""
        if not self.from_probabilities:
            return outputs
        logits = library.log(library.maximum(outputs, SMALLEST))
        return logits if self.activation == "softmax" else logits - library.log(library.maximum(1 - outputs, SMALLEST))


def find_activation(activation: str | None) -> Activation | None:
    """The activation of that name, or None. Raises UnknownNameError if there is none of that name."""
    if activation is not None and activation not in ACTIVATIONS:
        raise unknown("activation", activation, ACTIVATIONS)
    return activation  # type: ignore[return-value]


def meaning_of_loss(loss: Any) -> str | None:
    """What a loss says about the outputs: "softmax", "sigmoid", "a regression" or "an embedding"; None if nothing.

    `loss`: its name, or a loss of Keras.

    >>> meaning_of_loss("sparse_categorical_crossentropy"), meaning_of_loss("mse"), meaning_of_loss("mine")
    ('softmax', 'a regression', None)
    """
    name = loss if isinstance(loss, str) else getattr(loss, "name", None) or getattr(loss, "__name__", "")
    plain = str(name).lower().replace("_", "").replace(" ", "")
    return next((meaning for meaning, names in _LOSSES.items() if plain in names), None)


def check_units(name: str, units: int, final: str | None, loss: Any, activation: str | None) -> None:
    """Raise ModelError, in a sentence that says what the outputs are, if a model is no classifier.

    Args:
        name: Name of the model.
        units: Number of its outputs.
        final: Name of its last activation, or None.
        loss: The loss that it was trained with, or None.
        activation: What the user says, or None. Then only a single softmax unit is refused.
    """
    if final and "softmax" in final.lower() and units == 1:
        raise ModelError(
            f"'{name}' ends with a softmax of one unit, which is always 1; train it again with a sigmoid, or with two units."
        )
    if activation is not None:
        return
    meaning = meaning_of_loss(loss)
    if meaning in ("a regression", "an embedding") and final is None:
        raise ModelError(
            f"'{name}' was trained as {meaning}: its outputs are no scores of classes; give a classifier, or say "
            "activation='softmax' or 'sigmoid' if it is one."
        )
    if final == "tanh":
        raise ModelError(
            f"'{name}' ends with tanh: its outputs lie between -1 and 1 and are no probabilities; end it with a sigmoid or a "
            "softmax, or say activation='sigmoid' to take them as logits."
        )


def read_outputs(
    name: str, rows: np.ndarray, loss: Any = None, activation: Activation | None = None, linear: bool = False
) -> Reading:
    """What the outputs of a model without a known final activation mean.

    Args:
        name: Name of the model, for errors.
        rows: Its outputs (N, units) for photographs.
        loss: The loss that it was trained with, or None.
        activation: "softmax" or "sigmoid" if the user says so, or None.
        linear: Whether its last layer is known to have no activation. Its outputs are then logits.

    Returns:
        The reading.

    Raises:
        ModelError: In one sentence, if the outputs are no scores of classes.

    >>> read_outputs("m", np.array([[0.2, 0.8], [0.5, 0.5]])).from_probabilities
    True
    >>> read_outputs("m", np.array([[3.0, -1.0], [0.5, 0.7]])).activation
    'softmax'
    """
    if rows.ndim != 2 or not rows.shape[1]:
        raise ModelError(f"'{name}' returns {rows.shape}; a classifier returns one row of classes: (None, classes).")
    if not np.isfinite(rows).all():
        raise ModelError(
            f"The outputs of '{name}' for photographs are not finite; check its weights and its preprocessing."
        )
    check_units(name, rows.shape[1], None, loss, activation)
    units, within = rows.shape[1], bool(rows.min() >= 0 and rows.max() <= 1)
    sums_to_one = units > 1 and within and np.allclose(rows.sum(1), 1, atol=1e-3)
    if sums_to_one and not linear and activation != "sigmoid":
        note = f"'{name}' gives probabilities; the score is the logarithm of the probability."
        return Reading("softmax", True, note)
    if activation is None and units > 2 and np.allclose((rows**2).sum(1), 1, atol=1e-3):
        raise ModelError(
            f"'{name}' gives an embedding: {units} numbers of length 1, no scores of classes; add a layer that classifies."
        )
    if within and not linear and activation is None:
        return Reading("sigmoid", True)
    meant = activation or meaning_of_loss(loss)
    if meant is None and units == 1:
        return Reading("sigmoid", note=f"The one output of '{name}' is taken as the logit of a sigmoid.")
    return Reading("sigmoid" if meant == "sigmoid" else "softmax")
