"""A copy of a Keras model in one flat graph, from RGB pixels to logits, and the proof that it answers as the model does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import layers

from core.errors import ModelError
from core.keras_settings import use_keras
from models.classifier import Activation, Classifier
from models.keras_copy import (
    FINAL_ACTIVATIONS,
    Features,
    LayerCopies,
    final_activation_name,
    is_graph,
    origin,
    run_network,
    traced,
)
from models.keras_ends import call_model, choose_output, loss_of_output, read_input
from models.outputs import Reading, check_units, read_outputs
from models.preprocessing import photographs

use_keras()


def input_shape(model: keras.Model) -> tuple[int, int]:
    """The input shape (h, w) of a model; 224 for a side of any length. Raises ModelError as `from_keras` does."""
    layout = read_input(model)
    return layout.height or Classifier.side, layout.width or Classifier.side


class FlatCopy:
    """A copy of a model in one flat graph.

    `pixels`: its input, RGB. `canvas`: a shape (h, w) that it takes. `outputs`: its output before the final activation.
    `logits`: the same as logits, with two units for a single sigmoid unit. `tensors`: all tensors in the order of calculation.
    `activation`: turns logits into probabilities. `final_layer`, `final_function`: the last layer, and what turns `outputs`
    into the outputs of the model if an activation was removed, else None. `reading`: what outputs without a final activation
    mean. `index`: of the output in the model. `exact`: see `LayerCopies`. `notes`: sentences for the user.
    """

    def __init__(
        self,
        model: keras.Model,
        preprocess: Callable | None,
        canvas: tuple[int | None, int | None],
        output: int | str | None = None,
        activation: Activation | None = None,
        reading: Reading | None = None,
        features: Features | None = None,
    ) -> None:
        layout = read_input(model)
        sides = (layout.height or canvas[0], layout.width or canvas[1])
        shape = (layout.channels, *sides) if layout.channels_first else (*sides, layout.channels)
        self.canvas = (canvas[0] or Classifier.side, canvas[1] or Classifier.side)
        self.pixels = keras.Input((*canvas, 3), name="pixels")
        scaled = _preprocessed(self.pixels, preprocess)
        if layout.needs_adapter:
            scaled = layout.adapt(scaled, _white(preprocess), keras.ops)
        with traced(model, shape) as graph:
            if graph is None:
                copies = LayerCopies()
                outputs = keras.tree.flatten(copies.call_as_is(model, scaled))
                self.index = choose_output(model, outputs, output)
            else:
                self.index = choose_output(graph, graph.outputs, output)
                copies = LayerCopies(_final_layer(graph, self.index), features)
                outputs = keras.tree.flatten(copies.inline(graph, scaled))
        self.final_layer = copies.final
        self.outputs, final = _without_activation(outputs[self.index])
        final = final or copies.removed
        copies.transfer()
        loss = loss_of_output(model, self.index, len(outputs))
        self.tensors, self.exact = copies.tensors, copies.exact
        check_units(model.name, self.outputs.shape[-1], final or _last_activation(copies.final), loss, activation)
        self.reading = reading
        self.final_function: Callable | None = None
        self.activation: Activation
        if final:
            self.activation, self.final_function = FINAL_ACTIVATIONS[final]
            if activation not in (None, self.activation):
                raise ModelError(f"'{model.name}' ends with {final}; leave out activation='{activation}'.")
        else:
            linear = getattr(copies.final, "activation", None) is keras.activations.linear
            self.reading = reading or read_outputs(model.name, self._answers(), loss, activation, linear)
            self.activation = self.reading.activation
        self.logits = self.reading.to_logits(self.outputs, keras.ops) if self.reading else self.outputs
        self.notes = (self.reading.note,) if self.reading and self.reading.note else ()
        if self.logits.shape[-1] == 1:
            self.logits, self.activation = _two_classes(self.logits), "softmax"

    def _answers(self) -> np.ndarray:
        """The outputs for photographs."""
        network = keras.Model(self.pixels, self.outputs)
        return np.asarray(run_network(network, photographs(self.canvas)), np.float32)


def check_copy(model: keras.Model, flat: FlatCopy, preprocess: Callable | None) -> None:
    """Raise ModelError unless a copy has the same logits as the original, on photographs.

    Logits are compared, because a softmax of large logits hides differences. Where the final activation of the original is no
    part of a layer, the logarithms of its outputs are compared.

    Args:
        model: The original.
        flat: The copy.
        preprocess: Turns pixels into the input of the original.
    """
    layout = read_input(model)
    probe = photographs(flat.canvas)
    batch = keras.ops.convert_to_tensor(probe)
    scaled = preprocess(batch) if preprocess else batch
    if layout.needs_adapter:
        scaled = layout.adapt(scaled, _white(preprocess), keras.ops)
    logits = np.asarray(run_network(keras.Model(flat.pixels, flat.outputs), batch), np.float64)
    layer, function = flat.final_layer, getattr(flat.final_layer, "activation", None)
    if flat.final_function and function and final_activation_name(function):
        with _without(layer):
            original = call_model(model, scaled)[flat.index]
    else:
        original = call_model(model, scaled)[flat.index]
        if flat.final_function:
            logits = np.asarray(flat.final_function(logits.astype(np.float32)))
            if logits.max() > 0:
                logits, original = (np.log(np.maximum(values, 1e-30)) for values in (logits, original))
    scale = max(1.0, float(np.std(original)))
    rtol, atol = (1e-3, 1e-4) if flat.exact else (5e-2, 2e-2)
    if not np.allclose(logits, original, rtol, atol * scale):
        raise ModelError(
            f"A copy of '{model.name}' has other outputs; the get_config() of one of its layers is incomplete."
        )


@contextmanager
def _without(layer: Any) -> Iterator[None]:
    """A layer without its activation, for as long as the `with` lasts."""
    activation = layer.activation
    layer.activation = keras.activations.linear
    try:
        yield
    finally:
        layer.activation = activation


def _two_classes(logit: Any) -> Any:
    """The logit z of a single sigmoid unit as two logits, -z/2 and z/2.

    Their softmax is 1 - sigmoid(z) and sigmoid(z).
    """
    layer = layers.Dense(2, use_bias=False, name="two_classes")
    logits = layer(logit)
    layer.set_weights([np.array([[-0.5, 0.5]], np.float32)])
    return logits


def _white(preprocess: Callable | None) -> float:
    """The scaled value of white, of the first channel."""
    white = keras.ops.full((1, 1, 1, 3), 255.0)
    return float(np.asarray(preprocess(white) if preprocess else white).flat[0])


def _preprocessed(pixels: Any, preprocess: Callable | None) -> Any:
    """The pixels after a layer that runs the user's preprocessing, if there is one."""
    if preprocess is None:
        return pixels
    try:
        return layers.Lambda(preprocess, name="preprocess")(pixels)
    except Exception as error:  # a user's function may raise any type
        raise ModelError(
            "`preprocess` cannot become part of the network; write it with keras.ops or TensorFlow, not with NumPy alone."
        ) from error


def _final_layer(model: Any, index: int = 0) -> Any:
    """The layer that makes an output of a model; in a nested model, the layer inside it."""
    while isinstance(model, keras.Model) and is_graph(model):
        if isinstance(model, keras.Sequential):
            model, index = model.layers[-1], 0
        else:
            model, _, index = model.outputs[index]._keras_history
    return model


def _last_activation(layer: Any) -> str | None:
    """The name of the activation of the last layer, or that of the layer; None without one."""
    function = getattr(layer, "activation", None)
    return getattr(function, "__name__", None) if function else type(layer).__name__.lower()


def _without_activation(tensor: Any) -> tuple[Any, str | None]:
    """The tensor before a final softmax or sigmoid that is a separate layer or operation, and the name of that one.

    Without one: the tensor itself and None.
    """
    node = origin(tensor)
    operation = node.operation
    name = final_activation_name(operation.activation if isinstance(operation, layers.Activation) else operation)
    return (node.input_tensors[0], name) if name else (tensor, None)
