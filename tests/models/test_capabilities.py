"""What methods need, and the sentence where a classifier lacks it."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import ModelError
from explain import METHODS
from explain.registry import default_method
from models import Classifier, capabilities
from tests.networks import linear

NEEDS = {name: method.needs for name, method in METHODS.items()}


def test_needs_of_the_methods() -> None:
    forward = {name for name, needs in NEEDS.items() if not needs}
    perturbation = {"finite-differences", "occlusion", "rise", "lime", "bay-lime", "kernel-shap", "sobol", "hsic"}
    assert forward == {*perturbation, "consensus"}
    assert NEEDS["grad-cam"] == NEEDS["eigen-cam"] == {"features", "feature-gradient"}
    assert NEEDS["score-cam"] == NEEDS["ablation-cam"] == NEEDS["recipro-cam"] == {"features"}
    assert NEEDS["cam"] == {"features", "linear"}
    assert NEEDS["saliency"] == NEEDS["extremal"] == {"gradient"}
    assert NEEDS["attention-rollout"] == NEEDS["gradient-attention"] == {"attention"}
    assert NEEDS["guided-grad-cam"] == {"features", "feature-gradient", "gradient", "guided"}


def test_a_method_that_needs_no_map_needs_no_features() -> None:
    """Only the CAM family may refuse a model without a spatial map."""
    for name, method in METHODS.items():
        assert ("features" in method.needs) == (method.family == "cam" or name == "guided-grad-cam")


@pytest.mark.parametrize("lacking", ["features", "feature-gradient", "linear", "gradient", "guided", "attention"])
def test_the_sentence_names_the_methods_that_work(lacking: str) -> None:
    classifier = linear()
    classifier.capabilities = capabilities.ALL
    for name in METHODS:
        capabilities.require(classifier, name, NEEDS)
    classifier.capabilities -= {lacking}
    able = [name for name, needs in NEEDS.items() if lacking not in needs]
    for name in METHODS:
        if name in able:
            capabilities.require(classifier, name, NEEDS)
            continue
        with pytest.raises(ModelError) as error:
            capabilities.require(classifier, name, NEEDS)
        assert str(error.value).startswith(f"{name} needs ")
        assert str(error.value).endswith(f"choose {', '.join(able)}.")


def test_the_default_method_works_with_every_classifier() -> None:
    classifier = linear()
    assert default_method(classifier) == "grad-cam"
    classifier.capabilities = frozenset()
    assert default_method(classifier) == "occlusion"
    with pytest.raises(ModelError, match="gives no gradients; use a method by perturbation, such as occlusion"):
        Classifier.gradient(classifier, np.zeros((1, 16, 16, 3), np.float32), np.ones(3, np.float32))
