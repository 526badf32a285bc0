"""What must not matter: the scale and offset of the logits, the order of classes, which way round the picture is."""

from __future__ import annotations

import numpy as np
import pytest

from explain import explain
from tests.networks import GENERAL, linear, picture, small_classifier

NOISY = {"smoothgrad", "vargrad"}  # the noise is not mirrored
EVEN = {"occlusion": {"patch": 4, "stride": 2}, "finite-differences": {"grid": 8}}
GRADIENTS = ["cam", "grad-cam", "saliency"]


@pytest.mark.parametrize("method", GRADIENTS)
@pytest.mark.parametrize(("scale", "shift"), [(2.0, 0.0), (100.0, 0.0), (1.0, 25.0)])
@pytest.mark.parametrize("target", [0, 1, 2])
def test_scale_and_offset_of_the_logits(method: str, scale: float, shift: float, target: int) -> None:
    """A hundredfold saturates the softmax: what reads probabilities by accident goes blank there."""
    pixels = picture()
    plain = explain(pixels, small_classifier("gap"), method, target)
    other = explain(pixels, small_classifier("gap", scale=scale, shift=shift), method, target)
    np.testing.assert_allclose(other.heatmap, plain.heatmap, atol=2e-4)
    np.testing.assert_allclose(other.raw, plain.raw * scale, atol=2e-4 * scale * np.abs(plain.raw).max())
    if scale == 100:
        assert max(p.probability for p in other.top) > 0.999


@pytest.mark.parametrize("method", GENERAL)
def test_the_order_of_classes(method: str) -> None:
    pixels, order = picture(), (2, 0, 1)
    for label in ("class 0", "class 1", "class 2"):
        one = explain(pixels, small_classifier("gap"), method, label)
        other = explain(pixels, small_classifier("gap", order=order), method, label)
        np.testing.assert_allclose(other.heatmap, one.heatmap, atol=1e-4)
        assert other.class_index == order.index(one.class_index)
        assert other.probability == pytest.approx(one.probability, abs=1e-5)


@pytest.mark.parametrize("method", [method for method in GENERAL if method not in NOISY])
def test_a_mirrored_picture_has_a_mirrored_map(method: str) -> None:
    options = EVEN.get(method, {})
    pixels, classifier = picture(), small_classifier("mirror")
    one = explain(pixels, classifier, method, 1, **options)
    other = explain(pixels[:, ::-1], classifier, method, 1, **options)
    size = np.abs(one.raw).max()
    np.testing.assert_allclose(other.raw, one.raw[:, ::-1], atol=2e-4 * size)
    np.testing.assert_allclose(other.heatmap, one.heatmap[:, ::-1], atol=5e-4)
    assert np.abs(one.raw - one.raw[:, ::-1]).max() > 0.1 * size


def test_occlusion_follows_the_logits_not_the_probabilities() -> None:
    """Ten times the weights of a linear model are ten times the drops."""
    one = linear()
    ten = linear(weights=one.head.weights * 10)
    a, b = (explain(picture(), c, "occlusion", 0, patch=4, stride=4) for c in (one, ten))
    np.testing.assert_allclose(b.raw, a.raw * 10, atol=2e-3)
