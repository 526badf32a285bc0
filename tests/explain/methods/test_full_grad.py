"""FullGrad: the terms sum to the score, for networks of all kinds, and a small network worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from explain import explain
from models.from_keras import from_keras
from models.gradients import FullGradient
from tests.explain.methods.test_cam import assert_close
from tests.networks import SIDE, picture, small_classifier, two_outputs

KERNEL = np.array([[0.021, -0.013], [-0.03, 0.02], [0.01, 0.02]])  # of a 1x1 convolution: (3, 2)
BIAS, WEIGHTS = np.array([0.5, -1.0]), np.array([[1.0, -1.0], [-2.0, 0.5]])


def _by_hand(cap: float | None = None, bias: np.ndarray = BIAS, rows: bool = False) -> Any:
    """A 1x1 convolution, a ReLU with or without a cap, pooling and a dense layer (2, 2). `rows`: pools eleven rows first."""
    import keras
    from keras import layers

    inputs = keras.Input((SIDE, SIDE, 3))
    convolution, dense = layers.Conv2D(2, 1), layers.Dense(2)
    x = layers.ReLU(max_value=cap)(convolution(inputs))
    x = keras.ops.mean(x[:, :11], 1, keepdims=True) if rows else x
    model = keras.Model(inputs, layers.Softmax()(dense(layers.GlobalAveragePooling2D()(x))))
    convolution.set_weights([KERNEL[None, None], bias])
    dense.set_weights([WEIGHTS, np.zeros(2)])
    return from_keras(model, ["first", "second"])


def _share(term: np.ndarray) -> np.ndarray:
    return np.abs(term).sum(-1) / np.abs(term).max()


@pytest.mark.parametrize("cap", [None, 2.0])
def test_a_network_by_hand(cap: float | None) -> None:
    """The terms of pixels, of the bias of the convolution, and of a ReLU at its cap, which is a bias too."""
    pixels = picture().astype(float)
    activation = pixels @ KERNEL + BIAS
    on = (activation > 0) & (activation < (cap or np.inf))
    assert 0.1 < on.mean() < 0.9
    slope = WEIGHTS[:, 1] / SIDE**2
    terms = [pixels * ((slope * on) @ KERNEL.T), slope * on * BIAS]
    if cap:
        terms.append(slope * np.where(activation >= cap, cap, 0))
    found = explain(picture(), _by_hand(cap), "full-grad", "second")
    assert_close(found.raw, sum(_share(term) for term in terms), 1e-4)
    score = float(np.clip(activation, 0, cap).mean((0, 1)) @ WEIGHTS[:, 1])
    assert sum(term.sum() for term in terms) == pytest.approx(score)
    assert found.notes[-1] == f"The terms sum to {score:.3f}; the score is {score:.3f}."
    assert (found.forward_passes, found.backward_passes) == (1, 1)


def test_without_biases_it_is_gradient_x_input() -> None:
    """A mean has no bias, but its output differs from J a by rounding."""
    classifier = _by_hand(bias=np.zeros(2), rows=True)
    gradient = classifier.gradient(picture()[None].astype(np.float32), np.float32([1, 0]))[0]
    assert_close(explain(picture(), classifier, "full-grad", "first").raw, _share(picture() * gradient), 1e-4)


def _gated() -> Any:
    """Products, concatenations and activations without a corner: no network of ReLUs."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(2)
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(6, 3, strides=2, activation="swish")(layers.Rescaling(1 / 127.5, -1)(inputs))
    gate = layers.Dense(6, "sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Concatenate()([layers.Multiply()([x, gate]), layers.LayerNormalization()(x)])
    features = layers.LeakyReLU()(layers.BatchNormalization()(layers.MaxPooling2D(2)(x)))
    return keras.Model(inputs, [features, layers.Dense(4)(layers.Flatten()(features))])


NETWORKS: dict[str, Callable[[], Any]] = {
    "ReLU": lambda: small_classifier("gap").cached("itself", lambda network: network),
    "max pooling, dense ReLU": lambda: small_classifier("flat").cached("itself", lambda network: network),
    "ReLU in the convolution": lambda: two_outputs((SIDE, SIDE)),
    "tanh": lambda: small_classifier("smooth").cached("itself", lambda network: network),
    "gates": _gated,
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_terms_sum_to_the_score(kind: str) -> None:
    """For one class and for the difference of two; every map is in [0, channels]."""
    network = NETWORKS[kind]()
    full, batch = FullGradient(network), picture()[None].astype(np.float32)
    logits = np.asarray(network(batch, training=False)[1])[0]
    for weights in ((1, 0, 0), (0, 1, -1)):
        objective = np.zeros(len(logits), np.float32)
        objective[:3] = weights
        total, maps = full(batch, objective)
        assert total == pytest.approx(float(logits @ objective), abs=1e-4)
        assert len(maps) > 3
        assert all((each >= 0).all() and np.isfinite(each).all() for each in maps)


def test_the_terms_sum_to_the_score_of_mobilenet(mobilenet, cat_pixels: np.ndarray) -> None:
    canvas = mobilenet.geometry(cat_pixels.shape[:2]).place(cat_pixels)[None]
    objective = mobilenet.objective(285)
    total, maps = mobilenet.full_gradient(canvas, objective)
    assert total == pytest.approx(float(mobilenet.forward(canvas)[1][0] @ objective), abs=0.01)
    assert sum(each.max() > 0 for each in maps) > 52  # of the pixels and of 52 convolutions
