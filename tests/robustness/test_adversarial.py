"""The attack itself: results, settings, errors, and a real network after a PNG file."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import UnknownNameError, UserError
from robustness.adversarial import amplified_difference, attack
from tests.networks import linear, picture, small_classifier
from tests.robustness.linear_models import read_back


def test_the_result_tells_the_probabilities_of_both_classes() -> None:
    classifier, pixels = linear(), picture()
    result = attack(pixels, classifier, "pgd", "class 2", epsilon=2)
    old, new = ({p.index: p.probability for p in classifier.predict(x)} for x in (pixels, result.attacked))
    assert result.target is not None
    for pair in (result.original_class, result.target):
        assert [p.probability for p in pair] == pytest.approx([old[pair[0].index], new[pair[0].index]])
    facts = result.to_dict()
    assert facts["target"]["label"] == "class 2"
    assert facts["forward_passes"] == 22
    assert facts["backward_passes"] == 20
    assert 0 < facts["ssim"] < 1


def test_seed_and_early_end() -> None:
    classifier, pixels = small_classifier("gap"), picture()
    first, again, other = (attack(pixels, classifier, "pgd", epsilon=2, steps=3, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.attacked, again.attacked)
    assert (first.attacked != other.attacked).any()
    classifier = linear()
    source = classifier.predict(pixels, 1)[0].index
    early = attack(pixels, classifier, "pgd", (source + 1) % 3, epsilon=40, steps=200, early_stop=True)
    assert early.success
    assert early.steps < 200


def test_the_difference_is_grey_where_nothing_changed() -> None:
    classifier, pixels = linear(), picture()
    pixels[:, :5] = 100
    result = attack(pixels, classifier, "fgsm", 2, epsilon=2)
    np.testing.assert_array_equal(amplified_difference(result, 10), 128 + 10 * result.perturbation)
    assert amplified_difference(result, 100).min() == 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"method": "pdg"}, "did you mean 'pgd'"),
        ({"target": "class 9"}, "There is no class 'class 9'"),
        ({"norm": "l7"}, "There is no norm 'l7'"),
        ({"method": "deepfool", "norm": "linf"}, "DeepFool is defined for l2"),
        ({"epsilon": 0.5}, "1 level is the smallest change"),
        ({"norm": "l2", "epsilon": 0}, "Epsilon must be a number above 0"),
        ({"norm": "l2", "epsilon": float("nan")}, "Epsilon must be a number above 0"),
        ({"steps": 0}, "at least 1 step"),
    ],
)
def test_mistakes_get_one_sentence(settings: dict, sentence: str) -> None:
    with pytest.raises((UserError, UnknownNameError), match=sentence):
        attack(picture(), linear(), **settings)


def test_a_class_that_is_seen_already_is_no_target() -> None:
    classifier = linear()
    seen = classifier.predict(picture(), 1)[0]
    with pytest.raises(UserError, match=f"already classified as '{seen.label}'"):
        attack(picture(), classifier, target=seen.index)


def test_untargeted_on_a_real_network(mobilenet, cat_pixels: np.ndarray) -> None:
    result = attack(cat_pixels, mobilenet, epsilon=2, steps=10, early_stop=True)
    assert result.success
    assert mobilenet.predict(read_back(result.attacked), 1)[0].index != result.original_class[0].index
    assert result.ssim > 0.97
