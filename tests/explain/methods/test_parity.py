"""Ours against the definitions written out in plain TensorFlow, on the embedded network and a photograph.

`python -m benchmarks.parity` holds the same methods against the libraries people use.
"""

from __future__ import annotations

import numpy as np
import pytest

from core import images
from explain import explain
from models.classifier import Classifier

CLASS = 285  # Egyptian cat


@pytest.fixture(scope="module")
def pixels(cat_pixels: np.ndarray) -> np.ndarray:
    return images.resize(cat_pixels, (224, 224))


@pytest.fixture(scope="module")
def network(mobilenet: Classifier):
    return mobilenet._build_network()


def _gradient(network, canvases: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features A, d y / d A and d y / d pixels of the logit y."""
    import tensorflow as tf

    x = tf.constant(canvases.astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        features, logits = network(x, training=False)
        score = logits[:, CLASS]
    return features.numpy(), *(found.numpy() for found in tape.gradient(score, [features, x]))


def _alike(found: np.ndarray, wanted: np.ndarray, tolerance: float = 2e-3) -> None:
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max()


def _nearly(found: np.ndarray, wanted: np.ndarray) -> None:
    """Alike but for what a ReLU here and there lets through that rounding has opened or shut."""
    assert np.linalg.norm(found - wanted) <= 0.02 * np.linalg.norm(wanted)


def test_maps_of_features_and_pixels(mobilenet: Classifier, network, pixels: np.ndarray) -> None:
    (a,), (g,), (x,) = _gradient(network, pixels[None])

    def ours(method: str) -> np.ndarray:
        return explain(pixels, mobilenet, method, CLASS).raw

    _alike(ours("grad-cam"), (a * g.mean((0, 1))).sum(-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.nan_to_num(g**2 / (2 * g**2 + a.sum((0, 1)) * g**3))
    _alike(ours("grad-cam++"), (a * (shares * np.maximum(g, 0)).sum((0, 1))).sum(-1))
    _alike(ours("layer-cam"), (a * np.maximum(g, 0)).sum(-1))
    _alike(ours("hires-cam"), (a * g).sum(-1))
    _nearly(ours("saliency"), np.abs(x).max(-1))
    _nearly(ours("gradient-x-input"), (pixels * x).sum(-1))


def test_integrated_gradients(mobilenet: Classifier, network, pixels: np.ndarray) -> None:
    """The definition by the Gauss-Legendre rule of eight points, from black."""
    places, shares = np.polynomial.legendre.leggauss(8)
    way = ((places + 1) / 2)[:, None, None, None] * pixels.astype(np.float32)
    slopes = _gradient(network, way.astype(np.float32))[2]
    wanted = (np.tensordot(shares / 2, slopes, 1) * pixels).sum(-1)
    _nearly(explain(pixels, mobilenet, "integrated-gradients", CLASS, steps=8).raw, wanted)


def test_occlusion(mobilenet: Classifier, network, pixels: np.ndarray) -> None:
    canvases = np.repeat(pixels[None].astype(np.float32), 17, 0)
    tiles = [np.s_[y : y + 56, x : x + 56] for y in range(0, 224, 56) for x in range(0, 224, 56)]
    for canvas, tile in zip(canvases[1:], tiles, strict=True):
        canvas[tile] = 0
    logits = np.asarray(network(canvases, training=False)[1])[:, CLASS]
    wanted = np.zeros((224, 224))
    for tile, logit in zip(tiles, logits[1:], strict=True):
        wanted[tile] = logits[0] - logit
    _alike(explain(pixels, mobilenet, "occlusion", CLASS, patch=56, stride=56, fill="black").raw, wanted)
