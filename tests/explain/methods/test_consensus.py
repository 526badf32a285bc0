"""Consensus against mean ranks and rank correlations that SciPy computes from the methods' own maps."""

from __future__ import annotations

import itertools
import re

import cv2
import numpy as np
import pytest
from scipy import stats

from core.errors import UnknownNameError, UserError
from explain import explain, stream
from tests.networks import SIDE, blank, keras_net, picture, small_classifier

CHOSEN = ("grad-cam", "saliency", "gradient-x-input")


def _ranks(method: str, kind: str) -> np.ndarray:
    raw = explain(picture(), small_classifier(kind), method, 1).raw.astype(np.float32)
    return stats.rankdata(cv2.resize(raw, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)) - 1


@pytest.mark.parametrize("kind", ["gap", "flat"])
def test_it_is_the_mean_rank_and_tells_the_agreement(kind: str) -> None:
    assert keras_net(kind).name == kind
    ranks = [_ranks(method, kind) for method in CHOSEN]
    explanation = explain(picture(), small_classifier(kind), "consensus", 1, methods=", ".join(CHOSEN))
    expected = np.mean(ranks, axis=0).reshape(SIDE, SIDE) / (SIDE**2 - 1)
    np.testing.assert_allclose(explanation.raw, expected, atol=1e-6)
    agreement = np.mean([stats.spearmanr(a, b).statistic for a, b in itertools.combinations(ranks, 2)])
    assert float(re.search(r"-?\d\.\d\d", explanation.notes[-1])[0]) == pytest.approx(agreement, abs=0.0051)


def test_each_method_adds_a_step() -> None:
    steps = list(stream(picture(), small_classifier("gap"), "consensus", 1, methods=",".join(CHOSEN)))
    assert [step.progress for step in steps] == pytest.approx([1 / 3, 2 / 3, 1])
    assert steps[0].notes == ()  # one method has nothing to agree with


def test_constant_maps_have_no_correlation_and_middle_ranks() -> None:
    explanation = explain(picture(), blank((SIDE, SIDE)), "consensus", 0, methods="saliency,gradient-x-input")
    np.testing.assert_allclose(explanation.raw, 0.5)
    assert "0.00" in explanation.notes[-1]


@pytest.mark.parametrize(
    ("methods", "error"),
    [("grad-cam", UserError), ("cam,CAM", UserError), ("cam,consensus", UserError), ("cam,nothing", UnknownNameError)],
)
def test_it_needs_two_other_methods(methods: str, error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        explain(picture(), small_classifier("gap"), "consensus", methods=methods)
    assert "\n" not in str(raised.value)
