"""The two ends of a Keras model: how pixels become its input, and which of its outputs are the scores of classes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from core.errors import ModelError, unknown
from core.keras_settings import use_keras
from models.input_layout import InputLayout, layout_of
from models.keras_copy import inference_options, is_graph, run_network

use_keras()


def read_input(model: Any) -> InputLayout:
    """The input of a model. Raises ModelError, in a sentence, unless it takes one picture."""
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"A Keras model is needed (keras.Model or keras.Sequential), not {type(model).__name__}; open a file with "
            "models.open_model."
        )
    if is_graph(model):
        if not model.built or not model.inputs:
            raise ModelError(f"'{model.name}' has no input shape yet; start it with keras.Input((height, width, 3)).")
        if len(model.inputs) != 1:
            raise ModelError(f"'{model.name}' has {len(model.inputs)} inputs; it must take one picture.")
        shape = tuple(model.inputs[0].shape)
    else:
        shapes = getattr(model, "_build_shapes_dict", None) or {}
        if len(shapes) != 1 or not isinstance(next(iter(shapes.values())), tuple):
            raise ModelError(
                f"'{model.name}' has no input shape yet; call it once with a batch (1, height, width, 3), then try again."
            )
        shape = next(iter(shapes.values()))
    return layout_of(model.name, shape)


def choose_output(model: Any, tensors: list[Any], output: int | str | None) -> int:
    """The index of the output that has the scores of the classes.

    Args:
        model: The model.
        tensors: Its outputs.
        output: The index or the name of one of them; None for the only one.

    Raises:
        ModelError: If there are several and none is chosen, or if the chosen one is not one row of classes.
        UnknownNameError: If there is no such output.
    """
    names = _output_names(model, len(tensors))
    if output is None and len(tensors) > 1:
        choice = ", ".join(names)
        raise ModelError(
            f"'{model.name}' has {len(tensors)} outputs ({choice}); choose one, such as output='{names[0]}'."
        )
    if isinstance(output, str) and output.isdecimal() and output not in names:
        output = int(output)
    index = output or 0
    if isinstance(index, str):
        if index not in names:
            raise unknown("output", index, names)
        index = names.index(index)
    if not 0 <= index < len(tensors):
        raise unknown("output", index, names)
    shape = tuple(tensors[index].shape)
    if len(shape) != 2 or shape[1] is None:
        raise ModelError(f"'{model.name}' returns {shape}; a classifier returns one row of classes: (None, classes).")
    return index


def _output_names(model: Any, count: int) -> list[str]:
    struct = getattr(model, "_outputs_struct", None)
    if isinstance(struct, dict) and len(struct) == count:
        return sorted(struct)  # the order of keras.tree.flatten
    names = list(getattr(model, "output_names", None) or ())
    return names if len(names) == count else [str(index) for index in range(count)]


def loss_of_output(model: Any, index: int, count: int) -> Any:
    """The loss that an output was trained with: its name, or a loss of Keras; None if it is not known."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, dict):
        return loss.get(_output_names(model, count)[index])
    if isinstance(loss, (list, tuple)):
        return loss[index] if len(loss) == count else None
    return loss


def call_model(model: Any, batch: Any) -> list[Any]:
    """The outputs of a model, as arrays, for its input: without training, whatever the form of its inputs."""
    struct = getattr(model, "_inputs_struct", None)
    inputs = batch if struct is None else keras.tree.pack_sequence_as(struct, [batch])
    takes_training = is_graph(model) or bool(inference_options(model))
    outputs = run_network(model, inputs, takes_training)
    return [np.asarray(output, np.float32) for output in keras.tree.flatten(outputs)]
