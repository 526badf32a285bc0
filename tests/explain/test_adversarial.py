"""Attacks against what can be worked out on linear models, and on a real network after a PNG file."""

from __future__ import annotations

import io
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explain import adversarial
from explain.adversarial import ATTACKS, CURES, attack, checks, difference, minimal_epsilon, patch, stream
from explain.commands import attack as command
from models.classifier import Classifier
from models.errors import UnknownNameError, UserError
from models.picture import read
from tests.explain.nets import SIDE, from_keras, linear, picture


def two_classes(weight: np.ndarray, margin: float, pixels: np.ndarray) -> Classifier:
    """Class 0 leads by `margin` on that picture; its lead falls by `weight` (SIDE, SIDE, 3) a level."""
    classifier = linear(weights=np.stack([-weight / 2, weight / 2], -1))
    lead = float(np.subtract(*classifier.forward(pixels[None])[1][0]))
    bias = classifier.engine.bias + np.array([margin - lead, 0])
    classifier.engine.bias = classifier.head.bias = bias
    return classifier


@pytest.fixture
def weight() -> np.ndarray:
    return np.random.default_rng(4).normal(0, 0.01, (SIDE, SIDE, 3))


@pytest.fixture
def grey() -> np.ndarray:
    """Far from black and white, so that no change is cut off."""
    return np.random.default_rng(5).integers(80, 170, (SIDE, SIDE, 3), dtype=np.uint8)


def lead(classifier: Classifier, pixels: np.ndarray) -> float:
    logits = classifier.forward(classifier.geometry(pixels.shape[:2]).place(pixels)[None])[1][0]
    return float(logits[0] - logits[1])


def read_back(pixels: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return read(Image.open(file)).pixels


@pytest.mark.parametrize("epsilon", [1, 3, 4.6])
@pytest.mark.parametrize("method", ["fgsm", "pgd", "mi-fgsm", "ascent"])
def test_linf_on_a_linear_model_gains_epsilon_times_the_l1_norm(
    method: str, epsilon: float, weight: np.ndarray, grey: np.ndarray
) -> None:
    """No perturbation gains more; what is left of 4.6 levels is 4."""
    classifier = two_classes(weight, 1000, grey)
    found = attack(grey, classifier, method, norm="linf", epsilon=epsilon)
    assert found.linf == math.floor(epsilon)
    expected = math.floor(epsilon) * np.abs(weight).sum()
    assert 1000 - lead(classifier, found.attacked) == pytest.approx(expected, rel=1e-4)
    assert not found.success


@pytest.mark.parametrize("size", [(40, 56), (7 * SIDE, 5 * SIDE), (23, 61)])
def test_the_gradient_goes_through_the_resize_and_past_the_padding(size: tuple[int, int], weight: np.ndarray) -> None:
    """In the picture's own pixels the model is linear too, with the weights that pull() gives: the same identity."""
    pixels = np.random.default_rng(6).integers(80, 170, (*size, 3), dtype=np.uint8)
    classifier = linear(weights=np.stack([np.zeros_like(weight), weight], -1))
    found = attack(pixels, classifier, "fgsm", norm="linf", epsilon=8)
    own = classifier.geometry(size).pull(weight.astype(np.float32))
    rise = abs(lead(classifier, found.attacked) - lead(classifier, pixels))
    assert rise == pytest.approx(8 * np.abs(own).sum(), rel=0.06), "the canvas itself is rounded to levels"


@pytest.mark.parametrize("margin", [0.4, 2.0])
def test_deepfool_on_a_linear_model_goes_straight_over_the_border(
    margin: float, weight: np.ndarray, grey: np.ndarray
) -> None:
    """The nearest whole-numbered way over it is one level on each of the largest weights until they add up to the lead."""
    found = attack(grey, two_classes(weight, margin, grey), "deepfool")
    fewest = 1 + int((np.cumsum(np.sort(np.abs(weight).ravel())[::-1]) <= margin).sum())
    assert found.success
    assert math.sqrt(fewest) <= found.l2 * 255 <= 1.1 * math.sqrt(fewest)


@pytest.mark.parametrize("levels", [1, 2, 6, 13])
def test_the_smallest_epsilon_is_where_the_closed_form_says(levels: int, weight: np.ndarray, grey: np.ndarray) -> None:
    """epsilon * |w|_1 must exceed the lead."""
    classifier = two_classes(weight, (levels - 0.5) * np.abs(weight).sum(), grey)
    found = minimal_epsilon(grey, classifier)
    assert found.epsilon == levels
    assert found.attack is not None
    assert found.attack.linf == levels
    assert found.progress == 1
    assert dict(found.tried)[levels]
    assert levels == 1 or not dict(found.tried)[levels - 1]


def test_the_smallest_l2_epsilon_is_near_the_closed_form(weight: np.ndarray, grey: np.ndarray) -> None:
    nearest = 30 / np.sqrt((weight**2).sum()) / 255  # far enough that rounding costs little
    found = minimal_epsilon(grey, two_classes(weight, 30, grey), norm="l2")
    assert found.epsilon == pytest.approx(nearest, rel=0.1)


def test_where_nothing_helps_the_search_says_so(grey: np.ndarray) -> None:
    found = minimal_epsilon(grey, two_classes(np.zeros((SIDE, SIDE, 3)), 5, grey))
    assert found.epsilon is None
    assert [epsilon for epsilon, _ in found.tried] == [1, 2, 4, 8, 16, 32, 64]


@pytest.mark.parametrize("length", [1.0, 2.3, 3.7])
def test_whole_perturbations_are_the_best_of_their_length(length: float) -> None:
    """Against every whole vector there is."""
    delta = np.array([0.31, -0.72, 0.11, 0.9], np.float32)
    found = adversarial._whole(delta * np.float32(length / np.linalg.norm(delta)), "l2", 99)
    assert (found == np.rint(found)).all()
    assert 0 < np.linalg.norm(found) <= length + 1e-6
    every = np.array(list(itertools.product(range(-4, 5), repeat=4)))
    rivals = every[np.linalg.norm(every, axis=1) <= np.linalg.norm(found) + 1e-6]
    assert found @ delta == pytest.approx((rivals @ delta).max(), abs=1e-6)


@pytest.mark.parametrize("size", [(SIDE, SIDE), (30, 17), (64, 90)])
@pytest.mark.parametrize(("method", "norm"), [(m.name, norm) for m in ATTACKS.values() for norm in m.norms])
def test_every_step_is_a_real_picture_within_the_limit(method: str, norm: str, size: tuple[int, int]) -> None:
    """Black and white pixels included, which can move one way only."""
    pixels = picture(*size)
    pixels[:3], pixels[3:6] = 0, 255
    before, epsilon = pixels.copy(), {"linf": 3, "l2": 0.7}[norm]
    classifier = linear()
    for found in stream(pixels, classifier, method, 2, norm=norm, epsilon=epsilon, steps=6):
        assert found.attacked.dtype == np.uint8
        assert found.attacked.shape == pixels.shape
        assert (found.linf if norm == "linf" else found.l2) <= epsilon + 1e-6
        np.testing.assert_array_equal(found.original.astype(int) + found.perturbation, found.attacked)
        seen = classifier.predict(read_back(found.attacked), 1)[0]
        assert seen == found.after[0]
        assert found.success == (seen.index == 2)
    assert found.progress == 1
    np.testing.assert_array_equal(pixels, before)


def test_the_result_tells_the_probabilities_of_both_classes() -> None:
    classifier, pixels = linear(), picture()
    found = attack(pixels, classifier, "pgd", "class 2", epsilon=2)
    old, new = ({p.index: p.probability for p in classifier.predict(x)} for x in (pixels, found.attacked))
    assert found.target is not None
    for pair in (found.source, found.target):
        assert [p.probability for p in pair] == pytest.approx([old[pair[0].index], new[pair[0].index]])
    facts = found.facts()
    assert facts["target"]["label"] == "class 2"
    assert facts["forward_passes"] == 22
    assert facts["backward_passes"] == 20
    assert 0 < facts["ssim"] < 1


def test_seed_and_early_end() -> None:
    classifier, pixels = from_keras("gap"), picture()
    first, again, other = (attack(pixels, classifier, "pgd", epsilon=2, steps=3, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.attacked, again.attacked)
    assert (first.attacked != other.attacked).any()
    classifier = linear()
    source = classifier.predict(pixels, 1)[0].index
    early = attack(pixels, classifier, "pgd", (source + 1) % 3, epsilon=40, steps=200, early=True)
    assert early.success
    assert early.steps < 200


def test_the_difference_is_grey_where_nothing_changed() -> None:
    classifier, pixels = linear(), picture()
    pixels[:, :5] = 100
    found = attack(pixels, classifier, "fgsm", 2, epsilon=2)
    np.testing.assert_array_equal(difference(found, 10), 128 + 10 * found.perturbation)
    assert difference(found, 100).min() == 0


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"method": "pdg"}, "did you mean 'pgd'"),
        ({"target": "class 9"}, "There is no class 'class 9'"),
        ({"norm": "l7"}, "There is no norm 'l7'"),
        ({"method": "deepfool", "norm": "linf"}, "DeepFool is defined for l2"),
        ({"epsilon": 0.5}, "knows no smaller change"),
        ({"norm": "l2", "epsilon": 0}, "Epsilon is a number above 0"),
        ({"norm": "l2", "epsilon": float("nan")}, "Epsilon is a number above 0"),
        ({"steps": 0}, "at least 1 step"),
    ],
)
def test_mistakes_get_one_sentence(how: dict, sentence: str) -> None:
    with pytest.raises((UserError, UnknownNameError), match=sentence):
        attack(picture(), linear(), **how)


def test_a_class_that_is_seen_already_is_no_target() -> None:
    classifier = linear()
    seen = classifier.predict(picture(), 1)[0]
    with pytest.raises(UserError, match=f"seen as '{seen.label}' already"):
        attack(picture(), classifier, target=seen.index)


def test_a_patch_grows_the_colour_that_the_model_counts() -> None:
    """Red less green and blue, anywhere: the best patch is pure red, and wins at every place of both pictures."""
    weights = np.zeros((64, 64, 3, 2))
    weights[..., 0] = np.array([1, -1, -1]) / 1e5
    classifier = linear((64, 64), weights=weights)
    classifier.engine.bias = classifier.head.bias = np.array([0, -3.0])
    blue = np.full((64, 64, 3), (10, 10, 230), np.uint8)
    assert classifier.predict(blue, 1)[0].label == "class 1"
    *_, found = patch([blue, blue[:, 4:]], classifier, "class 0", share=0.85, steps=40)
    assert found.pixels.shape == (51, 51, 3)
    np.testing.assert_array_equal(found.pixels, np.broadcast_to([255, 0, 0], found.pixels.shape))
    assert found.rate == 1
    assert classifier.predict(found.example, 1)[0].label == "class 0"
    assert (found.example != blue).any(-1).sum() == 51 * 51


def test_attacks_on_a_real_network_survive_png_and_meet_the_cures(mobilenet, cat_pixels: np.ndarray) -> None:
    """451 x 300 pixels on a canvas of 288 x 192."""
    found = attack(cat_pixels, mobilenet, "pgd", "espresso", epsilon=4, steps=20, early=True)
    assert found.success
    seen = mobilenet.predict(read_back(found.attacked), 1)[0]
    assert seen.label == "espresso"
    assert found.linf <= 4
    rows = {row.name: row for row in checks(found, mobilenet)}
    assert set(rows) == set(CURES)
    assert not rows["kept as PNG"].undone
    assert rows["kept as PNG"].attacked == found.after[0]
    assert rows["kept as PNG"].original == found.before[0]
    assert rows["half the size and back"].undone, "the finest detail carries a weak attack"
    for row in rows.values():
        assert row.restored <= row.undone


def test_untargeted_on_a_real_network(mobilenet, cat_pixels: np.ndarray) -> None:
    found = attack(cat_pixels, mobilenet, epsilon=2, steps=10, early=True)
    assert found.success
    assert mobilenet.predict(read_back(found.attacked), 1)[0].index != found.source[0].index
    assert found.ssim > 0.97


def test_on_the_command_line(tmp_path: Path, cat: Path, mobilenet, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = [str(cat), "--target", "tabby", "--epsilon", "2", "--steps", "5", "--checks", "--out", str(tmp_path)]
    assert command([*arguments, "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["success"]
    attacked = read(facts["attacked"]).pixels
    assert mobilenet.predict(attacked, 1)[0].label == "tabby"
    assert np.abs(attacked.astype(int) - read(cat).pixels).max() == facts["linf"] <= 2
    assert set(facts["checks"]) == set(CURES)
    assert command(arguments) == 0
    assert "Egyptian cat" in (out := capfd.readouterr().out)
    assert "-> tabby" in out
    assert "still fooled" in out
    assert command([str(cat), "--minimal", "--out", str(tmp_path)]) == 0
    assert "largest change 1/255" in capfd.readouterr().out
    assert command([str(cat), "--target", "Egyptian cat", "--out", str(tmp_path)]) == 2
    assert "already" in capfd.readouterr().err
    assert command([str(cat), "--patch", "--out", str(tmp_path)]) == 2
    assert "name it with --target" in capfd.readouterr().err
