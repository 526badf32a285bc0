"""Networks whose maps get coarser from stage to stage: Grad-CAM takes the last map, and their attention is refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.errors import ModelError
from explain import explain
from models.from_keras import from_keras
from tests.transformers import discs, hierarchical


@pytest.mark.parametrize(("kind", "cells"), [("swin", 8), ("mobilevit", 8), ("convnext", 2)])
def test_the_last_map_is_explained(kind, cells):
    model, pixels = hierarchical(kind), discs(1, 5)[0][0]
    pooling = next(layer for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D))
    classifier = from_keras(model)
    assert classifier.features_layer == pooling.input._keras_history.operation.name
    assert not classifier.has_tokens
    batch = pixels[None].astype(np.float32)
    truth = np.asarray(model(batch, training=False))
    np.testing.assert_allclose(classifier.probabilities(classifier.logits(pixels))[None], truth, atol=1e-5)
    dense = model.layers[-1]
    inner = keras.Model(model.input, pooling.input)
    behind = keras.Model(pooling.input, dense.input)
    with tf.GradientTape() as tape:
        features = inner(batch, training=False)
        tape.watch(features)
        score = (behind(features, training=False) @ dense.kernel + dense.bias)[0, 1]
    expected = features[0] @ tf.reduce_mean(tape.gradient(score, features)[0], (0, 1))[:, None]
    found = explain(pixels, classifier, "grad-cam", 1).raw
    assert found.shape == (cells, cells)
    np.testing.assert_allclose(found, expected[..., 0], atol=1e-4 * float(np.abs(expected).max()))
    with pytest.raises(ModelError, match="attention between all of its tokens"):
        explain(pixels, classifier, "attention-rollout")
