"""CAM and Grad-CAM against identities between them and against gradients of the user's own Keras model."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import ModelError
from explain import explain
from models.classifier import Classifier
from tests.networks import SIDE, keras_net, picture, pooled, small_classifier

TOLERANCE = 1e-5


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float = TOLERANCE) -> None:
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max(), rtol=0)


def _evidence(classifier: Classifier, pixels: np.ndarray, target: int) -> tuple[float, float]:
    """(sum over cells of features times their gradient, logit)."""
    canvas = classifier.geometry(pixels.shape[:2]).place(pixels)[None]
    features, logits = classifier.forward(canvas)
    weights = np.zeros(len(classifier.labels), np.float32)
    weights[target] = 1
    gradient = classifier.head.gradient(features, weights)
    return float((features * gradient).sum(dtype=np.float64)), float(logits[0, target])


@pytest.mark.parametrize("target", [None, 3, 999])
def test_grad_cam_is_cam_over_the_number_of_cells(embedded: Classifier, cat_pixels: np.ndarray, target) -> None:
    cam = explain(cat_pixels, embedded, "cam", target)
    grad = explain(cat_pixels, embedded, "grad-cam", target)
    assert_close(grad.raw, cam.raw / cam.raw.size)
    assert_close(grad.heatmap, cam.heatmap)


@pytest.mark.parametrize("target", [0, 285])
def test_cells_sum_to_the_logit_less_its_bias(embedded: Classifier, cat_pixels: np.ndarray, target: int) -> None:
    evidence, logit = _evidence(embedded, cat_pixels, target)
    bias = float(embedded.head.bias[target])
    assert evidence == pytest.approx(logit - bias, abs=1e-3)
    grad = explain(cat_pixels, embedded, "grad-cam", target)
    assert float(grad.raw.sum(dtype=np.float64)) == pytest.approx(logit - bias, abs=1e-3)
    assert float(explain(cat_pixels, embedded, "cam", target).raw.mean()) == pytest.approx(logit - bias, abs=1e-3)


@pytest.mark.parametrize("target", [0, 1, 2])
def test_the_same_identities_on_a_keras_model(target: int) -> None:
    pixels, classifier, model = picture(), small_classifier("gap"), keras_net("gap")
    cam, grad = (explain(pixels, classifier, name, target) for name in ("cam", "grad-cam"))
    assert_close(grad.raw, cam.raw / SIDE**2)
    kernel, bias = model.layers[-2].get_weights()
    features = _activation(model, pixels)
    assert_close(cam.raw, np.einsum("hwc,c->hw", features, kernel[:, target]), 1e-4)
    evidence, logit = _evidence(classifier, pixels, target)
    assert evidence == pytest.approx(logit - bias[target], abs=1e-4)


def test_cam_by_hand() -> None:
    """Two by two cells of one colour each; weights that can be multiplied in the head."""
    classifier = pooled(np.array([[1, 0], [0, 2], [0, -1]]), np.array([0.5, -0.5]), cell=8)
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:8, :8], pixels[:8, 8:], pixels[8:, :8] = (10, 0, 0), (0, 20, 0), (1, 2, 30)
    assert explain(pixels, classifier, "cam", 0).raw.tolist() == [[10, 0], [1, 0]]
    assert explain(pixels, classifier, "cam", 1).raw.tolist() == [[0, 40], [4 - 30, 0]]
    assert explain(pixels, classifier, "grad-cam", 1).raw.tolist() == [[0, 10], [-6.5, 0]]


@pytest.mark.parametrize("kind", ["gap", "flat", "smooth"])
@pytest.mark.parametrize("target", [0, 2])
def test_grad_cam_is_that_of_the_original_model(kind: str, target: int) -> None:
    """Gradients of the logit by the last activation, taken from the model as the user built it."""
    pixels = picture()
    features, gradient = reference_gradient(keras_net(kind), pixels, target)
    expected = np.einsum("hwc,c->hw", features, gradient.mean((0, 1)))
    assert_close(explain(pixels, small_classifier(kind), "grad-cam", target).raw, expected, 1e-4)


def test_a_dense_head_is_not_global_pooling() -> None:
    """There, weighing channels by mean gradients and cell by cell are two different things (control for the identities)."""
    features, gradient = reference_gradient(keras_net("flat"), picture(), 0)
    found = explain(picture(), small_classifier("flat"), "grad-cam", 0).raw
    assert np.abs(found - (features * gradient).sum(-1)).max() > 0.1 * np.abs(found).max()


def test_the_layer_is_the_activation_after_batch_norm() -> None:
    """Not the convolution before it, whose map is another one."""
    model, pixels = keras_net("gap"), picture()
    classifier = small_classifier("gap")
    canvas = pixels[None].astype(np.float32)
    np.testing.assert_allclose(classifier.forward(canvas)[0][0], _activation(model, pixels), atol=1e-4)
    convolution, gradient = reference_gradient(model, pixels, 0, layer=5)
    assert type(model.layers[6]).__name__ == "BatchNormalization"
    wrong = np.einsum("hwc,c->hw", convolution, gradient.mean((0, 1)))
    found = explain(pixels, classifier, "grad-cam", 0).raw
    assert np.abs(found - wrong).max() > 0.1 * np.abs(found).max()


@pytest.mark.parametrize("method", ["cam", "grad-cam"])
def test_only_positive_evidence_is_shown(method: str) -> None:
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:8, :, 0], pixels[8:, :, 1] = 200, 250
    found = explain(pixels, pooled(np.array([[1], [-1], [0]]), np.zeros(1)), method, 0)
    assert found.raw.min() < 0 < found.raw.max()
    assert (found.heatmap[10:] == 0).all()
    assert (found.heatmap[:6] == 1).all()
    assert found.notes == ()


@pytest.mark.parametrize("method", ["cam", "grad-cam"])
def test_a_map_without_positive_evidence_says_so(method: str) -> None:
    pixels = np.full((SIDE, SIDE, 3), 50, np.uint8)
    found = explain(pixels, pooled(-np.ones((3, 1)), np.zeros(1)), method, 0)
    assert (found.heatmap == 0).all()
    assert (found.raw < 0).all()
    assert len(found.notes) == 1
    assert "zero everywhere" in found.notes[0]


def test_cam_refuses_other_heads_in_one_sentence() -> None:
    with pytest.raises(ModelError, match=r"^cam needs [^\n]*'flat'[^\n]*; choose grad-cam, [^\n]*\.$"):
        explain(picture(), small_classifier("flat"), "cam")


def _activation(model, pixels: np.ndarray) -> np.ndarray:
    import keras

    inner = keras.Model(model.input, model.get_layer("act1").output)
    return np.asarray(inner(pixels[None].astype(np.float32), training=False))[0]


def reference_gradient(
    model, pixels: np.ndarray, target: int, layer: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(activation, gradient of the logit by it) at a layer of the original, by running its layers one by one."""
    import tensorflow as tf

    at = model.layers.index(model.get_layer("act1")) if layer is None else layer
    x = tf.constant(pixels[None].astype(np.float32))
    for part in model.layers[1 : at + 1]:
        x = part(x, training=False)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = x
        for part in model.layers[at + 1 : -1]:  # the last is the softmax
            y = part(y, training=False)
        score = y[0, target]
    return x.numpy()[0], tape.gradient(score, x).numpy()[0]
