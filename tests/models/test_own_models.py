"""Models that people ask to have explained: each ends in the right value, or in one sentence that says what to do."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from core.errors import ModelError, UserError
from models.from_keras import from_keras
from models.preprocessing import photographs
from tests.models.test_from_keras import Eager

SIZE = (32, 32, 3)
BATCH = photographs(SIZE[:2])


def features(pixels: Any) -> Any:
    return layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3, activation="relu")(pixels / 255.0))


def ending(*last: Any, units: int = 4, shape: tuple[int, ...] = SIZE, inside: Any = None) -> keras.Model:
    """Convolution and pooling, a dense layer, then other layers."""
    pixels = keras.Input(shape)
    x = layers.Dense(units, kernel_initializer="he_normal")(features(inside(pixels) if inside else pixels))
    for layer in last:
        x = layer(x)
    return keras.Model(pixels, x)


class Softmax5(layers.Layer):
    def call(self, x: Any) -> Any:
        return ops.softmax(x * 5.0)


class OwnWithoutConfig(layers.Layer):
    def __init__(self, filters: int) -> None:
        super().__init__()
        self.conv = layers.Conv2D(filters, 3, activation="relu")

    def call(self, x: Any) -> Any:
        return self.conv(x)


class Sub(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = layers.Conv2D(8, 3, activation="relu"), layers.GlobalAveragePooling2D()
        self.c = layers.Dense(3, activation="softmax")

    def call(self, x: Any) -> Any:
        return self.c(self.b(self.a(x / 255.0)))


def subclassed() -> keras.Model:
    model = Sub()
    model(BATCH)
    return model


def in_a(form: Callable[[Any], Any]) -> Callable[[], keras.Model]:
    def build() -> keras.Model:
        model = ending(layers.Softmax())
        return keras.Model(model.inputs[0], form(model.outputs[0]))

    return build


def nested_list() -> keras.Model:
    model = ending(layers.Softmax())
    return keras.Sequential([keras.Input(SIZE), keras.Model(model.inputs[0], [model.outputs[0]])])


def no_convolution() -> keras.Model:
    pixels = keras.Input(SIZE)
    x = layers.Dense(32, activation="relu")(layers.Flatten()(pixels / 255.0))
    return keras.Model(pixels, layers.Dense(3, activation="softmax")(x))


def two_branches() -> keras.Model:
    pixels = keras.Input(SIZE)
    return keras.Model(
        pixels,
        layers.Dense(3, activation="softmax")(layers.Concatenate()([features(pixels), features(pixels)])),
    )


def ensemble() -> keras.Model:
    pixels = keras.Input(SIZE)
    return keras.Model(pixels, layers.Average()([ending(layers.Softmax())(pixels) for _ in range(2)]))


def two_outputs() -> keras.Model:
    model = ending(layers.Softmax())
    return keras.Model(model.inputs[0], [model.outputs[0], model.layers[-2].output])


def compiled(model: keras.Model, loss: Any) -> keras.Model:
    model.compile("adam", loss)
    return model


def own_layer() -> keras.Model:
    pixels = keras.Input(SIZE)
    x = layers.GlobalAveragePooling2D()(OwnWithoutConfig(8)(pixels / 255.0))
    return keras.Model(pixels, layers.Dense(3, activation="softmax")(x))


def grey(batch: np.ndarray) -> np.ndarray:
    return np.float32(batch @ np.float32([[0.299], [0.587], [0.114]]))


# The model, how its own input is made from RGB, and how its outputs become probabilities.
RIGHT: dict[str, tuple[Callable[[], Any], Callable, Callable]] = {
    "an input in a list": (lambda: keras.Model([(m := ending(layers.Softmax())).inputs[0]], m.outputs[0]), list, np.asarray),
    "an output in a list": (in_a(lambda y: [y]), np.asarray, lambda y: y[0] if isinstance(y, list) else y),
    "an output in a dict": (in_a(lambda y: {"probs": y}), np.asarray, lambda y: y["probs"]),
    "a nested model with a list": (nested_list, np.asarray, lambda y: y[0] if isinstance(y, list) else y),
    "grey, as MNIST and X-rays": (lambda: ending(layers.Softmax(), shape=(32, 32, 1)), grey, np.asarray),
    "channels first": (
        lambda: ending(layers.Softmax(), shape=(3, 32, 32), inside=layers.Permute((2, 3, 1))),
        lambda x: x.transpose(0, 3, 1, 2), np.asarray,
    ),
    "RGBA": (
        lambda: ending(layers.Softmax(), shape=(32, 32, 4)), lambda x: np.pad(x, [(0, 0)] * 3 + [(0, 1)], constant_values=255),
        np.asarray,
    ),
    "no convolution": (no_convolution, np.asarray, np.asarray),
    "two branches joined after pooling": (two_branches, np.asarray, np.asarray),
    "the mean of two models": (ensemble, np.asarray, np.asarray),
    "a softmax with temperature in a Lambda": (
        lambda: ending(layers.Lambda(lambda z: ops.softmax(z / 2))), np.asarray, np.asarray,
    ),
    "a namesake of softmax with 21843 classes": (lambda: ending(Softmax5(), units=21843), np.asarray, np.asarray),
    "an own layer without get_config": (own_layer, np.asarray, np.asarray),
    "a subclassed model": (subclassed, np.asarray, np.asarray),
    "multi-label from logits": (
        lambda: compiled(ending(units=5), keras.losses.BinaryCrossentropy(from_logits=True)), np.asarray, ops.sigmoid,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RIGHT)
def test_it_ends_in_the_right_value(case: str) -> None:
    keras.utils.set_random_seed(0)
    build, adapt, finish = RIGHT[case]
    model = build()
    classifier = from_keras(model, engine=Eager)
    inputs = [np.asarray(BATCH)] if adapt is list else adapt(BATCH)
    truth = np.asarray(finish(model(inputs)))
    logits = classifier.forward(BATCH)[1]
    np.testing.assert_allclose(classifier.probabilities(logits), truth, rtol=1e-4, atol=1e-6)
    assert np.isfinite(classifier.gradient(BATCH[:1], classifier.objective(0))).all()


def forgetful() -> keras.Model:
    class Forgetful(layers.Layer):
        def __init__(self, factor: float = 1.0, **options: Any) -> None:
            super().__init__(**options)
            self.factor = factor

        def call(self, x: Any) -> Any:
            return x * self.factor

        def get_config(self) -> dict[str, Any]:
            return super().get_config()

    pixels = keras.Input(SIZE)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(16, 3, activation="relu")(pixels))
    return keras.Model(pixels, layers.Dense(4, activation="softmax")(Forgetful(3.0)(x)))


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a softmax of one unit": (lambda: ending(layers.Softmax(), units=1), "softmax of one unit, which is always 1"),
    "tanh": (lambda: ending(layers.Activation("tanh"), units=1), "ends with tanh"),
    "a regression": (lambda: compiled(ending(units=1), "mse"), "trained as a regression"),
    "an embedding": (lambda: ending(layers.UnitNormalization(), units=64), "an embedding: 64 numbers"),
    "two outputs": (two_outputs, "choose one, such as output="),
    "a layer that forgets its factor": (forgetful, "get_config"),
    "a path": (lambda: "my.keras", "models.open_model"),
    "a Sequential that was not built": (
        lambda: keras.Sequential([layers.Conv2D(8, 3), layers.GlobalAveragePooling2D(), layers.Dense(3)]),
        "start it with keras.Input",
    ),
    "a subclassed model that was never called": (Sub, "call it once"),
    "labels for another model": (lambda: ending(layers.Softmax(), units=3), "3 classes and 4 labels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_ends_in_a_sentence_that_says_what_to_do(case: str) -> None:
    build, reason = REFUSED[case]
    labels = list(itertools.islice("abcd", 4)) if case.startswith("labels") else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras itself warns about a softmax of one unit
        model = build()
        with pytest.raises(ModelError, match=reason) as error:
            from_keras(model, labels, engine=Eager)
    assert isinstance(error.value, UserError)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")
