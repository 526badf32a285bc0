"""Feature visualisation: gradients against finite differences, results against their own classifier."""

from __future__ import annotations

import io
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from core.errors import UnknownNameError, UserError
from models.classifier import Classifier
from tests.networks import linear, picture, small_classifier
from visualise.optimise import (
    encode_animation,
    pull_back,
    random_transform,
    stream_visualisation,
    total_variation_gradient,
    visualise,
)


def uniform(classes: int = 3, side: int = 32) -> Classifier:
    """Class k counts colour k, less the others, wherever it is."""
    weights = np.zeros((side, side, 3, classes))
    for index in range(classes):
        weights[..., index] = np.where(np.arange(3) == index, 1, -0.5) / side**2
    return linear((side, side), weights=weights)


def test_a_view_taken_back_lies_where_it_was_seen() -> None:
    """The gradient of one spot of a view is a spot at its place in the picture, and keeps its sum: <g, A p> = <A' g, p>."""
    rng = np.random.default_rng(2)
    smooth = cv2.GaussianBlur(rng.standard_normal((64, 64, 3)).astype(np.float32), (0, 0), 3)
    spot = np.zeros((48, 48, 3), np.float32)
    spot[16:32, 16:32] = 1
    spot = cv2.GaussianBlur(spot, (0, 0), 3)
    for _ in range(5):
        transform = random_transform((64, 64), (48, 48), rng)
        seen = cv2.warpAffine(smooth, transform, (48, 48), borderMode=cv2.BORDER_REFLECT_101)
        back = pull_back(spot, transform, (64, 64))
        assert float((back * smooth).sum()) == pytest.approx(float((spot * seen).sum()), rel=0.03, abs=1.5)


def test_the_variation_is_a_gradient() -> None:
    rng = np.random.default_rng(3)
    pixels, change = rng.random((9, 11, 3)).astype(np.float32), rng.standard_normal((9, 11, 3)).astype(np.float32)

    def variation(x: np.ndarray) -> float:
        down, right = np.zeros_like(x), np.zeros_like(x)
        down[:-1], right[:, :-1] = np.diff(x, axis=0), np.diff(x, axis=1)
        return float(np.sqrt(down**2 + right**2 + 1e-6).sum(dtype=np.float64))

    rise = (variation(pixels + 1e-3 * change) - variation(pixels - 1e-3 * change)) / 2e-3
    assert float((total_variation_gradient(pixels) * change).sum()) == pytest.approx(rise, rel=0.01)


@pytest.mark.parametrize("target", [0, 2])
def test_what_counts_a_colour_paints_that_colour(target: int) -> None:
    result = visualise(uniform(), target, steps=80, rate=3.0, octaves=1, smoothness=0)
    means = result.pixels.reshape(-1, 3).mean(0)
    assert means[target] > max(np.delete(means, target)) + 120
    assert result.top[0].index == target
    assert result.score == result.top[0].probability


def test_a_photograph_is_where_it_starts_and_what_holds_it() -> None:
    pixels = np.full((32, 32, 3), 128, np.uint8)
    pixels[8:24, 8:24] = (40, 200, 60)
    first = next(stream_visualisation(uniform(), 0, pixels, steps=50, every=1))
    assert np.abs(first.pixels.astype(int) - pixels).mean() < 12
    free, held = (visualise(uniform(), 0, pixels, steps=50, pull=pull) for pull in (0, 500))
    assert held.score < free.score
    far, near = (np.abs(result.pixels.astype(int) - pixels).mean() for result in (free, held))
    assert near < far / 2


def test_blur_and_smoothness_make_it_smoother() -> None:
    def roughness(**options: float) -> float:
        return float(
            np.abs(
                np.diff(
                    visualise(small_classifier("gap"), 1, steps=24, octaves=1, **options).pixels.astype(int), axis=1
                )
            ).mean()
        )

    plain = roughness(smoothness=0)
    assert roughness(smoothness=30) < plain
    assert roughness(smoothness=0, blur=1.5) < plain


def test_frames_seed_and_facts() -> None:
    frames = list(stream_visualisation(uniform(), "class 1", steps=10, every=4, seed=3))
    assert [frame.step for frame in frames] == [4, 8, 10]
    assert frames[-1].progress == 1
    again, other = visualise(uniform(), 1, steps=10, seed=3), visualise(uniform(), 1, steps=10, seed=4)
    np.testing.assert_array_equal(frames[-1].pixels, again.pixels)
    assert (again.pixels != other.pixels).any()
    assert json.loads(json.dumps(again.to_dict()))["goal"] == "class 1"


def test_a_channel_is_raised() -> None:
    classifier = small_classifier("smooth")
    assert classifier.channels() == {"act0": 6, "act1": 8}
    first, *_, last = stream_visualisation(classifier, 5, layer="act1", steps=30, every=1, rate=0.5, smoothness=0)
    assert last.goal == "channel 5 of act1"
    assert last.score > first.score + 0.1
    canvas = classifier.geometry(last.pixels.shape[:2]).place(last.pixels)[None]
    activation, _ = classifier.layer_gradient("act1", canvas, np.zeros(3, np.float32))
    assert last.score == pytest.approx(float(activation[..., 5].mean()), rel=1e-4)


def test_the_gradient_of_a_channel_is_that_of_differences() -> None:
    classifier = small_classifier("smooth")
    pixels = picture()[None].astype(np.float32)
    change = np.random.default_rng(5).standard_normal(pixels.shape).astype(np.float32)

    def mean(x: np.ndarray) -> float:
        return float(classifier.layer_gradient("act0", x, np.zeros(3, np.float32))[0][..., 2].mean())

    rise = (mean(pixels + change) - mean(pixels - change)) / 2
    result = classifier.channel_gradient("act0", 2, pixels)
    assert float((result * change).sum()) == pytest.approx(rise, rel=0.02)


@pytest.mark.parametrize(
    ("target", "options", "sentence"),
    [
        ("class 9", {}, "There is no class 'class 9'"),
        (0, {"steps": 0}, "Steps, octaves and every must be 1 or more"),
        (0, {"smoothness": -1}, "must be 0 or more"),
        ("red", {"layer": "act1"}, "the number of a channel, not 'red'"),
        (99, {"layer": "act1"}, "no channel of 'act1' '99'"),
        (0, {"layer": "act9"}, "choose from: act0, act1"),
    ],
)
def test_mistakes_get_one_sentence(target: int | str, options: dict, sentence: str) -> None:
    with pytest.raises((UserError, UnknownNameError), match=sentence):
        visualise(small_classifier("gap"), target, **options)


def test_a_real_network_believes_its_own_picture(mobilenet) -> None:
    result = visualise(mobilenet, "tarantula", steps=24, every=100)
    assert result.pixels.shape == (224, 224, 3)
    assert result.score > 0.99
    assert mobilenet.predict(result.pixels, 1)[0].label == "tarantula"


def test_the_animation_holds_every_frame() -> None:
    frames = [np.full((20, 30, 3), level, np.uint8) for level in (10, 120, 240)]
    with Image.open(io.BytesIO(encode_animation(frames))) as image:
        assert image.n_frames == 3
        image.seek(2)
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - 240).max() < 4
