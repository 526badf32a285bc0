"""The layer of a Keras network that the class activation maps use: the last learned map of the picture."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from core.errors import ModelError
from core.keras_settings import use_keras
from models.keras_copy import Features, origin, run_network
from models.layout import is_map_of_picture
from models.tokens import TokenGrid, possible_grids

use_keras()

# Layers that recognise nothing. A map behind them is a coarser or equal version of the map before them.
_PASSIVE = (
    layers.InputLayer, layers.MaxPooling2D, layers.AveragePooling2D, layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D, layers.Dropout, layers.SpatialDropout2D, layers.ZeroPadding2D, layers.Cropping2D,
    layers.Flatten, layers.Reshape, layers.Identity, layers.Rescaling, layers.Normalization, layers.Lambda,
)  # fmt: skip
_PASSIVE_OPERATIONS = {"MaxPool", "AveragePool"}  # keras.ops.max_pool(x, ...) has no layer, only the name of its class
# Layers and operations whose output is laid out like their inputs. Only what other ones give is checked with forward passes.
_IN_PLACE = (
    layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Conv2DTranspose, layers.MaxPooling2D,
    layers.AveragePooling2D, layers.UpSampling2D, layers.ZeroPadding2D, layers.BatchNormalization, layers.LayerNormalization,
    layers.GroupNormalization, layers.UnitNormalization, layers.Activation, layers.ReLU, layers.LeakyReLU, layers.PReLU,
    layers.ELU, layers.Softmax, layers.Dropout, layers.SpatialDropout2D, layers.GaussianNoise, layers.GaussianDropout,
    layers.Identity, layers.Dense, layers.Rescaling, layers.Normalization, layers.Add, layers.Subtract, layers.Multiply,
    layers.Average, layers.Maximum, layers.Minimum,
)  # fmt: skip
_IN_PLACE_OPERATIONS = {
    "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Negative", "Cast", "Relu", "Relu6", "Sigmoid",
    "Silu", "HardSigmoid", "HardSilu", "Tanh", "Gelu", "Softplus", "MaxPool", "AveragePool", "LayerScale", "StochasticDepth",
    "Clip", "Abs", "Square", "Sqrt",
}  # fmt: skip
MAX_TRIED = 12  # candidates whose layout is checked; a check takes ten forward passes or more


def find_features(pixels: Any, logits: Any, tensors: list[Any], name: str, tokens: bool = True) -> Features:
    """The features: the last learned map of the picture that every path from pixels to logits goes through.

    Most layers keep the places of their inputs. Whether the output (N, h > 1, w > 1, C) of any other layer is a map of the
    picture is proven with forward passes, see `models.layout`. The tokens (N, T, C) of a transformer are proven likewise. The
    logits must also depend on the cells: behind the last attention of a network with a class token, they do not.

    Args:
        pixels: The input, of a fixed shape.
        logits: The output.
        tensors: All tensors in the order of calculation.
        name: Name of the model, for the error.
        tokens: Whether tokens may be the features.

    Returns:
        Its index in `tensors`, and the grid of tokens.

    Raises:
        ModelError: If there is no such map.
    """
    refused: list[str] = []
    for index, tensor in reversed(list(enumerate(tensors))):
        is_tokens = tokens and len(tensor.shape) == 3 and None not in tensor.shape[1:]
        if not (is_spatial(tensor) or is_tokens) or is_passive(origin(tensor).operation):
            continue
        between = _upstream(logits, stop=tensor)
        if not (id(tensor) in between and id(pixels) not in between and _is_learned(tensor)):
            continue
        if is_tokens:
            if grid := _token_grid(pixels, tensor, logits):
                return Features(index, grid)
            continue
        if all(_is_map(pixels, source) for source in _uncertain(tensor)):
            return Features(index)
        refused.append(f"'{origin(tensor).operation.name}'")
        if len(refused) == MAX_TRIED:
            break
    if refused:
        raise ModelError(
            f"'{name}' has no layer with a spatial map of the picture: the cells of {', '.join(refused[:3])} are not laid out "
            "like the picture; if the model crops, pads or permutes its input, move this out of the model."
        )
    raise ModelError(
        f"'{name}' has no layer with a spatial map that alone determines the output, so it has no class activation maps."
    )


def _token_grid(pixels: Any, tokens: Any, logits: Any) -> TokenGrid | None:
    """The grid on which tokens lie like the picture and on which the logits depend; None if there is none."""
    shapes = {tuple(source.shape[1:3]) for source in _upstream(tokens).values() if is_spatial(source)}
    network = keras.Model(pixels, tokens)
    for grid in possible_grids(tokens.shape[1], pixels.shape[1:3], shapes):

        def cells(batch: np.ndarray, grid: TokenGrid = grid) -> np.ndarray:
            return grid.cells(np.asarray(run_network(network, batch)))

        if is_map_of_picture(cells, pixels.shape[1:3]):
            return grid if _is_used(tokens, logits, grid, network, pixels.shape[1:]) else None
    return None


def _is_used(tokens: Any, logits: Any, grid: TokenGrid, network: keras.Model, shape: tuple[int, ...]) -> bool:
    """Whether the logits depend on the cells of tokens, by their gradient for a random picture."""
    import tensorflow as tf

    behind = keras.Model(tokens, logits)
    values = tf.convert_to_tensor(network(np.random.default_rng(0).uniform(0, 255, (1, *shape)), training=False))
    with tf.GradientTape() as tape:
        tape.watch(values)
        score = tf.reduce_sum(behind(values, training=False) * np.arange(1, logits.shape[-1] + 1, dtype=np.float32))
    return bool(grid.cells(np.abs(tape.gradient(score, values))).max() > 0)


def _uncertain(tensor: Any) -> list[Any]:
    """The last maps on the way to a map whose layout does not follow from the kinds of their layers."""
    found, seen, pending = [], set(), [tensor]
    while pending:
        tensor = pending.pop()
        if id(tensor) in seen or not is_spatial(
            tensor
        ):  # a tensor without cells, such as a weight per channel, moves none
            continue
        seen.add(id(tensor))
        node = origin(tensor)
        if _keeps_places(node.operation, node.input_tensors):
            pending += node.input_tensors
        else:
            found.append(tensor)
    return found


def _keeps_places(operation: Any, inputs: list[Any]) -> bool:
    """Whether the output of an operation is laid out like its inputs, whatever its weights are."""
    if isinstance(operation, layers.InputLayer):
        return True
    if getattr(operation, "data_format", "channels_last") == "channels_first" or not any(map(is_spatial, inputs)):
        return False
    if isinstance(operation, layers.Concatenate):
        return operation.axis in (-1, 3)
    own = type(operation).__module__.startswith("keras.")
    return own and (isinstance(operation, _IN_PLACE) or type(operation).__name__ in _IN_PLACE_OPERATIONS)


def is_spatial(tensor: Any) -> bool:
    """Whether the shape of a symbolic tensor is that of maps (N, h > 1, w > 1, C)."""
    return len(tensor.shape) == 4 and all(side is None or side > 1 for side in tensor.shape[1:3])


def _is_map(pixels: Any, tensor: Any) -> bool:
    """Whether a tensor is a map of the picture, by forward passes."""
    network = keras.Model(pixels, tensor)
    return is_map_of_picture(lambda batch: np.asarray(run_network(network, batch)), pixels.shape[1:3])


def _upstream(tensor: Any, stop: Any = None) -> dict[int, Any]:
    """A symbolic tensor and all tensors it depends on, by their id. The search does not go beyond `stop`."""
    tensors: dict[int, Any] = {}
    pending = [tensor]
    while pending:
        tensor = pending.pop()
        if id(tensor) not in tensors:
            tensors[id(tensor)] = tensor
            if tensor is not stop:
                pending += origin(tensor).input_tensors
    return tensors


def is_passive(operation: Any) -> bool:
    """Whether a Keras operation recognises nothing: a map behind it is a coarser or equal version of the map before it."""
    return isinstance(operation, _PASSIVE) or type(operation).__name__ in _PASSIVE_OPERATIONS


def _is_learned(tensor: Any) -> bool:
    """Whether a tensor depends on weights. A rescaled picture, for example, does not."""
    operations = (origin(source).operation for source in _upstream(tensor).values())
    return any(getattr(operation, "weights", None) and not is_passive(operation) for operation in operations)
