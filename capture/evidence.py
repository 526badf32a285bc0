"""How probable it is that a quad is the edge of a screen, a thumbnail on a page, or a print.

A network of two small layers over the measures of `quads.features`. `python -m benchmarks.fit_screens` makes its weights
from composed scenes and plain pictures.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

WEIGHTS = Path(__file__).with_name("evidence.npz")


@cache
def _layers() -> tuple[np.ndarray, ...]:
    with np.load(WEIGHTS, allow_pickle=False) as file:
        return tuple(file[name] for name in ("w1", "b1", "w2", "b2", "w3", "b3"))


def score(features: np.ndarray) -> np.ndarray:
    """Features (N, F) of quads -> probabilities (N,)."""
    w1, b1, w2, b2, w3, b3 = _layers()
    hidden = np.maximum(features @ w1 + b1, 0)
    hidden = np.maximum(hidden @ w2 + b2, 0)
    return 1 / (1 + np.exp(-np.clip(hidden @ w3 + b3, -30, 30)))
