"""A map in plain words, for those who read before they look."""

from __future__ import annotations

import numpy as np

from explain.result import Explanation

_ROWS = ("upper", "middle", "lower")
_COLUMNS = ("left", "centre", "right")
_NAMES = [
    f"{row} {column}" if (row, column) != ("middle", "centre") else "centre" for row in _ROWS for column in _COLUMNS
]


def where(heatmap: np.ndarray) -> str:
    """Where in the picture the heat of a map (H, W) is: the ninth that holds most of it, with its share."""
    total = float(heatmap.sum())
    if total == 0:
        return "No region speaks for it."
    bands = [np.array_split(band, 3, axis=1) for band in np.array_split(heatmap, 3, axis=0)]
    shares = np.array([float(part.sum()) / total for band in bands for part in band])
    best = int(shares.argmax())
    if shares[best] < 0.2:
        return "The evidence is spread over the whole picture."
    return f"Most of the evidence is in the {_NAMES[best]}: {shares[best]:.0%} of the heat in a ninth of the picture."


def cost(found: Explanation) -> str:
    """What an explanation took: time and passes."""
    seconds = f"{found.seconds * 1000:.0f} ms" if found.seconds < 1 else f"{found.seconds:.1f} s"
    return f"{seconds}, {passes(found.forward_passes, found.backward_passes)}"


def passes(forward: int, backward: int = 0) -> str:
    """So many passes, in words."""
    kinds = [f"{forward} forward"] + ([f"{backward} backward"] if backward else [])
    return f"{' and '.join(kinds)} pass{'' if (backward or forward) == 1 else 'es'}"
