"""Adversarial patches on a model whose best patch is known."""

from __future__ import annotations

import numpy as np

from robustness.patch import train_patch
from tests.networks import linear


def test_a_patch_grows_the_colour_that_the_model_counts() -> None:
    """Red less green and blue, anywhere: the best patch is pure red, and wins at every place of both pictures."""
    weights = np.zeros((64, 64, 3, 2))
    weights[..., 0] = np.array([1, -1, -1]) / 1e5
    classifier = linear((64, 64), weights=weights)
    classifier.engine.bias = classifier.head.bias = np.array([0, -3.0])
    blue = np.full((64, 64, 3), (10, 10, 230), np.uint8)
    assert classifier.predict(blue, 1)[0].label == "class 1"
    *_, patch = train_patch([blue, blue[:, 4:]], classifier, "class 0", share=0.85, steps=40)
    assert patch.pixels.shape == (51, 51, 3)
    np.testing.assert_array_equal(patch.pixels, np.broadcast_to([255, 0, 0], patch.pixels.shape))
    assert patch.rate == 1
    assert classifier.predict(patch.example, 1)[0].label == "class 0"
    assert (patch.example != blue).any(-1).sum() == 51 * 51
