"""Finer-CAM: a closed form with a linear head, the cases in which it is Grad-CAM, and the finer canvas."""

from __future__ import annotations

import numpy as np
import pytest

from explain import explain
from explain.methods.cam import oppose_rivals
from explain.view import View
from models.classifier import Classifier, softmax
from tests.networks import picture, pooled, unit

RNG = np.random.default_rng(4)


def many_classes() -> Classifier:
    return pooled(RNG.normal(size=(3, 6)) / 60, RNG.normal(size=6))


@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_it_is_the_map_of_the_class_minus_the_weighted_maps_of_its_rivals(strength: float) -> None:
    classifier = many_classes()
    found = explain(picture(), classifier, "finer-cam", 1, rivals=2, strength=strength)
    logits = classifier.forward(classifier.geometry((16, 16)).place(picture())[None])[1][0]
    first, second = [index for index in np.argsort(-logits) if index != 1][:2]
    shares = np.exp(logits[[first, second]]) / np.exp(logits[[first, second]]).sum()
    maps = {index: explain(picture(), classifier, "grad-cam", int(index)).raw for index in (1, first, second)}
    expected = maps[1] - strength * (shares[0] * maps[first] + shares[1] * maps[second])
    np.testing.assert_allclose(found.raw, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("options", [{"strength": 0.0}, {"rivals": 1, "strength": 0.0}])
def test_without_strength_it_is_grad_cam(options: dict[str, float]) -> None:
    classifier = many_classes()
    found, grad = (
        explain(picture(), classifier, "finer-cam", 2, **options),
        explain(picture(), classifier, "grad-cam", 2),
    )
    np.testing.assert_allclose(found.raw, grad.raw, atol=1e-6)


def test_a_contrast_that_the_user_chose_stays() -> None:
    classifier = many_classes()
    found, grad = (explain(picture(), classifier, name, 2, against=4) for name in ("finer-cam", "grad-cam"))
    np.testing.assert_array_equal(found.raw, grad.raw)


def test_the_weights_of_the_rivals_sum_to_the_strength() -> None:
    view = View(many_classes(), many_classes().geometry((16, 16)), picture())
    opposed = oppose_rivals(view, unit(6, 3), 4, 0.5)
    assert opposed[3] == 1
    assert (opposed < 0).sum() == 4
    assert opposed[opposed < 0].sum() == pytest.approx(-0.5)
    everyone = oppose_rivals(view, unit(6, 3), 1000)
    others = np.delete(view.logits, 3)
    np.testing.assert_allclose(np.delete(everyone, 3), -softmax(others), rtol=1e-5)


def test_the_finer_map_is_that_of_the_larger_canvas_and_the_prediction_is_not(
    mobilenet, cat_pixels: np.ndarray
) -> None:
    """With a square picture, whose canvas is 224x224 and 448x448."""
    pixels = np.ascontiguousarray(cat_pixels[:300, :300])
    plain, larger = (explain(pixels, mobilenet, "grad-cam", side=side) for side in (224, 448))
    found = explain(pixels, mobilenet, "finer-cam", larger.class_index, strength=0.0, zoom=2)
    np.testing.assert_allclose(found.raw, larger.raw, atol=1e-5 * np.abs(larger.raw).max())
    assert found.top == plain.top
    assert found.parameters["canvas"] == (224, 224)
    assert found.forward_passes == 2
    assert found.notes == ("The prediction was made on a canvas of 224x224, the map on one of 448x448.",)


@pytest.mark.parametrize("size", [(100, 700), (64, 512), (37, 53)])
def test_the_picture_fills_the_same_part_of_the_finer_canvas(mobilenet, size: tuple[int, int]) -> None:
    view = View(mobilenet, mobilenet.geometry(size), picture(*size))
    finer = view.zoomed(2, unit(1000, 0))
    assert finer.geometry.canvas == tuple(2 * side for side in view.geometry.canvas)
    assert finer.geometry.box == tuple(2 * length for length in view.geometry.box)
    np.testing.assert_array_equal(finer.canvas, finer.geometry.place(picture(*size)))
    assert view.forward_passes == 2


def test_a_canvas_is_not_finer_than_1024(mobilenet) -> None:
    view = View(mobilenet, mobilenet.geometry((32, 32), 512), picture(32, 32))
    assert view.zoomed(4, unit(1000, 0)).geometry.canvas == (1024, 1024)
    fixed = View(many_classes(), many_classes().geometry((16, 16)), picture())
    assert fixed.zoomed(2, unit(6, 0)) is fixed


def test_the_finer_map_is_that_of_the_same_layer(mobilenet) -> None:
    layer = (
        "block_12_expand_relu" if "block_12_expand_relu" in mobilenet.channels() else next(iter(mobilenet.channels()))
    )
    pixels = picture(96, 96)
    found = explain(pixels, mobilenet, "finer-cam", 7, side=96, layer=layer, strength=0.0, zoom=2)
    expected = explain(pixels, mobilenet, "grad-cam", 7, side=192, layer=layer)
    np.testing.assert_allclose(found.raw, expected.raw, atol=1e-4 * np.abs(expected.raw).max())
