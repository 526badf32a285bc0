"""What an attack works on (AttackProblem) and what it returns (AttackResult).

An attack tries to increase a number, the criterion. It is the log-odds of the target class, or the negative log-odds of the
original class if there is no target. The log-odds of a class compare its logit with all other logits together. Their gradient
points in the direction of the gradient of the cross-entropy, but it does not vanish where the classifier is certain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from core.errors import UserError
from models.classifier import Classifier, Prediction
from models.geometry import Geometry

DEFAULT_EPSILON = {"linf": 4.0, "l2": 3.0}  # the perturbation budget of each norm
# Only a perturbation shorter than 1 level needs a larger factor before its rounded multiple is too long: the result is then 0.
LARGEST_FACTOR = 1e6
BISECTIONS = 12  # give the factor with a relative error of at most 1 / 4096


@dataclass(frozen=True)
class AttackResult:
    """A picture before and after an attack, and the predictions for both.

    `original`, `attacked`: uint8 (H, W, 3). `original_class`: the class predicted for the original, with its probability
    before and after. `target`: the same for the target class, None if there is no target. `before`, `after`: the most probable
    classes. `success`: whether the attacked picture is classified as the target, or not as the original class if there is no
    target. `norm`, `epsilon`: the perturbation budget. `steps`: the number of steps taken. `progress`: in [0, 1], 1 when
    finished.
    """

    original: np.ndarray
    attacked: np.ndarray
    original_class: tuple[Prediction, Prediction]
    target: tuple[Prediction, Prediction] | None
    before: tuple[Prediction, ...]
    after: tuple[Prediction, ...]
    success: bool
    method: str
    model: str
    norm: str
    epsilon: float
    steps: int
    seed: int
    seconds: float
    forward_passes: int
    backward_passes: int
    progress: float

    @cached_property
    def perturbation(self) -> np.ndarray:
        """The change, attacked minus original: int16 (H, W, 3) in levels."""
        return self.attacked.astype(np.int16) - self.original

    @cached_property
    def linf(self) -> int:
        """The largest change of any value, in levels of 255."""
        return int(np.abs(self.perturbation).max())

    @cached_property
    def l2(self) -> float:
        """The Euclidean norm of the perturbation, with pixels in [0, 1]."""
        return euclidean_norm(self.perturbation) / 255

    @cached_property
    def ssim(self) -> float:
        """The structural similarity of the two pictures, 1 if they are equal.

        Wang 2004, https://doi.org/10.1109/TIP.2003.819861
        """
        from skimage.metrics import structural_similarity

        return float(structural_similarity(self.original, self.attacked, channel_axis=2))

    def to_dict(self) -> dict[str, Any]:
        """All facts except the pictures, ready for JSON."""

        def pair_to_dict(pair: tuple[Prediction, Prediction]) -> dict[str, Any]:
            before, after = pair
            return {
                "index": before.index,
                "label": before.label,
                "before": before.probability,
                "after": after.probability,
            }

        return {
            "model": self.model,
            "method": self.method,
            "success": self.success,
            "source": pair_to_dict(self.original_class),
            "target": pair_to_dict(self.target) if self.target else None,
            "after": [prediction.to_dict() for prediction in self.after],
            "norm": self.norm,
            "epsilon": self.epsilon,
            "linf": self.linf,
            "l2": round(self.l2, 4),
            "ssim": round(self.ssim, 5),
            "steps": self.steps,
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
            "forward_passes": self.forward_passes,
            "backward_passes": self.backward_passes,
        }


class AttackProblem:
    """One picture, one classifier, one criterion and one perturbation budget.

    It classifies perturbed pictures, computes gradients for the attack methods, and counts the passes. Perturbations are
    float32 (H, W, 3) in levels, for both norms. `original_class` and `target` are indices of classes.

    Args:
        pixels: The original picture, uint8 (H, W, 3).
        classifier: The classifier to attack.
        target: The index of the target class. None means any class except the predicted one.
        norm: "linf" or "l2".
        epsilon: The perturbation budget: in levels of 255 (linf), or as a Euclidean norm with pixels in [0, 1] (l2).

    Raises:
        UserError: The picture is classified as the target already.
    """

    def __init__(
        self, pixels: np.ndarray, classifier: Classifier, target: int | None, norm: str, epsilon: float
    ) -> None:
        self.pixels, self.classifier = pixels, classifier
        self.geometry: Geometry = classifier.geometry(pixels.shape[:2])
        self.norm = norm
        self.epsilon_in_levels = epsilon * 255 if norm == "l2" else epsilon
        self.forward_passes = self.backward_passes = 0
        self._last: tuple[np.ndarray | None, np.ndarray, np.ndarray] = (None, pixels, pixels)
        self.clean_logits = self._logits(pixels)
        self.original_class, self.target = int(self.clean_logits.argmax()), target
        if target == self.original_class:
            raise UserError(
                f"The picture is already classified as '{classifier.labels[target]}'; choose another target class."
            )

    def apply_and_classify(self, perturbation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The uint8 picture (H, W, 3) nearest to a perturbation within the budget, and its logits (classes,)."""
        if self._last[0] is not perturbation:
            changed = self.pixels + round_perturbation(perturbation, self.norm, self.epsilon_in_levels)
            picture = np.clip(changed, 0, 255).astype(np.uint8)
            self._last = perturbation, picture, self._logits(picture)
        return self._last[1:]

    def criterion(self, logits: np.ndarray) -> float:
        """The number that an attack increases: the log-odds of the target, or the negative ones of the original class."""
        return -log_odds(logits, self.original_class) if self.target is None else log_odds(logits, self.target)

    def criterion_gradient(self, logits: np.ndarray) -> np.ndarray:
        """The gradient of `criterion` with respect to the logits, (classes,)."""
        if self.target is None:
            return -log_odds_gradient(logits, self.original_class)
        return log_odds_gradient(logits, self.target)

    def is_success(self, logits: np.ndarray) -> bool:
        """Whether the predicted class is the target, or is not the original class if there is no target."""
        predicted = int(logits.argmax())
        return predicted != self.original_class if self.target is None else predicted == self.target

    def gradient(self, perturbation: np.ndarray, objective: np.ndarray | None = None) -> np.ndarray:
        """d(objective . logits) / d(pixels) (H, W, 3) at the picture of `apply_and_classify`.

        Without an objective, it is the gradient of the `criterion`.
        """
        picture, logits = self.apply_and_classify(perturbation)
        self.backward_passes += 1
        canvas = self.geometry.place(picture)[None]
        objective = self.criterion_gradient(logits) if objective is None else objective
        return self.geometry.pull_back(self.classifier.gradient(canvas, objective)[0])

    def steepest_direction(self, gradient: np.ndarray) -> np.ndarray:
        """The direction of norm 1 with the largest inner product with a gradient.

        These are the signs of the gradient (linf), or the gradient divided by its norm (l2).
        """
        return np.sign(gradient) if self.norm == "linf" else gradient / (euclidean_norm(gradient) or 1)

    def project(self, perturbation: np.ndarray) -> np.ndarray:
        """Limit the perturbation to epsilon: scale it (l2) or clip it (linf). Then keep all pixels in [0, 255]."""
        if self.norm == "l2" and (length := euclidean_norm(perturbation)) > self.epsilon_in_levels:
            perturbation = perturbation * np.float32(self.epsilon_in_levels / length)
        limit = self.epsilon_in_levels if self.norm == "linf" else 255
        pixels = self.pixels.astype(np.float32)
        lowest, highest = np.maximum(-limit, -pixels), np.minimum(limit, 255 - pixels)
        return np.clip(perturbation, lowest, highest).astype(np.float32, copy=False)

    def zero_perturbation(self) -> np.ndarray:
        """The perturbation that changes nothing."""
        return np.zeros(self.pixels.shape, np.float32)

    def _logits(self, picture: np.ndarray) -> np.ndarray:
        self.forward_passes += 1
        return self.classifier.logits(picture)


def round_perturbation(perturbation: np.ndarray, norm: str, limit: float) -> np.ndarray:
    """The integer perturbation with the largest inner product with `perturbation`, and a norm of at most both limits.

    The limits are the norm of `perturbation` and `limit`. For linf this is rounding. For l2, rounding would remove a small
    change of many pixels. Of all integer perturbations of one length, the one with the largest inner product with
    `perturbation` is a rounded multiple of it (the factor is the Lagrange multiplier of the length). A bisection finds the
    factor.

    Args:
        perturbation: In levels, any shape.
        norm: "linf" or "l2".
        limit: The largest norm of the result, in levels.

    Returns:
        Whole numbers as floats, same shape.
    """
    if norm == "linf":
        limit = math.floor(limit)
        return np.clip(np.rint(perturbation), -limit, limit)
    length = min(euclidean_norm(perturbation), limit)
    if length == 0:
        return perturbation
    low, high = 0.0, length / euclidean_norm(perturbation)
    while euclidean_norm(np.rint(high * perturbation)) <= length:
        low, high = high, 2 * high
        if high > LARGEST_FACTOR:
            break
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if euclidean_norm(np.rint(middle * perturbation)) <= length:
            low = middle
        else:
            high = middle
    return np.rint(low * perturbation)


def euclidean_norm(values: np.ndarray) -> float:
    """The Euclidean norm of all values; by OpenCV, which is faster than NumPy here."""
    return float(cv2.norm(np.ascontiguousarray(values).ravel(), cv2.NORM_L2))


def log_odds(logits: np.ndarray, class_index: int) -> float:
    """log(p / (1 - p)) of a class, where p is its softmax probability, for logits (classes,)."""
    from scipy.special import logsumexp

    return float(logits[class_index] - logsumexp(np.delete(logits, class_index).astype(np.float64)))


def log_odds_gradient(logits: np.ndarray, class_index: int) -> np.ndarray:
    """The gradient of the log-odds with respect to logits (..., classes): 1 for the class; the others sum to -1."""
    from scipy.special import softmax

    others = logits.astype(np.float64)
    others[..., class_index] = -np.inf
    gradient = -softmax(others, axis=-1)
    gradient[..., class_index] = 1
    return gradient.astype(np.float32)
