"""Corruption curves: the values equal those of single explanations, and heatmaps follow pictures that move."""

from __future__ import annotations

import numpy as np
import pytest

from core.corruptions import CORRUPTIONS
from core.errors import UnknownNameError, UserError
from explain import explain
from explain.metrics.similarity import spearman
from models.classifier import Prediction
from robustness.corruption_curves import SEVERITIES, CorruptionCurve, corrupt, corruption_curves
from tests.networks import detector, picture, small_classifier


def test_every_point_is_what_asking_alone_gives() -> None:
    classifier, pixels = small_classifier("gap"), picture(40, 56)
    curves = {
        curve.name: curve for curve in corruption_curves(pixels, classifier, ["jpeg", "gaussian-noise"], 1, seed=3)
    }
    assert list(curves) == ["jpeg", "gaussian-noise"]
    for name, curve in curves.items():
        assert curve.severities == SEVERITIES
        for index, severity in enumerate(SEVERITIES):
            alone = explain(corrupt(pixels, name, severity, 3), classifier, target=1)
            assert curve.probabilities[index] == pytest.approx(alone.probability)
            assert curve.top[index] == alone.top[0]
        assert curve.probabilities[0] == curve.target.probability
        assert curve.correlations[0] == pytest.approx(1)
        assert min(curve.correlations) < 0.99


def test_points_come_one_by_one_and_zero_is_always_among_them() -> None:
    lengths = [
        len(curve.severities)
        for curve in corruption_curves(picture(), small_classifier("gap"), ["blur"], severities=[1, 0.5])
    ]
    assert lengths == [1, 2, 3]


def test_it_is_the_predicted_class_unless_another_is_asked_for() -> None:
    classifier = small_classifier("gap")
    curve = next(iter(corruption_curves(picture(), classifier, ["blur"])))
    assert curve.target.index == classifier.predict(picture(), 1)[0].index


def test_every_corruption_has_its_curve() -> None:
    curves = list(corruption_curves(picture(40, 40), small_classifier("gap"), severities=[1]))
    assert [curve.name for curve in curves if len(curve.severities) == 2] == list(CORRUPTIONS)


@pytest.mark.parametrize(
    ("predicted", "breaks"),
    [([1, 1, 1], None), ([1, 1, 2], 1.0), ([1, 2, 2], 0.5), ([1, 2, 1], None), ([2, 2, 2], 0.0)],
)
def test_where_it_breaks(predicted: list[int], breaks: float | None) -> None:
    top = tuple(Prediction(index, str(index), 0.9) for index in predicted)
    curve = CorruptionCurve("blur", Prediction(1, "1", 0.9), (0.0, 0.5, 1.0), (0.9, 0.5, 0.1), top, (1.0, 1.0, 1.0))
    assert curve.breaking_severity == breaks


@pytest.mark.parametrize("name", ["rotation", "zoom", "perspective"])
def test_heat_that_moved_with_the_picture_has_not_changed(name: str) -> None:
    """A detector of red sees the square wherever it goes; compared where it was, the map would seem to be another."""
    pixels = np.full((64, 64, 3), 60, np.uint8)
    pixels[8:24, 12:28] = (250, 0, 0)
    *_, curve = corruption_curves(pixels, detector(), [name], "red", severities=[0.8])
    still = explain(pixels, detector(), target="red").heatmap
    there = explain(corrupt(pixels, name, 0.8), detector(), target="red").heatmap
    assert curve.correlations[-1] > max(0.7, spearman(still, there) + 0.02)


def test_mistakes_get_one_sentence() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'blur'"):
        list(corruption_curves(picture(), small_classifier("gap"), ["blurr"]))
    with pytest.raises(UserError, match="between 0 and 1; got 2"):
        list(corruption_curves(picture(), small_classifier("gap"), ["blur"], severities=[2]))
