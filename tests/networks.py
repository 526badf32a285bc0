"""Small networks whose explanations can be calculated by hand, and helpers for tests."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from models.classifier import Classifier
from models.from_keras import from_keras
from models.geometry import Geometry
from models.head import LinearHead

SIDE = 16
# Tests of general properties use these methods. The other methods are slower or random and have tests of their own.
GENERAL = ("grad-cam", "cam", "saliency", "occlusion")


class CountingEngine:
    """Runs another engine and counts its `calls` and, in `passes`, their canvases. Call number `fail_at` fails."""

    def __init__(self, engine: Any, fail_at: int | None = None) -> None:
        self.engine, self.fail_at = engine, fail_at
        self.calls = self.passes = 0

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.calls += 1
        self.passes += len(batch)
        if self.calls == self.fail_at:
            raise RuntimeError("the engine broke")
        return self.engine.forward(batch)


class LinearEngine:
    """logits = weights . pixels + bias, one canvas at a time, so the result does not depend on the batch."""

    def __init__(self, weights: np.ndarray, bias: np.ndarray) -> None:
        self.weights, self.bias = weights, bias  # (h, w, 3, classes), (classes,)

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = [np.tensordot(canvas.astype(np.float64), self.weights, 3) + self.bias for canvas in batch]
        return batch.copy(), np.array(logits, np.float32)


class PixelHead:
    """A linear head for a network whose features are the pixels."""

    def __init__(self, weights: np.ndarray, bias: np.ndarray) -> None:
        self.weights, self.bias = weights, bias

    def logits(self, features: np.ndarray) -> np.ndarray:
        return np.tensordot(features, self.weights, 3) + self.bias

    def gradient(self, features: np.ndarray, objective: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.weights @ objective, features.shape)


class Plain(Classifier):
    """A classifier without TensorFlow. Its features are the pixels, so the head has the gradient of the pixels."""

    def gradient(self, batch: np.ndarray, objective: np.ndarray) -> np.ndarray:
        return self.head.gradient(batch, objective)


def linear(
    canvas: tuple[int, int] = (SIDE, SIDE), classes: int = 3, seed: int = 0, weights: np.ndarray | None = None
) -> Plain:
    """A classifier whose logits are linear in the pixels."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.01, (*canvas, 3, classes)) if weights is None else weights
    bias = rng.normal(0, 1, weights.shape[-1])
    labels = [f"class {i}" for i in range(weights.shape[-1])]
    return Plain("linear", labels, LinearEngine(weights, bias), PixelHead(weights, bias), _no_network, canvas)


def blank(canvas: tuple[int, int]) -> Plain:
    """A classifier with weights of zero, for tests of maps and pictures."""
    return linear(canvas, classes=2, weights=np.zeros((*canvas, 3, 2)))


def pooled(weights: np.ndarray, bias: np.ndarray, canvas: tuple[int, int] = (SIDE, SIDE), cell: int = 4) -> Classifier:
    """A classifier: mean over cells (the features), pooling, and one dense layer with `weights` (3, classes)."""

    class Engine:
        def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            n, h, w, c = batch.shape
            features = batch.reshape(n, h // cell, cell, w // cell, cell, c).mean((2, 4))
            return features, head.logits(features)

    head = LinearHead(weights, bias)
    return Classifier("pooled", [f"class {i}" for i in range(len(bias))], Engine(), head, _no_network, canvas)


def _no_network() -> Any:
    raise AssertionError("this classifier has no Keras network")


def unit(classes: int, index: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[index]


def picture(height: int = SIDE, width: int = SIDE, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def on_canvas(classifier: Classifier, pixels: np.ndarray) -> tuple[Geometry, np.ndarray]:
    geometry = classifier.geometry(pixels.shape[:2])
    return geometry, geometry.place(pixels)


@cache
def keras_net(kind: str, scale: float = 1.0, shift: float = 0.0, order: tuple[int, ...] = (0, 1, 2)) -> Any:
    """A seeded Keras model (SIDE, SIDE, 3) -> 3 softmax classes.

    "gap": convolution, BatchNorm, ReLU, pooling, dense; "flat": ... flatten, dense with ReLU, dense; "smooth": like gap,
    but tanh throughout; "mirror": like gap, with mirror-symmetric kernels. The logits are multiplied by
    `scale`, then `shift` is added. `order` is the order of the classes.
    """
    import keras
    from keras import layers

    def init(seed: int, spread: float) -> Any:
        return keras.initializers.RandomNormal(0, spread, seed=seed)

    act = "tanh" if kind == "smooth" else "relu"
    x = inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 127.5, -1)(x)
    for index, channels in enumerate((6, 8)):
        x = layers.Conv2D(channels, 3, padding="same", kernel_initializer=init(index, 0.3))(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation(act, name=f"act{index}")(x)
    if kind == "flat":
        x = layers.Flatten()(layers.MaxPooling2D(2)(x))
        x = layers.Dense(12, "relu", kernel_initializer=init(7, 0.1))(x)
    else:
        x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(3, kernel_initializer=init(8, 0.5))(x)
    model = keras.Model(inputs, layers.Softmax()(x), name=kind)
    rng = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([
                rng.uniform(-1, 1.5, gamma.shape), rng.normal(0, 0.3, beta.shape),
                rng.normal(0, 0.3, mean.shape), rng.uniform(0.5, 2, variance.shape),
            ])  # fmt: skip
        if kind == "mirror" and isinstance(layer, layers.Conv2D):
            kernel, bias = layer.get_weights()
            layer.set_weights([(kernel + kernel[:, ::-1]) / 2, bias])
    kernel, bias = model.layers[-2].get_weights()
    bias = bias + rng.normal(0, 0.5, 3)
    model.layers[-2].set_weights([(kernel * scale)[:, order], (bias * scale + shift)[list(order)]])
    return model


@cache
def two_outputs(canvas: tuple[int, int]) -> Any:
    """A seeded Keras network (pixels -> features, logits): two convolutions, pooling and a dense layer."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    pixels = keras.Input((*canvas, 3))
    x = layers.Conv2D(6, 3, strides=2, activation="relu")(layers.Rescaling(1 / 127.5, -1)(pixels))
    features = layers.Conv2D(9, 3, activation="relu")(x)
    logits = layers.Dense(4)(layers.GlobalAveragePooling2D()(features))
    return keras.Model(pixels, [features, logits], name="tiny")


def relative_gap(values: Any, truth: Any) -> float:
    """The largest difference, relative to the largest value of the truth."""
    return np.abs(values - np.asarray(truth)).max() / np.abs(np.asarray(truth)).max()


@cache
def small_classifier(
    kind: str, scale: float = 1.0, shift: float = 0.0, order: tuple[int, ...] = (0, 1, 2)
) -> Classifier:
    """`keras_net` as a classifier. A class keeps its label in any `order`."""
    return from_keras(keras_net(kind, scale, shift, order), [f"class {i}" for i in order])


def logits_of(model: Any) -> Any:
    """A `keras_net` without its softmax."""
    import keras

    return keras.Model(model.input, model.layers[-1].input)


@cache
def detector() -> Classifier:
    """Red pixels raise the logit of class "red", blue pixels that of "blue", and others none. Canvas (64, 64), cells of 4."""
    import keras
    from keras import layers

    detect = layers.Conv2D(2, 1, activation="relu", name="colours")
    kept = layers.Conv2D(2, 1, activation="relu", name="kept")
    dense = layers.Dense(2, activation="softmax")
    inputs = keras.Input((64, 64, 3))
    x = layers.GlobalAveragePooling2D()(kept(layers.AveragePooling2D(4)(detect(inputs))))
    model = keras.Model(inputs, dense(x), name="detector")
    colours = np.array([[1, -1], [-1, -1], [-1, 1]], np.float32) / 255  # r - g - b and b - r - g, each less 0.5
    detect.set_weights([colours[None, None], np.full(2, -0.5, np.float32)])
    kept.set_weights([np.eye(2, dtype=np.float32)[None, None], np.zeros(2, np.float32)])
    dense.set_weights([np.eye(2, dtype=np.float32) * 100, np.zeros(2, np.float32)])
    return from_keras(model, ["red", "blue"])
