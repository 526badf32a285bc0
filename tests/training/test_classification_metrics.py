"""Figures against scikit-learn, closed forms and known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import confusion_matrix, f1_score

from training import classification_metrics

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 4, 300)
PREDICTED = np.where(RNG.random(300) < 0.7, TRUTH, RNG.integers(0, 4, 300))


def test_macro_f1_is_that_of_scikit_learn_for_one_matrix_and_for_many() -> None:
    halves = [(TRUTH, PREDICTED), (TRUTH[:150], PREDICTED[:150]), (TRUTH[150:], PREDICTED[150:])]
    matrices = np.stack([confusion_matrix(truth, predicted, labels=range(4)) for truth, predicted in halves])
    theirs = [f1_score(truth, predicted, average="macro") for truth, predicted in halves]
    assert classification_metrics.macro_f1(matrices) == pytest.approx(theirs)
    assert float(classification_metrics.macro_f1(matrices[0])) == pytest.approx(theirs[0])


def test_a_class_that_does_not_occur_does_not_count() -> None:
    matrix = confusion_matrix([0, 1, 0], [0, 1, 1], labels=range(3))
    assert float(classification_metrics.macro_f1(matrix)) == pytest.approx(
        f1_score([0, 1, 0], [0, 1, 1], average="macro")
    )


def test_bootstrap_of_the_accuracy_is_binomial() -> None:
    right = TRUTH == PREDICTED
    interval = classification_metrics.bootstrap_intervals(PREDICTED, TRUTH, 4, samples=20_000)["accuracy"]
    spread = np.sqrt(right.mean() * (1 - right.mean()) / len(right))
    assert interval.value == pytest.approx(right.mean())
    assert interval.low == pytest.approx(right.mean() - 1.96 * spread, abs=0.005)
    assert interval.high == pytest.approx(right.mean() + 1.96 * spread, abs=0.005)
    assert classification_metrics.bootstrap_intervals(
        PREDICTED, TRUTH, 4
    ) == classification_metrics.bootstrap_intervals(PREDICTED, TRUTH, 4)


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.95, 0.05], [0.85, 0.15], [0.85, 0.15], [0.35, 0.65]])
    truth = np.array([0, 0, 1, 1])
    by_hand = (1 * abs(0.95 - 1) + 2 * abs(0.85 - 0.5) + 1 * abs(0.65 - 1)) / 4
    assert classification_metrics.expected_calibration_error(probabilities, truth) == pytest.approx(by_hand)


def test_temperature_undoes_a_scaling_of_the_logits() -> None:
    logits = RNG.normal(0, 2, (20_000, 3))
    drawn = RNG.random(20_000)[:, None] > np.cumsum(softmax(logits, axis=1), axis=1)
    truth = drawn.sum(1).clip(0, 2)
    assert classification_metrics.fit_temperature(logits, truth) == pytest.approx(1, abs=0.03)
    assert classification_metrics.fit_temperature(3 * logits, truth) == pytest.approx(3, abs=0.1)
    assert classification_metrics.expected_calibration_error(softmax(logits, axis=1), truth) < 0.01


def test_cross_entropy_is_that_of_the_probabilities() -> None:
    logits = RNG.normal(0, 5, (50, 3))
    truth = RNG.integers(0, 3, 50)
    by_hand = -np.log(softmax(logits, axis=1)[np.arange(50), truth]).mean()
    assert classification_metrics.cross_entropy(logits, truth) == pytest.approx(by_hand)
