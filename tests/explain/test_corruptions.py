"""Curves over distortions: the numbers are those of single questions, and moved evidence is followed."""

from __future__ import annotations

import numpy as np
import pytest

from explain import explain
from explain.corruptions import STRENGTHS, Curve, curves, distorted
from explain.faithfulness import spearman
from models.classifier import Prediction
from models.distortions import DISTORTIONS
from models.errors import UnknownNameError, UserError
from tests.explain.nets import detector, from_keras, picture


def test_every_point_is_what_asking_alone_gives() -> None:
    classifier, pixels = from_keras("gap"), picture(40, 56)
    found = {curve.name: curve for curve in curves(pixels, classifier, ["jpeg", "gaussian-noise"], 1, seed=3)}
    assert list(found) == ["jpeg", "gaussian-noise"]
    for name, curve in found.items():
        assert curve.strengths == STRENGTHS
        for index, strength in enumerate(STRENGTHS):
            alone = explain(distorted(pixels, name, strength, 3), classifier, target=1)
            assert curve.probabilities[index] == pytest.approx(alone.probability)
            assert curve.top[index] == alone.top[0]
        assert curve.probabilities[0] == curve.target.probability
        assert curve.correlations[0] == pytest.approx(1)
        assert min(curve.correlations) < 0.99


def test_points_come_one_by_one_and_zero_is_always_among_them() -> None:
    lengths = [len(curve.strengths) for curve in curves(picture(), from_keras("gap"), ["blur"], strengths=[1, 0.5])]
    assert lengths == [1, 2, 3]


def test_it_is_the_predicted_class_unless_another_is_asked_for() -> None:
    classifier = from_keras("gap")
    curve = next(iter(curves(picture(), classifier, ["blur"])))
    assert curve.target.index == classifier.predict(picture(), 1)[0].index


def test_every_distortion_has_its_curve() -> None:
    found = list(curves(picture(40, 40), from_keras("gap"), strengths=[1]))
    assert [curve.name for curve in found if len(curve.strengths) == 2] == list(DISTORTIONS)


@pytest.mark.parametrize(
    ("seen", "breaks"), [([1, 1, 1], None), ([1, 1, 2], 1.0), ([1, 2, 2], 0.5), ([1, 2, 1], None), ([2, 2, 2], 0.0)]
)
def test_where_it_breaks(seen: list[int], breaks: float | None) -> None:
    top = tuple(Prediction(index, str(index), 0.9) for index in seen)
    curve = Curve("blur", Prediction(1, "1", 0.9), (0.0, 0.5, 1.0), (0.9, 0.5, 0.1), top, (1.0, 1.0, 1.0))
    assert curve.breaks == breaks


@pytest.mark.parametrize("name", ["rotation", "zoom", "perspective"])
def test_heat_that_moved_with_the_picture_has_not_changed(name: str) -> None:
    """A detector of red sees the square wherever it goes; compared where it was, the map would seem to be another."""
    pixels = np.full((64, 64, 3), 60, np.uint8)
    pixels[8:24, 12:28] = (250, 0, 0)
    *_, curve = curves(pixels, detector(), [name], "red", strengths=[0.8])
    still = explain(pixels, detector(), target="red").heatmap
    there = explain(distorted(pixels, name, 0.8), detector(), target="red").heatmap
    assert curve.correlations[-1] > max(0.7, spearman(still, there) + 0.02)


def test_mistakes_get_one_sentence() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'blur'"):
        list(curves(picture(), from_keras("gap"), ["blurr"]))
    with pytest.raises(UserError, match="between 0 and 1; got 2"):
        list(curves(picture(), from_keras("gap"), ["blur"], strengths=[2]))
