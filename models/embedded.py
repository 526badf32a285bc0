"""The two ImageNet classifiers whose weights live in this repository: no network, no downloads.

Both are chains of inverted residual blocks (Sandler et al. 2018), so one builder serves both. Their BatchNorm was
folded into the convolutions when they were converted (`weights/convert.py`): kernels and biases are all there is, which
nearly halves the time of a gradient. `weights/backward.py` made the gradients' graphs.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.classifier import Classifier
from models.engine import Backward, LiteRT
from models.head import LinearHead

if TYPE_CHECKING:
    import keras

WEIGHTS = Path(__file__).parent / "weights"
TOP = 1280  # channels of the last activation, in both


@dataclass(frozen=True)
class Block:
    """A run of inverted residual blocks: `expansion`, output `channels`, `repeats`, first `stride`, `kernel` size."""

    expansion: int
    channels: int
    repeats: int
    stride: int
    kernel: int


@dataclass(frozen=True)
class Architecture:
    """A chain of blocks; `symmetric`: strided convolutions pad both sides by kernel // 2 (PyTorch), not by SAME."""

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


def build(architecture: Architecture, weights: dict[str, np.ndarray]) -> keras.Model:
    """The Keras network: float32 RGB (N, h, w, 3) in [0, 255] -> features (N, h/32, w/32, 1280), logits (N, classes).

    `weights` maps "input.scale" and "input.offset" (3,) to the normalisation, "00.kernel", "00.bias", ... to the folded
    convolutions in order (kernels in Keras layout), and "dense.kernel", "dense.bias" to the classifier.
    """
    import keras
    from keras import layers

    convolutions = itertools.count()
    pending: list[tuple[keras.Layer, str]] = []

    def convolve(x: keras.KerasTensor, kernel: int, stride: int, filters: int | None) -> keras.KerasTensor:
        """A convolution of `filters`, or a depthwise one where that is None."""
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
    features = relu6(convolve(x, 1, 1, TOP), "features")
    dense = layers.Dense(weights["dense.bias"].size)
    pending.append((dense, "dense"))
    logits = dense(layers.GlobalAveragePooling2D()(features))
    model = keras.Model(inputs, [features, logits])
    for layer, name in pending:
        layer.set_weights([weights[f"{name}.kernel"], weights[f"{name}.bias"]])
    return model


@cache
def _weights(name: str) -> dict[str, np.ndarray]:
    with np.load(WEIGHTS / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key].astype(np.float32) for key in file.files}


def labels() -> tuple[str, ...]:
    """The 1000 ImageNet classes in English, in the networks' order; every one is unique."""
    return tuple(json.loads((WEIGHTS / "imagenet_labels.json").read_text(encoding="utf-8")))


def network(name: str) -> keras.Model:
    """The Keras network of an embedded classifier, made anew: see `build`."""
    return build(ARCHITECTURES[name], _weights(name))


def pointwise(name: str) -> Iterator[np.ndarray]:
    """The kernels of 1x1 as a gradient's graph needs them, float16: each for the way there, (out, 1, 1, in), and back."""
    with np.load(WEIGHTS / f"{name}.npz", allow_pickle=False) as file:
        kernels = [file[key] for key in file.files if key.endswith(".kernel") and file[key].shape[:2] == (1, 1)]
    for kernel in kernels:
        yield kernel.transpose(3, 0, 1, 2)
        yield kernel.transpose(2, 0, 1, 3)


def _backward(name: str) -> bytes:
    """The graph of the gradient, made by `weights/backward.py`, with the numbers it shares with the network."""
    return b"".join([(WEIGHTS / f"{name}.backward.tflite").read_bytes(), *(each.tobytes() for each in pointwise(name))])


def load(name: str) -> Classifier:
    """An embedded classifier, ready in a few hundredths of a second and without TensorFlow."""
    dense = _weights(name)
    return Classifier(
        name=name,
        labels=labels(),
        engine=LiteRT((WEIGHTS / f"{name}.tflite").read_bytes()),
        head=LinearHead(dense["dense.kernel"], dense["dense.bias"]),
        network=lambda: network(name),
        backward=Backward(lambda: _backward(name), TOP, Classifier.stride),
    )
