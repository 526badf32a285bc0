"""An engine around any function that runs a model forwards: it scales and adapts pixels, and turns outputs into logits.

Functions, ONNX files, SavedModel folders and PyTorch modules use it. What the function needs and gives is found out by
`settle`, from its answers to photographs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from core.errors import ModelError
from models import preprocessing
from models.capabilities import Capability
from models.classifier import Activation, Classifier, check_fit
from models.engine import BATCH, batch_size
from models.geometry import Fit
from models.head import NO_FEATURES, Head, LinearHead, MissingHead, head_capabilities
from models.input_layout import InputLayout
from models.outputs import Reading, read_outputs
from models.preprocessing import WAYS, Preprocessing

Run = Callable[[np.ndarray], tuple[np.ndarray | None, np.ndarray]]
InputGradient = Callable[[np.ndarray, np.ndarray, Reading], np.ndarray]


class ForwardEngine:
    """Runs a model. See `models.engine.Engine`.

    Args:
        run: Inputs (N, ...) of the model, float32 -> its features (N, fh, fw, C) or None, and its outputs (N, units).
        layout: The input of the model.
        most: How many inputs `run` takes at once.

    Attributes:
        preprocessing: Scales pixels.
        reading: What the outputs mean.
    """

    def __init__(self, run: Run, layout: InputLayout, most: int = BATCH) -> None:
        self._run, self._layout, self._most = run, layout, most
        self.preprocessing: Preprocessing = WAYS["0..255"]
        self.reading = Reading("softmax")
        self.units = 0  # number of outputs of the model

    def inputs(self, batch: np.ndarray) -> np.ndarray:
        """The inputs of the model for canvases (N, h, w, 3) in [0, 255]."""
        white = float(self.preprocessing(np.full((1, 1, 1, 3), 255, np.float32)).flat[0])
        scaled = np.asarray(self.preprocessing(batch), np.float32)
        return np.ascontiguousarray(self._layout.adapt(scaled, white), np.float32)

    def outputs(self, batch: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
        """The features and the outputs of the model for canvases, in chunks."""
        size = batch_size(batch.shape[1:], self._most)
        chunks = [self._run(self.inputs(batch[start : start + size])) for start in range(0, len(batch), size)]
        features = [chunk[0] for chunk in chunks if chunk[0] is not None]
        return np.concatenate(features) if features else None, np.concatenate([chunk[1] for chunk in chunks])

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Engine`. Without a map the features are zeros."""
        features, outputs = self.outputs(batch)
        logits = self.reading.to_logits(outputs.astype(np.float32))
        if features is None:
            features = np.zeros((len(batch), *NO_FEATURES), np.float32)
        return features, np.concatenate([-logits / 2, logits / 2], 1) if logits.shape[1] == 1 else logits

    def gradient(self, input_gradient: InputGradient, batch: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """d(objective . logits) / d(batch), float32 (N, h, w, 3).

        `input_gradient`: (inputs, weights of the outputs as logits, reading) -> gradient with respect to the inputs.
        """
        gradients = []
        weights = single_unit(objective, self.units)
        for start in range(0, len(batch), 4):
            gradient = input_gradient(self.inputs(batch[start : start + 4]), weights, self.reading)
            gradients.append(self._layout.pull_back(np.asarray(gradient, np.float32)))
        way, pulled = self.preprocessing, np.concatenate(gradients) * np.array(self.preprocessing.scale, np.float32)
        return np.ascontiguousarray(pulled[..., ::-1] if way.reverse else pulled, np.float32)


def single_unit(objective: np.ndarray, units: int) -> np.ndarray:
    """The weights of the outputs for an objective: for one unit z, whose classes have the logits -z/2 and z/2, one weight."""
    return objective if units != 1 else np.array([(objective[1] - objective[0]) / 2], np.float32)


class SingleUnitHead:
    """A head of one unit z as a head of two classes, with the logits -z/2 and z/2."""

    def __init__(self, head: Head) -> None:
        self._head, self.has_constant_gradient = head, head.has_constant_gradient

    def logits(self, features: np.ndarray) -> np.ndarray:
        """See `Head`."""
        logits = self._head.logits(features)
        return np.concatenate([-logits / 2, logits / 2], 1)

    def gradient(self, features: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """See `Head`."""
        return self._head.gradient(features, single_unit(objective, 1))


def _two_classes(head: Head) -> Head:
    if isinstance(head, LinearHead):
        return LinearHead(np.concatenate([-head.weights / 2, head.weights / 2], 1), np.array([-1, 1]) * head.bias / 2)
    return SingleUnitHead(head)


def settle(
    name: str,
    engine: ForwardEngine,
    canvas: tuple[int, int],
    choose_labels: Callable[[int], tuple[str, ...]],
    build_network: Callable[[], Any],
    *,
    head: Head | None = None,
    way: Preprocessing | None = None,
    reason: str = "as chosen",
    fit: Fit | None = None,
    activation: Activation | None = None,
    linear: bool = False,
    final: Activation | None = None,
    layout: InputLayout,
    input_gradient: InputGradient | None = None,
    order: Sequence[str] = preprocessing.DEFAULT_ORDER,
) -> Classifier:
    """A classifier around an engine, with the preprocessing and the meaning of the outputs that fit its answers.

    Args:
        name: Name of the classifier.
        engine: Runs the model. Its `preprocessing` and `reading` are set.
        canvas: The shape (h, w) of its input.
        choose_labels: The labels for a number of classes.
        build_network: Raises ModelError: there is no Keras network.
        head: The part behind the features; used only if it gives the outputs of the model.
        way: How pixels are scaled; None to find out. `reason`: why this one.
        fit: See `models.geometry`.
        activation: What the user says about the outputs.
        linear: Whether the outputs are known to be logits.
        final: The final activation that was removed, if any.
        layout: The input of the model, stated in the facts.
        input_gradient: See `ForwardEngine.gradient`; None if there are no gradients.
        order: Names of the ways to scale pixels, the most usual first.

    Raises:
        ModelError: In one sentence, if this is no classifier.
    """
    fit = check_fit(name, fit or "squash", canvas)
    pictures = preprocessing.photographs(canvas, fit)

    def predict(candidate: Preprocessing) -> np.ndarray:
        engine.preprocessing = candidate
        try:
            rows = engine.outputs(pictures)[1]
            reading = Reading(final) if final else read_outputs(name, rows, None, activation, linear)
        except ModelError:
            return np.full((len(pictures), 2), np.nan, np.float32)
        logits = reading.to_logits(rows)
        return np.concatenate([-logits / 2, logits / 2], 1) if logits.shape[1] == 1 else logits

    if way is None:
        way, certain = preprocessing.choose_by_logits(predict, order)
        reason = preprocessing.ONLY if certain else ""
    engine.preprocessing = way
    features, rows = engine.outputs(pictures)
    if rows.ndim != 2:
        raise ModelError(f"'{name}' returns {rows.shape}; a classifier returns one row of classes: (N, classes).")
    engine.units = rows.shape[1]
    engine.reading = Reading(final) if final else read_outputs(name, rows, None, activation, linear)
    if head is not None and (features is None or not _fits(head, features, engine.reading.to_logits(rows))):
        head = None
    if head is not None and engine.units == 1:
        head = _two_classes(head)
    able: frozenset[Capability | str] = head_capabilities(head)
    classifier = Classifier(
        name=name,
        labels=choose_labels(max(2, engine.units)),
        engine=engine,
        head=head or MissingHead(name),
        build_network=build_network,
        canvas=canvas,
        activation="softmax" if engine.units == 1 else engine.reading.activation,
        fit=fit,
        capabilities=able | {"gradient"} if input_gradient else able,
        pixel_gradient=input_gradient and (lambda batch, weights: engine.gradient(input_gradient, batch, weights)),
    )
    classifier.preprocessing = ", ".join(filter(None, (way.name, layout.description)))
    notes = (preprocessing.describe_choice(way, reason) if reason != "inside" else "", engine.reading.note)
    classifier.notes = tuple(filter(None, notes))
    return classifier


def _fits(head: Head, features: np.ndarray, rows: np.ndarray) -> bool:
    """Whether a head gives the outputs (N, units) of a model for its features."""
    scale = max(1.0, float(rows.std()))
    return np.allclose(head.logits(features.astype(np.float32)), rows, rtol=1e-3, atol=1e-3 * scale)


def linear_or(head: Head, linear: LinearHead | None, features: np.ndarray, rows: np.ndarray) -> Head:
    """The closed form of a head if it gives the outputs of the model, else the head itself."""
    return (
        linear
        if linear is not None and features.shape[-1] == len(linear.weights) and _fits(linear, features, rows)
        else head
    )
