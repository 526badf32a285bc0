"""Log odds: a class's logit against all others together, which is what an attack moves.

Their gradient is in the direction of the cross-entropy's, but does not vanish where the class is certain.
"""

from __future__ import annotations

import numpy as np


def log_odds(logits: np.ndarray, index: int) -> float:
    """log(p / (1 - p)) of a class under softmax, for logits (classes,)."""
    rest = np.delete(logits, index).astype(np.float64)
    highest = rest.max()
    return float(logits[index] - highest - np.log(np.exp(rest - highest).sum()))


def weights(logits: np.ndarray, index: int) -> np.ndarray:
    """The gradient of the log odds by logits (..., classes): 1 for the class, and -1 shared out among the others."""
    rest = logits.astype(np.float64)
    rest[..., index] = -np.inf
    shares = np.exp(rest - rest.max(-1, keepdims=True))
    shares /= -shares.sum(-1, keepdims=True)
    shares[..., index] = 1
    return shares.astype(np.float32)
