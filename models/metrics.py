"""How good a classifier is, from its logits or probabilities and the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval from the bootstrap, percentiles of resampled pictures (Efron 1979)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def softmax(logits: np.ndarray) -> np.ndarray:
    """(..., classes) -> probabilities."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """-log p of the true class (N,): logits (N, classes), labels (N,)."""
    shifted = logits - logits.max(-1, keepdims=True)
    return np.log(np.exp(shifted).sum(-1)) - shifted[np.arange(len(labels)), labels]


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Their mean."""
    return float(losses(logits, labels).mean())


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of pictures whose best class is the true one."""
    return float((logits.argmax(-1) == labels).mean())


def confusion(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Counts (classes, classes): a row a true class, a column a predicted one."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def rates(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of each class from confusions (..., classes, classes); 0 where nothing was predicted."""
    right = np.diagonal(matrix, axis1=-2, axis2=-1).astype(float)
    predicted, true = matrix.sum(-2), matrix.sum(-1)
    precision, recall = right / np.maximum(predicted, 1), right / np.maximum(true, 1)
    return precision, recall, 2 * right / np.maximum(predicted + true, 1)


def macro_f1(matrix: np.ndarray) -> np.ndarray:
    """The mean F1 of the classes that occur, from confusions (..., classes, classes)."""
    occurs = (matrix.sum(-1) + matrix.sum(-2)) > 0
    return (rates(matrix)[2] * occurs).sum(-1) / occurs.sum(-1)


def bootstrap(
    predicted: np.ndarray, labels: np.ndarray, classes: int, samples: int = 2000, seed: int = 0
) -> dict[str, Interval]:
    """ "accuracy" and "macro_f1" with their intervals, over `samples` resamplings of the pictures."""
    rng = np.random.default_rng(seed)
    cells = labels * classes + predicted
    observed = np.bincount(cells, minlength=classes**2)
    drawn = rng.multinomial(len(cells), observed / len(cells), size=samples).reshape(-1, classes, classes)
    whole = observed.reshape(classes, classes)
    figures = {}
    for name, figure in (("accuracy", lambda m: np.trace(m, axis1=-2, axis2=-1) / len(cells)), ("macro_f1", macro_f1)):
        low, high = np.quantile(figure(drawn), (0.025, 0.975))
        figures[name] = Interval(float(figure(whole)), float(low), float(high))
    return figures


def reliability(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per bin of confidence: pictures, mean confidence, accuracy (0 where a bin is empty)."""
    confidence = probabilities.max(-1)
    right = probabilities.argmax(-1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    full = np.maximum(counts, 1)
    return counts, np.bincount(bin_of, confidence, bins) / full, np.bincount(bin_of, right, bins) / full


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 10) -> float:
    """|confidence - accuracy|, averaged over pictures by bins of confidence (Naeini et al. 2015). 0 is best."""
    counts, confidence, right = reliability(probabilities, labels, bins)
    return float((counts * np.abs(confidence - right)).sum() / counts.sum())


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T in [0.05, 20] for which softmax(logits / T) has the least cross entropy (Guo et al. 2017)."""
    found = minimize_scalar(
        lambda t: cross_entropy(logits / np.exp(t), labels), bounds=np.log((0.05, 20)), method="bounded"
    )
    return float(np.exp(found.x))
