"""Explanation: a heatmap with everything needed to read and to reproduce it, and sentences that describe it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UserError
from core.files import encode_npy, encode_png, write_atomically
from models.classifier import Prediction
from models.geometry import Geometry


@dataclass(frozen=True)
class Explanation:
    """The result of one method for one picture and one target class.

    `heatmap`: float32 (H, W) in [0, 1] in the picture's own pixels, the positive part of `ranking` in the same order. `raw`:
    the signed map on the method's own grid over the canvas, in units of the logit. `peak`: the row and the column of the pixel
    of the picture with the highest value of `ranking`. `class_index`, `label`, `probability`: the class explained.
    `top`: the most probable classes. `padding_share`: the share of positive heat on padding, which the heatmap leaves out.
    `progress`: in [0, 1], 1 when finished. `error`: the estimated relative error of a sampled map, else None. `parameters`:
    options, canvas and box. `notes`: sentences that the reader should know. `against`: the class that the target is
    contrasted with, if any. `signed`: then, or with the option sign="signed", the map with both signs, float32 (H, W) in
    [-1, 1], negative where it supports `against`, or lowers the score.
    """

    heatmap: np.ndarray
    raw: np.ndarray
    peak: tuple[int, int]
    class_index: int
    label: str
    probability: float
    top: tuple[Prediction, ...]
    method: str
    model: str
    seconds: float
    forward_passes: int
    backward_passes: int
    padding_share: float
    progress: float
    error: float | None
    parameters: dict[str, Any]
    notes: tuple[str, ...]
    against: Prediction | None = None
    signed: np.ndarray | None = None

    @property
    def geometry(self) -> Geometry:
        """Where the picture lies on the canvas of `raw`: `geometry.restore(raw)` is the map in the picture's own pixels."""
        facts = self.parameters
        return Geometry(facts["size"], facts["canvas"], facts["box"], facts.get("crop"))

    @property
    def ranking(self) -> np.ndarray:
        """The map (H, W) that is scaled to the heatmap: `raw` in the picture's own pixels, or its absolute values."""
        return rank(self.geometry.restore(self.raw), self.parameters)

    def to_dict(self) -> dict[str, Any]:
        """Everything except the maps, ready for JSON."""
        return {
            "model": self.model,
            "method": self.method,
            "target": Prediction(self.class_index, self.label, self.probability).to_dict(),
            "against": None if self.against is None else self.against.to_dict(),
            "top": [prediction.to_dict() for prediction in self.top],
            "seconds": round(self.seconds, 4),
            "forward_passes": self.forward_passes,
            "backward_passes": self.backward_passes,
            "peak": list(self.peak),
            "padding_share": round(self.padding_share, 4),
            "error": None if self.error is None else round(self.error, 4),
            "parameters": self.parameters,
            "notes": list(self.notes),
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the explanation to a file, atomically. The ending decides what is written.

        `.png`: the heatmap in greys, white for 1. `.npy`: `raw`. `.json`: everything but the maps, see `to_dict`. `.npz`: all
        of it, as the arrays `heatmap`, `raw` and `facts` (the JSON as text). For the heatmap over the picture see
        `explain.render`.

        Returns the path. Raises UserError for another ending, and OSError.
        """
        path, facts = Path(path), json.dumps(self.to_dict(), indent=2)
        if path.suffix == ".npz":
            file = io.BytesIO()
            np.savez_compressed(file, heatmap=self.heatmap, raw=self.raw, facts=np.array(facts))
            content = file.getvalue()
        elif path.suffix == ".png":
            content = encode_png(np.repeat(np.rint(self.heatmap * 255).astype(np.uint8)[..., None], 3, -1))
        elif path.suffix in (".npy", ".json"):
            content = encode_npy(self.raw) if path.suffix == ".npy" else facts.encode()
        else:
            raise UserError(f"'{path.name}' must end with .png, .npy, .npz or .json.")
        write_atomically(path, content)
        return path


def rank(full: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
    """A signed map (H, W), or its absolute values with the option sign="absolute"."""
    return np.abs(full, out=full) if parameters.get("sign") == "absolute" else full


_ROWS = ("upper", "middle", "lower")
_COLUMNS = ("left", "centre", "right")
_NAMES = [
    f"{row} {column}" if (row, column) != ("middle", "centre") else "centre" for row in _ROWS for column in _COLUMNS
]


def describe_location(heatmap: np.ndarray) -> str:
    """Name the ninth of the picture with most of the heat of a map (H, W), and its share, in one sentence."""
    total = float(heatmap.sum())
    if total == 0:
        return "No region supports this class."
    bands = [np.array_split(band, 3, axis=1) for band in np.array_split(heatmap, 3, axis=0)]
    shares = np.array([float(ninth.sum()) / total for band in bands for ninth in band])
    best = int(shares.argmax())
    if shares[best] < 0.2:
        return "The evidence is spread over the whole picture."
    return f"The strongest ninth of the picture is the {_NAMES[best]}, with {shares[best]:.0%} of the heat."


def describe_cost(explanation: Explanation) -> str:
    """The time and the passes of an explanation, such as "12 ms, 1 forward pass"."""
    seconds = explanation.seconds
    time = f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
    return f"{time}, {describe_passes(explanation.forward_passes, explanation.backward_passes)}"


def describe_passes(forward: int, backward: int = 0) -> str:
    """A number of passes, such as "1 forward and 1 backward pass"."""
    kinds = [f"{forward} forward"] + ([f"{backward} backward"] if backward else [])
    return f"{' and '.join(kinds)} pass{'' if (backward or forward) == 1 else 'es'}"
