"""Corruption curves: how a prediction and its explanation change while a picture is corrupted more and more.

The corruptions are those of core.corruptions. The idea is that of Hendrycks 2019, Benchmarking Neural Network Robustness to
Common Corruptions and Perturbations (https://arxiv.org/abs/1903.12261), for one picture instead of a data set. The rank
correlation between heatmaps is that of Ghorbani 2019, Interpretation of Neural Networks is Fragile
(https://arxiv.org/abs/1710.10547).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from core.corruptions import CORRUPTIONS
from core.errors import UserError, unknown
from core.images import Source, read
from explain import explain
from explain.metrics.similarity import spearman
from explain.registry import default_method
from models.classifier import Classifier, Prediction

SEVERITIES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
MOVING = ("rotation", "zoom", "perspective")  # these move the objects of a picture, so the heatmap moves too
MAP_SIDE = 64  # pixels on the longer side at which heatmaps are compared; they hold no finer detail


@dataclass(frozen=True)
class CorruptionCurve:
    """The effect of one corruption on one picture, for every severity so far.

    `target`: the class, with its probability on the clean picture. `severities`: the severity of the corruption, in [0, 1],
    from 0 on. `probabilities`: of the class. `top`: the predicted class. `correlations`: Spearman's rank correlation of the
    class's heatmap with the heatmap of the clean picture, in [-1, 1], 0 where one of the two is empty. If the corruption
    moves the picture, the clean heatmap is moved in the same way first.
    """

    name: str
    target: Prediction
    severities: tuple[float, ...]
    probabilities: tuple[float, ...]
    top: tuple[Prediction, ...]
    correlations: tuple[float, ...]

    @property
    def breaking_severity(self) -> float | None:
        """The smallest severity from which on the class is never predicted again; None if it is predicted at the last."""
        kept = [index for index, prediction in enumerate(self.top) if prediction.index == self.target.index]
        after = kept[-1] + 1 if kept else 0
        return self.severities[after] if after < len(self.severities) else None

    def to_dict(self) -> dict[str, Any]:
        """The facts, ready for JSON."""
        return {
            "distortion": self.name,
            "class": self.target.label,
            "strengths": self.severities,
            "probabilities": self.probabilities,
            "seen": [prediction.label for prediction in self.top],
            "correlations": self.correlations,
            "breaks": self.breaking_severity,
        }


def corrupt(pixels: np.ndarray, name: str, severity: float, seed: int = 0) -> np.ndarray:
    """Corrupt a picture.

    Args:
        pixels: uint8 (H, W, 3).
        name: A name in CORRUPTIONS.
        severity: The severity, in [0, 1]; 0 changes nothing.
        seed: The seed of the random parts: noise, signs, places, directions.

    Returns:
        A new picture, uint8 (H, W, 3).

    Raises:
        UserError: The name does not exist, or the severity is outside [0, 1].
    """
    if name not in CORRUPTIONS:
        raise unknown("corruption", name, CORRUPTIONS)
    if not 0 <= severity <= 1:
        raise UserError(f"The severity of a corruption is between 0 and 1; got {severity:g}.")
    return CORRUPTIONS[name](pixels, severity, np.random.default_rng(seed))


def corruption_curves(
    image: Source,
    classifier: Classifier,
    names: Sequence[str] = tuple(CORRUPTIONS),
    target: int | str | None = None,
    *,
    method: str | None = None,
    severities: Sequence[float] = SEVERITIES,
    seed: int = 0,
) -> Iterator[CorruptionCurve]:
    """Measure one curve after the other. Every curve is yielded once per severity, with one more point each time.

    Args:
        image: The picture, as explain() takes it.
        classifier: The classifier to test.
        names: Names in CORRUPTIONS.
        target: The class, by index or label; by default the predicted class.
        method: The attribution method of the heatmaps; by default Grad-CAM, or occlusion for a model without a map.
        severities: The severities to test, each in [0, 1]; 0 is added.
        seed: The seed of the corruptions. It is the same for all severities, so the noise grows but keeps its pattern.

    Yields:
        Curves. The last one of a name is complete.

    Raises:
        UserError: A name does not exist, or a severity is outside [0, 1].
    """
    picture = read(image)
    method = method or default_method(classifier)
    clean = explain(picture, classifier, method, target)
    clean_map = _shrink_map(clean.heatmap)
    prediction = Prediction(clean.class_index, clean.label, clean.probability)
    for name in names:
        points: list[tuple[float, float, Prediction, float]] = []
        for severity in sorted({0.0, *severities}):
            pixels = corrupt(picture.pixels, name, severity, seed)
            explanation = explain(pixels, classifier, method, clean.class_index)
            expected = _move_map(clean.heatmap, name, severity, seed) if name in MOVING and severity else clean_map
            correlation = spearman(expected, _shrink_map(explanation.heatmap))
            points.append((severity, explanation.probability, explanation.top[0], correlation))
            levels, probabilities, top, correlations = zip(*points, strict=True)
            yield CorruptionCurve(name, prediction, levels, probabilities, top, correlations)


def _shrink_map(heatmap: np.ndarray) -> np.ndarray:
    scale = min(1.0, MAP_SIDE / max(heatmap.shape))
    size = max(2, round(heatmap.shape[1] * scale)), max(2, round(heatmap.shape[0] * scale))
    return cv2.resize(heatmap, size, interpolation=cv2.INTER_AREA)


def _move_map(heatmap: np.ndarray, name: str, severity: float, seed: int) -> np.ndarray:
    """The small heatmap after the corruption that moved the picture; 0 where no part of the picture is left.

    The heatmap is corrupted as the red channel of a picture. Its green and blue channels mark what is still picture.
    """
    red = (heatmap * 255).round().astype(np.uint8)
    marked = cv2.merge([red, np.full_like(red, 255), np.zeros_like(red)])
    moved = corrupt(marked, name, severity, seed).astype(np.float32)
    inside = (moved[..., 1] > 250) & (moved[..., 2] < 5)
    return _shrink_map(moved[..., 0] / 255 * inside)
