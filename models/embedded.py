"""The two ImageNet classifiers whose weights are in this repository: nothing is downloaded.

Both networks are chains of inverted residual blocks (Sandler et al. 2018, https://arxiv.org/abs/1801.04381), so one function
builds both. `scripts/convert_weights.py` folded BatchNorm into the convolutions. Only kernels and biases are left, and a
gradient takes nearly half as long. `scripts/backward_graphs.py` made the graphs of the gradients.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.keras_settings import use_keras
from models.classifier import Classifier
from models.head import LinearHead
from models.litert import BackwardGraph, LiteRTEngine

if TYPE_CHECKING:
    import keras

WEIGHTS = Path(__file__).parent / "weights"
FEATURE_CHANNELS = 1280  # channels of the features, in both networks


@dataclass(frozen=True)
class Block:
    """Several inverted residual blocks in a row.

    Args:
        expansion: Factor by which a block first increases the number of channels.
        channels: Number of output channels.
        repeats: Number of blocks.
        stride: Stride of the first block; the others have stride 1.
        kernel: Side of the depthwise kernel.
    """

    expansion: int
    channels: int
    repeats: int
    stride: int
    kernel: int


@dataclass(frozen=True)
class Architecture:
    """A chain of blocks.

    `symmetric`: strided convolutions pad both sides by kernel // 2, as PyTorch does, instead of by SAME.
    """

    blocks: tuple[Block, ...]
    symmetric: bool


ARCHITECTURES = {
    "mobilenet_v2": Architecture(
        blocks=(
            Block(1, 16, 1, 1, 3),
            Block(6, 24, 2, 2, 3),
            Block(6, 32, 3, 2, 3),
            Block(6, 64, 4, 2, 3),
            Block(6, 96, 3, 1, 3),
            Block(6, 160, 3, 2, 3),
            Block(6, 320, 1, 1, 3),
        ),
        symmetric=True,
    ),
    "efficientnet_lite0": Architecture(
        blocks=(
            Block(1, 16, 1, 1, 3),
            Block(6, 24, 2, 2, 3),
            Block(6, 40, 2, 2, 5),
            Block(6, 80, 3, 2, 3),
            Block(6, 112, 3, 1, 5),
            Block(6, 192, 4, 2, 5),
            Block(6, 320, 1, 1, 3),
        ),
        symmetric=False,
    ),
}


_locks = {name: threading.Lock() for name in ARCHITECTURES}


def build_network(architecture: Architecture, weights: dict[str, np.ndarray]) -> keras.Model:
    """Build the Keras network: float32 RGB (N, h, w, 3) in [0, 255] -> features (N, h/32, w/32, 1280), logits (N, classes).

    `weights` holds "input.scale" and "input.offset" (3,) for the normalisation; "00.kernel", "00.bias", ... for the folded
    convolutions in order, with kernels in the layout of Keras; and "dense.kernel", "dense.bias" for the last layer.
    """
    use_keras()
    import keras
    from keras import layers

    convolutions = itertools.count()
    pending: list[tuple[keras.Layer, str]] = []

    def convolve(x: keras.KerasTensor, kernel: int, stride: int, filters: int | None) -> keras.KerasTensor:
        """A convolution with this number of `filters`, or a depthwise convolution for None."""
        padding = "same"
        if stride > 1 and architecture.symmetric:
            x = layers.ZeroPadding2D(kernel // 2)(x)
            padding = "valid"
        layer = (
            layers.DepthwiseConv2D(kernel, stride, padding)
            if filters is None
            else layers.Conv2D(filters, kernel, stride, padding)
        )
        pending.append((layer, f"{next(convolutions):02d}"))
        return layer(x)

    def relu6(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return layers.ReLU(6.0, name=name)(x)

    inputs = keras.Input((None, None, 3))
    x = layers.Rescaling(weights["input.scale"].tolist(), weights["input.offset"].tolist())(inputs)
    x = relu6(convolve(x, 3, 2, 32), "stem")
    numbers = itertools.count(1)
    for block in architecture.blocks:
        for index in range(block.repeats):
            name, shortcut, stride = f"block{next(numbers)}", x, block.stride if index == 0 else 1
            if block.expansion > 1:
                x = relu6(convolve(x, 1, 1, x.shape[-1] * block.expansion), f"{name}-wide")
            x = relu6(convolve(x, block.kernel, stride, None), f"{name}-deep")
            x = convolve(x, 1, 1, block.channels)
            if index > 0:
                x = layers.Add()([shortcut, x])
    features = relu6(convolve(x, 1, 1, FEATURE_CHANNELS), "features")
    dense = layers.Dense(weights["dense.bias"].size)
    pending.append((dense, "dense"))
    logits = dense(layers.GlobalAveragePooling2D()(features))
    model = keras.Model(inputs, [features, logits])
    for layer, name in pending:
        layer.set_weights([weights[f"{name}.kernel"], weights[f"{name}.bias"]])
    return model


@cache
def load_weights(name: str) -> dict[str, np.ndarray]:
    """The arrays of `weights/NAME.npz` as float32, shared between callers. For their names see `build_network`."""
    with np.load(WEIGHTS / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key].astype(np.float32) for key in file.files}


def imagenet_labels() -> tuple[str, ...]:
    """The labels of the 1000 ImageNet classes in English, in the order of the logits. Every label is unique."""
    return tuple(json.loads((WEIGHTS / "imagenet_labels.json").read_text(encoding="utf-8")))


def load_network(name: str) -> keras.Model:
    """A new Keras network of an embedded classifier; see `build_network`."""
    return build_network(ARCHITECTURES[name], load_weights(name))


def pointwise_kernels(name: str) -> Iterator[np.ndarray]:
    """The 1x1 kernels as the graph of the gradient needs them, as float16.

    Every kernel comes twice: (out, 1, 1, in) for the forward pass, then (in, 1, 1, out) for the backward pass.
    """
    with np.load(WEIGHTS / f"{name}.npz", allow_pickle=False) as file:
        kernels = [file[key] for key in file.files if key.endswith(".kernel") and file[key].shape[:2] == (1, 1)]
    for kernel in kernels:
        yield kernel.transpose(3, 0, 1, 2)
        yield kernel.transpose(2, 0, 1, 3)


def _backward(name: str) -> bytes:
    """The graph of the gradient as bytes, joined with the kernels that the file leaves out because NAME.npz has them."""
    return b"".join(
        [(WEIGHTS / f"{name}.backward.tflite").read_bytes(), *(kernel.tobytes() for kernel in pointwise_kernels(name))]
    )


def load(name: str) -> Classifier:
    """An embedded classifier, loaded once and shared. This takes a few hundredths of a second and no TensorFlow."""
    with _locks[name]:
        return _load(name)


@cache
def _load(name: str) -> Classifier:
    weights = load_weights(name)
    return Classifier(
        name=name,
        labels=imagenet_labels(),
        engine=LiteRTEngine((WEIGHTS / f"{name}.tflite").read_bytes()),
        head=LinearHead(weights["dense.kernel"], weights["dense.bias"]),
        build_network=lambda: load_network(name),
        backward=BackwardGraph(lambda: _backward(name), FEATURE_CHANNELS, Classifier.stride),
    )
