"""How a prediction and its explanation hold as a picture gets worse: curves over the distortions of models.distortions.

After Hendrycks & Dietterich 2019, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, for one
picture instead of a data set; the rank correlation of heatmaps is that of Ghorbani et al. 2019, Interpretation of Neural
Networks is Fragile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from explain import Source, explain
from explain.faithfulness import spearman
from models.classifier import Classifier, Prediction
from models.distortions import DISTORTIONS
from models.errors import UserError, unknown
from models.picture import read

STRENGTHS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
MOVES = ("rotation", "zoom", "perspective")  # these take what is seen elsewhere, and the map with it
SIDE = 64  # maps are compared at this many pixels on their longer side: they hold no more


@dataclass(frozen=True)
class Curve:
    """What one distortion does to one picture, for every strength so far.

    `strengths` in [0, 1], from 0 on. `probabilities` of the class; `top`: what is seen instead. `correlations`: Spearman's,
    of the heatmap of the class with that of the untouched picture, in [-1, 1], 0 where one of them is empty; where the
    distortion moves the picture, the untouched map is moved along first.
    """

    name: str
    target: Prediction
    strengths: tuple[float, ...]
    probabilities: tuple[float, ...]
    top: tuple[Prediction, ...]
    correlations: tuple[float, ...]

    @property
    def breaks(self) -> float | None:
        """The least strength tried from which on the class is never the first, None if it is at the last."""
        held = [index for index, seen in enumerate(self.top) if seen.index == self.target.index]
        after = held[-1] + 1 if held else 0
        return self.strengths[after] if after < len(self.strengths) else None


def distorted(pixels: np.ndarray, name: str, strength: float, seed: int = 0) -> np.ndarray:
    """uint8 pixels (H, W, 3) after one of DISTORTIONS. Raises UserError for a name or strength there is not."""
    if name not in DISTORTIONS:
        raise unknown("distortion", name, DISTORTIONS)
    if not 0 <= strength <= 1:
        raise UserError(f"A strength lies between 0 and 1; got {strength:g}.")
    return DISTORTIONS[name](pixels, strength, np.random.default_rng(seed))


def curves(
    image: Source,
    classifier: Classifier,
    names: Sequence[str] = tuple(DISTORTIONS),
    target: int | str | None = None,
    *,
    method: str = "grad-cam",
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
) -> Iterator[Curve]:
    """One curve after the other, each once a strength: the last of a name is whole.

    `image`, `target`, `method` as explain() takes them. The same seed for every strength: noise grows, and does not change.
    """
    picture = read(image)
    clean = explain(picture, classifier, method, target)
    heat = _small(clean.heatmap)
    seen = clean.target
    for name in names:
        found: list[tuple[float, float, Prediction, float]] = []
        for strength in sorted({0.0, *strengths}):
            pixels = distorted(picture.pixels, name, strength, seed)
            again = explain(pixels, classifier, method, seen)
            moved = _moved(clean.heatmap, name, strength, seed) if name in MOVES and strength else heat
            found.append((strength, again.probability, again.top[0], spearman(moved, _small(again.heatmap))))
            levels, probabilities, top, correlations = zip(*found, strict=True)
            yield Curve(
                name, Prediction(seen, clean.label, clean.probability), levels, probabilities, top, correlations
            )


def _small(heatmap: np.ndarray) -> np.ndarray:
    scale = min(1.0, SIDE / max(heatmap.shape))
    size = max(2, round(heatmap.shape[1] * scale)), max(2, round(heatmap.shape[0] * scale))
    return cv2.resize(heatmap, size, interpolation=cv2.INTER_AREA)


def _moved(heatmap: np.ndarray, name: str, strength: float, seed: int) -> np.ndarray:
    """The map (small) after what moved the picture, with the cold where the picture is no longer; as a picture itself."""
    grey = (heatmap * 255).round().astype(np.uint8)
    marked = cv2.merge([grey, np.full_like(grey, 255), np.zeros_like(grey)])
    moved = distorted(marked, name, strength, seed).astype(np.float32)
    inside = (moved[..., 1] > 250) & (moved[..., 2] < 5)
    return _small(moved[..., 0] / 255 * inside)
