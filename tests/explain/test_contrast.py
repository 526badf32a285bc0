"""Contrast of two classes: for linear methods, the map of a difference of logits is the difference of the maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UnknownNameError, UserError
from explain import explain
from explain.cli import main
from explain.render import overlay_signed, sheet
from tests.networks import linear, picture, pooled, small_classifier

LINEAR_CAMS = ("cam", "grad-cam", "hires-cam", "xgrad-cam")
RNG = np.random.default_rng(8)


@pytest.mark.parametrize("method", LINEAR_CAMS)
def test_with_a_linear_head_it_is_the_difference_of_both_maps(method: str) -> None:
    """Before any ReLU, cell by cell."""
    classifier = pooled(RNG.normal(size=(3, 4)), RNG.normal(size=4))
    of = {index: explain(picture(), classifier, method, index).raw for index in (1, 3)}
    explanation = explain(picture(), classifier, method, 1, against=3)
    np.testing.assert_allclose(explanation.raw, of[1] - of[3], rtol=1e-4, atol=1e-4)
    assert explanation.against is not None
    assert (explanation.label, explanation.against.label) == ("class 1", "class 3")


def test_its_cells_sum_to_the_difference_of_the_logits_less_that_of_the_biases() -> None:
    weights, bias = RNG.normal(size=(3, 4)), RNG.normal(size=4)
    classifier = pooled(weights, bias)
    logits = classifier.forward(picture()[None])[1][0]
    explanation = explain(picture(), classifier, "hires-cam", 0, against=2)
    assert explanation.raw.sum() == pytest.approx((logits[0] - logits[2]) - (bias[0] - bias[2]), rel=1e-4)


@pytest.mark.parametrize("method", ["gradient-x-input", "integrated-gradients"])
def test_gradients_of_a_difference_are_differences(method: str) -> None:
    """On a network that is anything but linear: both are linear in the target."""
    classifier = small_classifier("flat")
    of = {index: explain(picture(), classifier, method, index).raw for index in (0, 2)}
    explanation = explain(picture(), classifier, method, 0, against=2)
    np.testing.assert_allclose(explanation.raw, of[0] - of[2], atol=1e-4 * np.abs(of[0]).max())


def test_saliency_is_that_of_the_difference() -> None:
    classifier = linear()
    weights = classifier.head.weights
    explanation = explain(picture(), classifier, "saliency", 0, against=1)
    np.testing.assert_allclose(explanation.raw, np.abs(weights[..., 0] - weights[..., 1]).max(-1), rtol=1e-5)


@pytest.mark.parametrize("method", ["grad-cam", "integrated-gradients"])
def test_the_signed_map_turns_over_with_the_question(method: str) -> None:
    classifier = small_classifier("gap")
    first, second = (explain(picture(), classifier, method, a, against=b) for a, b in ((0, 1), (1, 0)))
    assert first.signed is not None
    assert second.signed is not None
    np.testing.assert_allclose(first.signed, -second.signed, atol=1e-4)
    assert np.abs(first.signed).max() == pytest.approx(1)
    np.testing.assert_array_equal(first.signed > 0, first.heatmap > 0)
    assert explain(picture(), classifier, method, 0).signed is None


def test_on_a_real_network(mobilenet, cat_pixels: np.ndarray) -> None:
    of = {label: explain(cat_pixels, mobilenet, "cam", label).raw for label in ("Egyptian cat", "tabby")}
    explanation = explain(cat_pixels, mobilenet, "cam", against="TABBY")
    np.testing.assert_allclose(explanation.raw, of["Egyptian cat"] - of["tabby"], atol=1e-3)
    assert explanation.to_dict()["against"]["label"] == "tabby"


def test_colours_of_both_sides() -> None:
    """Orange for, blue against, untouched where there is nothing, the plain picture at opacity 0."""
    pixels = np.full((1, 3, 3), 128, np.uint8)
    drawn = overlay_signed(pixels, np.array([[-1, 0, 1]], np.float32), 1)[0].astype(int)
    assert drawn[0, 2] > drawn[0, 0] + 100
    np.testing.assert_array_equal(drawn[1], 128)
    assert drawn[2, 0] > drawn[2, 2] + 100
    np.testing.assert_array_equal(overlay_signed(pixels, np.ones((1, 3), np.float32), 0), pixels)
    with pytest.raises(UserError, match="opacity"):
        overlay_signed(pixels, np.zeros((1, 3), np.float32), 2)


def test_the_sheet_shows_both() -> None:
    pixels = picture(90, 300)
    classifier = small_classifier("gap")
    explanation = explain(pixels, classifier, target=0, against=1)
    assert explanation.signed is not None
    drawn = sheet(pixels, explanation, opacity=0.8)
    np.testing.assert_array_equal(drawn[:90], overlay_signed(pixels, explanation.signed, 0.8))
    assert drawn.shape[0] > 90


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"against": 1}, "'class 1' is already the target class"),
        ({"against": "class 7"}, "There is no class 'class 7'"),
    ],
)
def test_mistakes_get_one_sentence(how: dict, sentence: str) -> None:
    with pytest.raises((UserError, UnknownNameError), match=sentence):
        explain(picture(), linear(), target=1, **how)


def test_on_the_command_line(tmp_path: Path, cat: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = [str(cat), "--target", "tabby", "--against", "Egyptian cat", "--out", str(tmp_path), "--json"]
    assert main(arguments) == 0
    facts = json.loads(capfd.readouterr().out)
    assert (facts["target"]["label"], facts["against"]["label"]) == ("tabby", "Egyptian cat")
    with Image.open(tmp_path / "cat.grad-cam.png") as image:
        assert image.width == 451
    assert main([str(cat), "--against", "Egyptian cot"]) == 2
    assert "did you mean 'Egyptian cat'" in capfd.readouterr().err
