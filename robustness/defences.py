"""Defences: everyday image operations, and whether each one undoes an attack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.corruptions import CORRUPTIONS
from core.images import resize
from models.classifier import Classifier, Prediction
from robustness.problem import AttackResult

Defence = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class DefenceResult:
    """The predictions after one operation on the original picture and on the attacked picture.

    `undone`: the attacked picture is no longer classified as the class of the attack. `restored`: it is classified as before
    the attack again.
    """

    name: str
    original: Prediction
    attacked: Prediction
    undone: bool
    restored: bool

    def to_dict(self) -> dict[str, Any]:
        """The facts about the attacked picture, ready for JSON."""
        return {"seen": self.attacked.label, "undone": self.undone, "restored": self.restored}


def _corruption(name: str, severity: float) -> Defence:
    return lambda pixels, rng: CORRUPTIONS[name](pixels, severity, rng)


def _halve_and_enlarge(pixels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    half = max(1, pixels.shape[0] // 2), max(1, pixels.shape[1] // 2)
    return resize(resize(pixels, half), pixels.shape[:2])


def _photograph_of_screen(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    for name, severity in {"moire": 0.2, "perspective": 0.3, "glare": 0.25, "blur": 0.15, "jpeg": 0.2}.items():
        pixels = CORRUPTIONS[name](pixels, severity, rng)
    return pixels


DEFENCES: dict[str, Defence] = {
    "saved as PNG": lambda pixels, _: pixels,
    "JPEG, quality 90": _corruption("jpeg", 1 / 18),
    "JPEG, quality 75": _corruption("jpeg", 2 / 9),
    "JPEG, quality 50": _corruption("jpeg", 0.5),
    "blurred slightly": _corruption("blur", 0.2),
    "Gaussian noise": _corruption("gaussian-noise", 0.1),
    "resized to half and back": _halve_and_enlarge,
    "photographed from a screen": _photograph_of_screen,
}


def run_defences(result: AttackResult, classifier: Classifier, seed: int = 0) -> Iterator[DefenceResult]:
    """Test which operations undo an attack.

    Args:
        result: The attack.
        classifier: The classifier that was attacked.
        seed: The seed of the random parts of an operation, the same for both pictures.

    Yields:
        One DefenceResult for every entry of DEFENCES, in its order.
    """
    geometry = classifier.geometry(result.original.shape[:2])
    attacked_class = (result.target or result.after)[0].index
    for name, defence in DEFENCES.items():
        pictures = [defence(pixels, np.random.default_rng(seed)) for pixels in (result.original, result.attacked)]
        logits = classifier.forward(np.stack([geometry.place(pixels) for pixels in pictures]))[1]
        original, attacked = (classifier.top(row, 1)[0] for row in logits)
        undone, restored = attacked.index != attacked_class, attacked.index == result.original_class[0].index
        yield DefenceResult(name, original, attacked, undone, restored)


def describe_defence(result: DefenceResult) -> str:
    """A few words about the effect of one operation on an attack."""
    if result.restored:
        return "undone, original class again"
    return "undone, but not the original class" if result.undone else "still succeeds"
