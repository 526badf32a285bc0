"""How probable it is that a quad is the edge of a screen, a thumbnail on a page, or a print.

Networks of two small layers over the measures of `quads.features`, equal but for the seed they started from: where one is
wrong by chance the others seldom are. `python -m benchmarks.fit_screens` makes their weights from composed scenes and plain
pictures.
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
    """Features (N, F) of quads -> probabilities (N,), of the networks' mean logits."""
    w1, b1, w2, b2, w3, b3 = _layers()  # each (networks, from, to)
    hidden = np.maximum(features @ w1 + b1, 0)
    hidden = np.maximum(hidden @ w2 + b2, 0)
    logits = (hidden @ w3 + b3)[..., 0].mean(0)
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
