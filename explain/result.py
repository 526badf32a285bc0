"""Explanation: a map with everything needed to read it and to repeat it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.classifier import Prediction


@dataclass(frozen=True)
class Explanation:
    """What one method says about one picture and one class.

    `heatmap`: float32 (H, W) in [0, 1] in the picture's own pixels, the positive part of `raw`. `raw`: the signed map on
    the canvas grid as the method made it, in units of the logit. `target`, `label`, `probability`: the class explained.
    `top`: the most probable classes. `padding_share`: the share of positive heat on padding, which the heatmap leaves out.
    `progress`: 1 when finished. `error`: the estimated relative error of a sampled map, else None. `parameters`: options,
    canvas and box. `notes`: what the reader should know, a sentence each. `against`: the class that the target is set
    against, if any; then `signed` is the map with both signs, float32 (H, W) in [-1, 1], below zero where it speaks for it.
    """

    heatmap: np.ndarray
    raw: np.ndarray
    target: int
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

    def facts(self) -> dict[str, Any]:
        """Everything but the maps, as JSON allows it."""
        return {
            "model": self.model,
            "method": self.method,
            "target": {"index": self.target, "label": self.label, "probability": self.probability},
            "against": None if self.against is None else vars(self.against),
            "top": [{"index": p.index, "label": p.label, "probability": p.probability} for p in self.top],
            "seconds": round(self.seconds, 4),
            "forward_passes": self.forward_passes,
            "backward_passes": self.backward_passes,
            "padding_share": round(self.padding_share, 4),
            "error": None if self.error is None else round(self.error, 4),
            "parameters": self.parameters,
            "notes": list(self.notes),
        }
