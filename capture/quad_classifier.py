"""How probably a quad is the border of a screen, a thumbnail on a web page, or a print, judged by its features.

Ensembles of small networks with two hidden layers over `candidates.quad_features`. The networks of an ensemble differ in their
random seed only, and their mean logit is less noisy than one network's. One ensemble learned from scenes with thumbnails, the
other from displays of every shape. `python -m scripts.fit_capture` trains them on composed scenes and plain pictures.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

THUMBNAILS, DISPLAYS = (Path(__file__).with_name(f"{name}_classifier.npz") for name in ("quad", "display"))


@cache
def layers(weights: Path) -> tuple[np.ndarray, ...]:
    """Weights and biases of an ensemble, from its file."""
    with np.load(weights, allow_pickle=False) as file:
        return tuple(file[name] for name in ("w1", "b1", "w2", "b2", "w3", "b3"))


def score(features: np.ndarray, weights: Path) -> np.ndarray:
    """Features (N, F) of quads -> the mean logits (N,) of an ensemble's networks, in [-30, 30]."""
    w1, b1, w2, b2, w3, b3 = layers(weights)  # each (networks, inputs, outputs)
    hidden = np.maximum(features @ w1 + b1, 0)
    hidden = np.maximum(hidden @ w2 + b2, 0)
    return np.asarray(np.clip((hidden @ w3 + b3)[..., 0].mean(0), -30, 30))
