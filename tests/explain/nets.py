"""Networks small enough that what they look at can be worked out on paper."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from models.classifier import Classifier
from models.geometry import Geometry
from models.head import LinearHead

SIDE = 16
# The methods of which the general properties are asserted; the others have tests of their own, and are slower or random.
GENERAL = ("grad-cam", "cam", "saliency", "occlusion")


class CountingEngine:
    """Runs another engine and counts: `calls`, and canvases in `passes`; it fails at call `fail_at`."""

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
    """logits = weights . pixels + bias, one canvas at a time, so that no batch changes a bit of it."""

    def __init__(self, weights: np.ndarray, bias: np.ndarray) -> None:
        self.weights, self.bias = weights, bias  # (h, w, 3, classes), (classes,)

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = [np.tensordot(canvas.astype(np.float64), self.weights, 3) + self.bias for canvas in batch]
        return batch.copy(), np.array(logits, np.float32)


class PixelHead:
    """The head behind features that are the pixels themselves."""

    def __init__(self, weights: np.ndarray, bias: np.ndarray) -> None:
        self.weights, self.bias = weights, bias

    def logits(self, features: np.ndarray) -> np.ndarray:
        return np.tensordot(features, self.weights, 3) + self.bias

    def gradient(self, features: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.weights @ target, features.shape)


class Plain(Classifier):
    """A classifier without TensorFlow: the pixels' gradient is the head's, as its features are the pixels."""

    def gradient(self, batch: np.ndarray, target: np.ndarray) -> np.ndarray:
        return self.head.gradient(batch, target)


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
    """A classifier with nothing to say, for tests of what happens to maps and pictures."""
    return linear(canvas, classes=2, weights=np.zeros((*canvas, 3, 2)))


def pooled(weights: np.ndarray, bias: np.ndarray, canvas: tuple[int, int] = (SIDE, SIDE), cell: int = 4) -> Classifier:
    """Features are pixels averaged over cells; pooling and one dense layer (3, classes) follow."""

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
    but tanh throughout; "mirror": like gap, with kernels that are their own mirror images. Its logits are multiplied by
    `scale`, `shift` is added to each, and its classes come in `order`.
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
def from_keras(kind: str, scale: float = 1.0, shift: float = 0.0, order: tuple[int, ...] = (0, 1, 2)) -> Classifier:
    """That model as a classifier, labelled by its classes whatever their order."""
    return Classifier.from_keras(keras_net(kind, scale, shift, order), [f"class {i}" for i in order])


def logits_of(model: Any) -> Any:
    """The user's own Keras model up to before its softmax."""
    import keras

    return keras.Model(model.input, model.layers[-1].input)


@cache
def detector() -> Classifier:
    """Fires on red for class "red" and on blue for class "blue"; nothing else moves it. Canvas (64, 64), cells of 4."""
    import keras
    from keras import layers

    seen = layers.Conv2D(2, 1, activation="relu", name="colours")
    kept = layers.Conv2D(2, 1, activation="relu", name="kept")
    dense = layers.Dense(2, activation="softmax")
    inputs = keras.Input((64, 64, 3))
    x = layers.GlobalAveragePooling2D()(kept(layers.AveragePooling2D(4)(seen(inputs))))
    model = keras.Model(inputs, dense(x), name="detector")
    colours = np.array([[1, -1], [-1, -1], [-1, 1]], np.float32) / 255  # r - g - b and b - r - g, each less 0.5
    seen.set_weights([colours[None, None], np.full(2, -0.5, np.float32)])
    kept.set_weights([np.eye(2, dtype=np.float32)[None, None], np.zeros(2, np.float32)])
    dense.set_weights([np.eye(2, dtype=np.float32) * 100, np.zeros(2, np.float32)])
    return Classifier.from_keras(model, ["red", "blue"])
