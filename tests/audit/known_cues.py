"""Classifiers that use exactly one known part of a picture, and pictures for them."""

from __future__ import annotations

import numpy as np

from audit import Audit, audit
from audit.regions import border_mask, corners_mask
from models.classifier import Classifier
from models.head import LinearHead

SIZE = (160, 288)  # a canvas of its own, 5 x 9 cells
CELL = 32
LABELS = ("low", "high")
HEAD = LinearHead(np.array([[-1.0, 1.0]]), np.zeros(2))


class MaskedBrightness:
    """An engine with one feature: how far a cell is above 120, where `mask` (160, 288) is True and nowhere else."""

    def __init__(self, mask: np.ndarray) -> None:
        self._mask = mask.astype(np.float32)

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = (batch.mean(-1) - 120) * self._mask
        cells = inside.reshape(len(batch), SIZE[0] // CELL, CELL, SIZE[1] // CELL, CELL).mean((2, 4))[..., None]
        return cells, HEAD.logits(cells)


def classifier_of(engine: MaskedBrightness, name: str = "masked") -> Classifier:
    return Classifier(name, LABELS, engine, HEAD, build_network=lambda: None)  # type: ignore[arg-type,return-value]


def masked_classifier(mask: np.ndarray) -> Classifier:
    return classifier_of(MaskedBrightness(mask))


def subject_mask() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[56:104, 112:176] = True
    return mask


def make_pictures(mask: np.ndarray, count: int = 6, seed: int = 0) -> tuple[list[np.ndarray], list[str]]:
    """Grey noise, 40 darker within the mask for "low", 40 lighter for "high"."""
    rng = np.random.default_rng(seed)
    pictures, labels = [], []
    for at in range(2 * count):
        label = at % 2
        pixels = 120 + rng.normal(0, 12, SIZE)
        pixels[mask] += 40 if label else -40
        pictures.append(np.repeat(np.clip(pixels, 0, 255).astype(np.uint8)[..., None], 3, -1))
        labels.append(LABELS[label])
    return pictures, labels


def background_mask() -> np.ndarray:
    """What the exchange of backgrounds exchanges."""
    return ~(subject_mask() | border_mask(SIZE) | corners_mask(SIZE))


def audit_of(mask: np.ndarray, subjects_given: bool = True) -> Audit:
    pictures, labels = make_pictures(mask)
    subjects = [subject_mask()] * len(pictures) if subjects_given else None
    return audit(masked_classifier(mask), pictures, labels, subjects=subjects, sample=6)
