"""The score of a quad by its features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from capture import quad_classifier


@pytest.mark.parametrize("weights", [quad_classifier.THUMBNAILS, quad_classifier.DISPLAYS], ids=lambda path: path.stem)
def test_the_score_is_the_mean_logit_of_the_networks(weights: Path) -> None:
    rng = np.random.default_rng(0)
    w1, b1, w2, b2, w3, b3 = layers = quad_classifier.layers(weights)
    features = rng.normal(size=(5, w1.shape[1])).astype(np.float32)
    logits = []
    for n in range(len(w1)):
        hidden = np.maximum(np.maximum(features @ w1[n] + b1[n], 0) @ w2[n] + b2[n], 0)
        logits.append(hidden @ w3[n, :, 0] + b3[n, 0])
    assert len(logits) > 1
    assert all(len(layer) == len(logits) for layer in layers)
    wanted = np.clip(np.mean(logits, 0), -30, 30)
    assert quad_classifier.score(features, weights) == pytest.approx(wanted, rel=1e-4)
