"""Metrics of a classifier, from its logits or probabilities and the true classes.

The confusion matrix and the rates of each class come from scikit-learn. The bootstrap is written here because it computes
all resamplings at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval: percentiles over bootstrap samples (Efron 1979,
    https://doi.org/10.1214/aos/1176344552)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def cross_entropies(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The loss of each picture (N,), -log p of its true class, from logits (N, classes) and true classes (N,)."""
    return np.asarray(-log_softmax(logits, axis=-1)[np.arange(len(truth)), truth])


def cross_entropy(logits: np.ndarray, truth: np.ndarray) -> float:
    """The mean loss over pictures, from logits (N, classes) and true classes (N,)."""
    return float(cross_entropies(logits, truth).mean())


def accuracy(logits: np.ndarray, truth: np.ndarray) -> float:
    """The share of pictures whose best class is the true one, in [0, 1]."""
    return float((logits.argmax(-1) == truth).mean())


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """The mean F1 of the classes that occur, from confusion matrices (..., classes, classes) with a row per true class.

    A class occurs when it is true or predicted for at least one picture. Takes many matrices at once, for the bootstrap.
    """
    correct = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    occurrences = confusion.sum(-1) + confusion.sum(-2)
    f1 = 2 * correct / np.maximum(occurrences, 1)
    occurs = occurrences > 0
    return np.asarray((f1 * occurs).sum(-1) / occurs.sum(-1))


def bootstrap_intervals(
    predicted: np.ndarray, truth: np.ndarray, classes: int, samples: int = 2000, seed: int = 0
) -> dict[str, Interval]:
    """Accuracy and macro F1 with their intervals.

    A resampling of pictures changes only the counts of the confusion matrix, so all of them are one multinomial draw.

    Args:
        predicted: Predicted class of each picture (N,).
        truth: True class of each picture (N,).
        classes: Number of classes.
        samples: Number of resamplings.
        seed: Seed of the random numbers.

    Returns:
        "accuracy" and "macro_f1".

    >>> str(bootstrap_intervals(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]), classes=2)["accuracy"])
    '0.750 [0.250, 1.000]'
    """
    rng = np.random.default_rng(seed)
    cells = np.bincount(truth * classes + predicted, minlength=classes**2)
    count = len(truth)
    observed = cells.reshape(classes, classes)
    resampled = rng.multinomial(count, cells / count, size=samples).reshape(-1, classes, classes)
    intervals = {}
    for name, figure in (
        ("accuracy", lambda matrices: np.trace(matrices, axis1=-2, axis2=-1) / count),
        ("macro_f1", macro_f1),
    ):
        low, high = np.quantile(figure(resampled), (0.025, 0.975))
        intervals[name] = Interval(float(figure(observed)), float(low), float(high))
    return intervals


def intervals_to_dict(intervals: Mapping[str, Interval], pictures: int) -> dict[str, Any]:
    """The number of pictures and the intervals by name, ready for JSON."""
    return {"pictures": pictures, **{name: asdict(interval) for name, interval in intervals.items()}}


def reliability_bins(
    probabilities: np.ndarray, truth: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence and accuracy of the pictures in equal bins of confidence, for a reliability diagram.

    Args:
        probabilities: Probability of each class (N, classes).
        truth: True class of each picture (N,).
        bins: Number of bins between 0 and 1.

    Returns:
        Number of pictures, mean confidence and accuracy of each bin, (bins,) each; 0 where a bin is empty.
    """
    confidence = probabilities.max(-1)
    correct = probabilities.argmax(-1) == truth
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    divisor = np.maximum(counts, 1)
    return (
        counts,
        np.bincount(bin_of, confidence, bins) / divisor,
        np.bincount(bin_of, correct, bins) / divisor,
    )


def expected_calibration_error(probabilities: np.ndarray, truth: np.ndarray, bins: int = 10) -> float:
    """The mean of |confidence - accuracy| over bins, weighted by their pictures, in [0, 1]; 0 is best.

    Naeini et al. 2015, https://doi.org/10.1609/aaai.v29i1.9602.

    Args:
        probabilities: Probability of each class (N, classes).
        truth: True class of each picture (N,).
        bins: Number of bins of confidence.

    Returns:
        The error. 0 means that the confidence equals the accuracy in every bin.

    >>> round(expected_calibration_error(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1])), 3)
    0.4
    """
    counts, confidence, correct = reliability_bins(probabilities, truth, bins)
    return float((counts * np.abs(confidence - correct)).sum() / counts.sum())


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The temperature T in [0.05, 20] for which softmax(logits / T) has the lowest cross-entropy.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599.
    """
    optimum = minimize_scalar(
        lambda log_t: cross_entropy(logits / np.exp(log_t), truth), bounds=np.log((0.05, 20)), method="bounded"
    )
    return float(np.exp(optimum.x))
