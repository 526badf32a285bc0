"""The quick check: its figures against their definitions, and its verdict on planted evidence."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from explain import explain
from explain.baselines import make_baseline
from explain.metrics.faithfulness import Curve
from explain.metrics.quick_trust import FOUND, PARTLY, SHARES, UNLIKELY, QuickTrust, check_map, quick_trust
from explain.view import View
from samples import SAMPLES
from tests.cue_network import classifier as cue_classifier
from tests.cue_network import to_network_size
from tests.networks import SIDE, linear, picture

BADGES = [sample.path for sample in SAMPLES if sample.kind == "thumbnail"][:3]


def view_of(classifier, pixels: np.ndarray) -> View:
    return View(classifier, classifier.geometry(pixels.shape[:2]), pixels)


def probability(view: View, canvas: np.ndarray, target: int) -> float:
    return float(view.classifier.probabilities(view.classifier.forward(canvas[None])[1])[0, target])


def mild() -> View:
    """A view whose probabilities are far from 0 and 1."""
    return view_of(linear(weights=np.random.default_rng(9).normal(0, 0.0005, (SIDE, SIDE, 3, 3))), picture())


def test_the_hottest_pixels_are_blurred_and_kept() -> None:
    """Every point of both curves, computed here from a mask over the smoothed map."""
    view = mild()
    values = np.random.default_rng(0).random((SIDE, SIDE)).astype(np.float32)
    check = check_map(view, values, 1)
    smooth, blurred = cv2.GaussianBlur(values, (0, 0), 0.03 * SIDE), make_baseline(view, "blur")
    for number, share in enumerate(SHARES, 1):
        hot = (smooth >= np.sort(smooth.ravel())[-round(share * smooth.size)])[..., None]
        assert check.deletion.scores[number] == pytest.approx(
            probability(view, np.where(hot, blurred, view.canvas), 1), rel=1e-4
        )
        assert check.insertion.scores[number] == pytest.approx(
            probability(view, np.where(hot, view.canvas, blurred), 1), rel=1e-4
        )
    whole, empty = probability(view, view.canvas, 1), probability(view, blurred, 1)
    for curve in (check.deletion, check.control_deletion):
        np.testing.assert_allclose(curve.scores[[0, -1]], [whole, empty], rtol=1e-5)
    np.testing.assert_allclose(check.insertion.scores[[0, -1]], [empty, whole], rtol=1e-5)


def test_at_most_twenty_passes_and_the_same_with_the_same_seed() -> None:
    values = np.random.default_rng(0).random((SIDE, SIDE))
    checks = [check_map(mild(), values, 0, seed=seed) for seed in (3, 3, 4)]
    assert checks[0].passes <= 20
    np.testing.assert_array_equal(checks[0].control_deletion.scores, checks[1].control_deletion.scores)
    assert not np.array_equal(checks[0].control_deletion.scores, checks[2].control_deletion.scores)


def test_a_map_without_a_place_is_no_better_than_its_control() -> None:
    """A constant map is the same wherever it is moved."""
    assert check_map(mild(), np.ones((SIDE, SIDE)), 0).advantage == 0


@pytest.mark.parametrize("path", BADGES, ids=lambda path: path.stem)
def test_the_badge_is_what_the_prediction_depends_on(path) -> None:
    """A classifier that knows channels by their badge: the badge's map is found, the map beside it is not."""
    pixels = to_network_size(np.asarray(Image.open(path).convert("RGB")))
    badge = to_network_size(np.asarray(Image.open(path.with_suffix(".mask.png")).convert("L"))).astype(np.float32)
    view = view_of(cue_classifier(), pixels)
    target = int(view.logits.argmax())
    right = check_map(view, badge, target)
    assert right.verdict == "found"
    assert right.blurred < 0.5 * right.probability
    assert right.blurred < right.blurred_control
    wrong = check_map(view, np.roll(badge, (badge.shape[0] // 2, badge.shape[1] // 2), (0, 1)), target)
    assert wrong.verdict == "little"
    assert wrong.blurred > 0.9 * wrong.probability


def test_the_check_of_an_explanation_is_that_of_its_map() -> None:
    pixels = to_network_size(np.asarray(Image.open(BADGES[0]).convert("RGB")))
    explanation = explain(pixels, cue_classifier())
    check = quick_trust(explanation, cue_classifier(), pixels)
    view = view_of(cue_classifier(), pixels)
    same = check_map(view, view.geometry.restore(explanation.raw), explanation.class_index)
    assert check.to_dict() == same.to_dict()
    assert check.probability == pytest.approx(explanation.probability, rel=1e-5)
    assert [picture.shape for picture in check.pictures] == [(*view.geometry.box[2:], 3)] * 2


def of(probability: float, advantage: float) -> QuickTrust:
    """A check with this advantage, from curves that are flat."""
    ends = np.array([0, *SHARES, 1])

    def flat(level: float) -> Curve:
        return Curve(ends, np.full(len(ends), level))

    shift = advantage * probability
    nothing = (np.zeros((1, 1, 3), np.uint8),) * 2
    return QuickTrust(probability, flat(-shift), flat(shift), flat(0), flat(0), 20, nothing)


def test_the_verdict_follows_its_limits() -> None:
    assert of(0.9, FOUND + 0.01).verdict == "found"
    assert of(0.9, FOUND - 0.01).verdict == "partly"
    assert of(0.9, PARTLY - 0.01).verdict == "little"
    assert of(UNLIKELY / 2, 1).verdict == "unlikely"
    assert of(0.5, 0.2).advantage == pytest.approx(0.2)
