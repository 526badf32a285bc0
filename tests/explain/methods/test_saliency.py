"""Saliency against gradients of the user's own model, finite differences, and a linear model's weights."""

from __future__ import annotations

import numpy as np
import pytest

from explain import explain
from models.from_keras import from_keras
from tests.networks import SIDE, keras_net, linear, logits_of, picture, small_classifier


@pytest.mark.parametrize("target", [0, 2])
def test_a_linear_model_gives_its_weights(target: int) -> None:
    classifier = linear()
    found = explain(picture(), classifier, "saliency", target)
    np.testing.assert_allclose(found.raw, np.abs(classifier.head.weights[..., target]).max(-1), rtol=1e-6)


def test_a_linear_keras_model_gives_the_weights_that_probing_finds() -> None:
    """w from f(e_i) - f(0), which knows nothing of gradients."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)])
    basis = np.eye(SIDE * SIDE * 3, dtype=np.float32).reshape(-1, SIDE, SIDE, 3)
    weights = np.asarray(model(basis)) - np.asarray(model(np.zeros((1, SIDE, SIDE, 3), np.float32)))
    found = explain(picture(), from_keras(model), "saliency", 1)
    expected = np.abs(weights[:, 1].reshape(SIDE, SIDE, 3)).max(-1)
    np.testing.assert_allclose(found.raw, expected, atol=1e-5 * expected.max())


@pytest.mark.parametrize("kind", ["gap", "flat", "smooth"])
@pytest.mark.parametrize("target", [0, 1])
def test_it_is_the_gradient_of_the_original_model(kind: str, target: int) -> None:
    import tensorflow as tf

    pixels, network = picture(), logits_of(keras_net(kind))
    x = tf.constant(pixels[None].astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = network(x, training=False)[0, target]
    expected = np.abs(tape.gradient(score, x).numpy()[0]).max(-1)
    found = explain(pixels, small_classifier(kind), "saliency", target)
    np.testing.assert_allclose(found.raw, expected, atol=1e-4 * expected.max())
    assert (found.forward_passes, found.backward_passes) == (1, 1)


@pytest.mark.parametrize("pixel", [(0, 0), (7, 8), (15, 3)])
def test_central_differences(pixel: tuple[int, int]) -> None:
    """On a smooth network, through the forward pass only."""
    classifier, pixels, step = small_classifier("smooth"), picture(), 4.0
    slopes = []
    for channel in range(3):
        batch = np.repeat(pixels[None].astype(np.float32), 2, 0)
        batch[0, *pixel, channel] += step
        batch[1, *pixel, channel] -= step
        up, down = classifier.forward(batch)[1][:, 0]
        slopes.append(abs(up - down) / (2 * step))
    found = explain(pixels, classifier, "saliency", 0).raw
    assert found[pixel] == pytest.approx(max(slopes), rel=0.02, abs=2e-6)


def test_a_step_along_the_gradient_raises_the_score_as_it_says(mobilenet, cat_pixels: np.ndarray) -> None:
    """The TensorFlow gradient of the embedded network, checked by its LiteRT forward pass."""
    canvas = mobilenet.geometry(cat_pixels.shape[:2]).place(cat_pixels)[None]
    target = np.zeros(1000, np.float32)
    target[285] = 1
    gradient = mobilenet.gradient(canvas, target)
    step = gradient * (0.05 / np.sqrt((gradient**2).sum()))  # small enough to cross few kinks of the ReLUs
    up, down = (float(mobilenet.forward(canvas + sign * step)[1][0, 285]) for sign in (1, -1))
    assert up - down == pytest.approx(2 * float((gradient * step).sum()), rel=0.05)
    found = explain(cat_pixels, mobilenet, "saliency", 285).raw
    np.testing.assert_allclose(found, np.abs(gradient[0]).max(-1), rtol=1e-5, atol=1e-9)


def test_the_scale_bends_where_the_method_says() -> None:
    """The 99th percentile has nine tenths of the heat and the maximum has 1; below and above, the heat is in proportion."""
    weights = np.zeros((SIDE, SIDE, 3, 1))
    weights[..., 0, 0] = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    heat = explain(picture(), linear(weights=weights), "saliency", 0).heatmap.ravel()
    values = np.arange(SIDE * SIDE)
    expected = np.interp(values, [0, np.percentile(values, 99), values[-1]], [0, 0.9, 1])
    np.testing.assert_allclose(heat, expected, atol=1e-6)
