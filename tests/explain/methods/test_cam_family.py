"""The CAM family against identities of pooling + dense heads, and against the definitions run on the user's own model."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.errors import UnknownNameError, UserError
from core.images import read
from explain import explain, stream
from explain.methods import cam
from models.classifier import Classifier
from tests.explain.methods.test_cam import assert_close, reference_gradient
from tests.networks import SIDE, detector, keras_net, picture, pooled, small_classifier

FAMILY = [
    "grad-cam++", "hires-cam", "xgrad-cam", "layer-cam", "eigen-cam", "score-cam", "ablation-cam", "recipro-cam",
]  # fmt: skip


def _features(classifier: Classifier, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    canvas = classifier.geometry(pixels.shape[:2]).place(pixels)[None]
    features, logits = classifier.forward(canvas)
    return features[0].astype(np.float64), logits[0].astype(np.float64)


def _behind(model, features: np.ndarray) -> np.ndarray:
    """Logits (N, classes) of features (N, h, w, C) put into the original model behind its layer "act1"."""
    x = features.astype(np.float32)
    for layer in model.layers[model.layers.index(model.get_layer("act1")) + 1 : -1]:  # the last is the softmax
        x = layer(x, training=False)
    return np.asarray(x)


def _identities(classifier: Classifier, pixels: np.ndarray, target: int) -> None:
    """Everything that global average pooling and one dense layer make a closed form of."""
    a, logits = _features(classifier, pixels)
    w = classifier.head.weights[:, target].astype(np.float64)
    cells, sums = a.shape[0] * a.shape[1], a.sum((0, 1))
    raw = {name: explain(pixels, classifier, name, target).raw for name in FAMILY if name != "score-cam"}
    assert_close(raw["hires-cam"], a @ w / cells)
    assert_close(raw["xgrad-cam"], a @ w / cells)
    assert_close(raw["grad-cam++"], a @ (np.maximum(w, 0) / (2 + sums * w / cells)))
    assert_close(raw["layer-cam"], a @ np.maximum(w, 0) / cells)
    assert_close(raw["ablation-cam"], a @ (w * sums / (cells * abs(logits[target]))))
    assert raw["hires-cam"].sum(dtype=np.float64) == pytest.approx(
        logits[target] - classifier.head.bias[target], abs=1e-3
    )
    assert_close(explain(pixels, classifier, "recipro-cam", target, mask="cell").raw, a @ w / cells)
    around = np.pad(a @ w / cells, 1)
    height, width = a.shape[:2]
    shares = {(0, 0): 4, (0, 1): 2, (1, 0): 2, (0, -1): 2, (-1, 0): 2, (1, 1): 1, (-1, 1): 1, (1, -1): 1, (-1, -1): 1}
    blurred = sum(
        share / 16 * around[1 + y : 1 + y + height, 1 + x : 1 + x + width] for (y, x), share in shares.items()
    )
    assert_close(raw["recipro-cam"], blurred)


@pytest.mark.parametrize("target", [0, 285])
def test_identities_of_pooling_and_one_dense_layer(embedded: Classifier, cat_pixels: np.ndarray, target: int) -> None:
    _identities(embedded, cat_pixels, target)


@pytest.mark.parametrize("target", [0, 1, 2])
def test_the_same_on_a_keras_model(target: int) -> None:
    _identities(small_classifier("gap"), picture(), target)


@pytest.mark.parametrize("kind", ["flat", "gap", "smooth"])
@pytest.mark.parametrize("target", [0, 2])
def test_definitions_with_the_gradients_of_the_original_model(kind: str, target: int) -> None:
    features, gradient = (array.astype(np.float64) for array in reference_gradient(keras_net(kind), picture(), target))
    expected = {name: np.zeros(features.shape[:2]) for name in ("grad-cam++", "hires-cam", "xgrad-cam", "layer-cam")}
    for a, g in zip(np.moveaxis(features, -1, 0), np.moveaxis(gradient, -1, 0), strict=True):
        below = 2 * g**2 + a.sum() * g**3
        shares = np.where(g == 0, 0, g**2 / np.where(g == 0, 1, below))
        expected["grad-cam++"] += (shares * np.maximum(g, 0)).sum() * a
        expected["hires-cam"] += a * g
        expected["xgrad-cam"] += (a / a.sum() * g).sum() * a if a.sum() else 0
        expected["layer-cam"] += np.maximum(g, 0) * a
    for name, truth in expected.items():
        if (kind, name) != ("smooth", "grad-cam++"):  # with negative features its denominators come near zero
            assert_close(explain(picture(), small_classifier(kind), name, target).raw, truth, 2e-4)


@pytest.mark.parametrize("target", [0, 1, 2])
def test_behind_a_dense_head_cells_sum_to_the_logit_less_the_bias_of_its_linear_piece(target: int) -> None:
    """The network is piecewise linear: its ReLUs' biases count where they are on."""
    model, pixels = keras_net("flat"), picture()
    features, logits = _features(small_classifier("flat"), pixels)
    (first, first_bias), (last, last_bias) = model.layers[-3].get_weights(), model.layers[-2].get_weights()
    pooled_features = features.reshape(SIDE // 2, 2, SIDE // 2, 2, -1).max((1, 3)).ravel()
    on = pooled_features @ first + first_bias > 0
    bias = (on * first_bias) @ last[:, target] + last_bias[target]
    for name in ("hires-cam", "xgrad-cam"):
        found = explain(pixels, small_classifier("flat"), name, target).raw.sum(dtype=np.float64)
        assert found == pytest.approx(logits[target] - bias, abs=1e-4)


@pytest.mark.parametrize("kind", ["flat", "smooth"])
@pytest.mark.parametrize("target", [0, 2])
@pytest.mark.parametrize("memory", [1, 50_000, 1 << 30])
def test_methods_without_gradients_by_brute_force(kind: str, target: int, memory: int, monkeypatch) -> None:
    """Channels taken away, and cells left alone, in the features of the original model; in chunks of any size."""
    monkeypatch.setattr(cam, "MEMORY", memory)
    model, classifier = keras_net(kind), small_classifier(kind)
    features, _ = reference_gradient(model, picture(), target)
    whole, nothing = (_behind(model, f[None])[0, target] for f in (features, np.zeros_like(features)))
    ablation = np.zeros((SIDE, SIDE))
    for channel in range(features.shape[-1]):
        without = features.copy()
        without[..., channel] = 0
        ablation += (whole - _behind(model, without[None])[0, target]) / abs(whole) * features[..., channel]
    assert_close(explain(picture(), classifier, "ablation-cam", target).raw, ablation, 1e-4)
    alone = np.zeros((SIDE * SIDE, *features.shape), np.float32)
    near = np.zeros_like(alone)
    for cell, (y, x) in enumerate(np.ndindex(SIDE, SIDE)):
        alone[cell, y, x] = features[y, x]
        for v, u in np.ndindex(SIDE, SIDE):
            if max(abs(v - y), abs(u - x)) < 2:
                near[cell, v, u] = features[v, u] / (4 * 2 ** (abs(v - y) + abs(u - x)))
    for mask, kept in (("cell", alone), ("gaussian", near)):
        expected = _behind(model, kept)[:, target].reshape(SIDE, SIDE) - nothing
        assert_close(explain(picture(), classifier, "recipro-cam", target, mask=mask).raw, expected, 2e-4)


def test_ablation_does_not_turn_over_where_the_score_is_negative() -> None:
    """Divided by the score as it is, evidence for a class would be shown as evidence against it."""
    weights = np.array([[1.0], [-0.5], [0.2]])
    maps = [explain(picture(), pooled(weights, np.array([bias])), "ablation-cam", 0) for bias in (500.0, -500.0)]
    assert all(np.corrcoef(found.raw.ravel(), maps[0].raw.ravel())[0, 1] > 0.999 for found in maps)
    assert maps[0].top[0].index == 0


def test_layer_cam_of_a_named_layer_is_that_of_the_original_model() -> None:
    model, classifier = keras_net("gap"), small_classifier("gap")
    default = explain(picture(), classifier, "layer-cam", 1)
    last = explain(picture(), classifier, "layer-cam", 1, layers="act1")
    assert_close(last.raw, default.raw, 1e-4)
    assert (default.backward_passes, last.backward_passes) == (0, 1)
    features, gradient = reference_gradient(model, picture(), 1, model.layers.index(model.get_layer("act0")))
    expected = (np.maximum(gradient, 0) * features).sum(-1)
    assert_close(explain(picture(), classifier, "layer-cam", 1, layers=" act0 ").raw, expected, 1e-4)


def test_several_layers_are_fused_as_in_the_paper() -> None:
    """The maximum of tanh(2 M / max M), on the finest grid."""
    pixels = np.full((64, 64, 3), 60, np.uint8)
    pixels[20:40, 12:30] = (250, 0, 20)
    fine, coarse = (
        explain(pixels, detector(), "layer-cam", "red", layers=name).raw.astype(np.float64)
        for name in ("colours", "kept")
    )
    assert (fine.shape, coarse.shape) == ((64, 64), (16, 16))
    scaled = [np.tanh(2 * np.maximum(found, 0) / found.max()) for found in (fine, coarse)]
    larger = cv2.resize(scaled[1], (64, 64), interpolation=cv2.INTER_LINEAR)
    fused = explain(pixels, detector(), "layer-cam", "red", layers="colours, kept")
    assert_close(fused.raw, np.maximum(scaled[0], larger))
    assert fused.backward_passes == 2


def test_layer_cam_of_the_embedded_networks_is_finer_at_earlier_layers(mobilenet, cat_pixels: np.ndarray) -> None:
    found = explain(cat_pixels, mobilenet, "layer-cam", layers="block14-wide,features")
    last = explain(cat_pixels, mobilenet, "layer-cam")
    assert found.raw.shape == tuple(2 * side for side in last.raw.shape)
    assert_close(explain(cat_pixels, mobilenet, "layer-cam", layers="features").raw, last.raw, 1e-3)


def test_a_layer_that_is_none_is_refused_with_those_there_are(mobilenet) -> None:
    with pytest.raises(UnknownNameError, match=r"^There is no layer 'act9' [^\n]*choose from: act0, act1\.$"):
        explain(picture(), small_classifier("gap"), "layer-cam", layers="act1,act9")
    with pytest.raises(UnknownNameError, match=r"stem, [^\n]*block17-deep, features\.$"):
        explain(picture(), mobilenet, "layer-cam", layers="functional")
    with pytest.raises(UnknownNameError, match="There is no layer 'pixels'"):
        explain(picture(), small_classifier("gap"), "layer-cam", layers="pixels")


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize("kind", ["gap", "flat"])
def test_eigen_cam_is_the_first_principal_component(kind: str, target: int) -> None:
    features, gradient = reference_gradient(keras_net(kind), picture(), target)
    cells = features.reshape(-1, features.shape[-1]).astype(np.float64)
    variances, components = np.linalg.eigh(np.cov(cells.T))
    expected = ((cells - cells.mean(0)) @ components[:, -1]).reshape(SIDE, SIDE)
    found = explain(picture(), small_classifier(kind), "eigen-cam", target).raw
    assert_close(np.abs(found), np.abs(expected), 1e-3)
    assert found.var(ddof=1) == pytest.approx(variances[-1], rel=1e-3)
    assert np.corrcoef(found.ravel(), (features * gradient).sum(-1).ravel())[0, 1] > 0


def test_eigen_cam_with_more_channels_than_cells(mobilenet, cat_pixels: np.ndarray) -> None:
    features, _ = _features(mobilenet, cat_pixels)
    cells = features.reshape(-1, 1280)
    left, values, _ = np.linalg.svd(cells - cells.mean(0), full_matrices=False)
    found = explain(cat_pixels, mobilenet, "eigen-cam").raw
    assert_close(np.abs(found).ravel(), np.abs(left[:, 0] * values[0]), 1e-4)


def test_the_sign_of_eigen_cam_is_that_of_the_evidence(mobilenet, cat_pixels: np.ndarray) -> None:
    """Turned over with the weights, whatever sign the decomposition gave."""
    weights = np.array([[1.0, -1.0], [0.3, -0.3], [0.1, -0.1]])
    plus, minus = (explain(picture(), pooled(weights, np.zeros(2)), "eigen-cam", index).raw for index in (0, 1))
    np.testing.assert_array_equal(plus, -minus)
    for target in (3, 285, 701, 999):
        found, evidence = (explain(cat_pixels, mobilenet, name, target).raw for name in ("eigen-cam", "hires-cam"))
        assert np.corrcoef(found.ravel(), evidence.ravel())[0, 1] > 0


def _score_cam(classifier: Classifier, pixels: np.ndarray, target: int, channels: list[int], fill) -> np.ndarray:
    """The definition, with OpenCV's half-pixel bilinear resizing."""
    canvas = classifier.geometry(pixels.shape[:2]).place(pixels).astype(np.float64)
    features, _ = _features(classifier, pixels)
    empty = np.broadcast_to(np.array(fill, np.float64), canvas.shape)
    expected = np.zeros(features.shape[:2])
    for channel in channels:
        mask = cv2.resize(features[..., channel], canvas.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        mask = ((mask - mask.min()) / (mask.max() - mask.min()))[..., None]
        seen = np.stack([mask * canvas + (1 - mask) * empty, empty]).astype(np.float32)
        scores = classifier.forward(seen)[1][:, target].astype(np.float64)
        expected += (scores[0] - scores[1]) * features[..., channel]
    return expected


@pytest.mark.parametrize("kind", ["gap", "flat", "smooth"])
@pytest.mark.parametrize(("fill", "colour"), [("black", 0), ("grey", (124, 116, 104))])
def test_score_cam_by_brute_force(kind: str, fill: str, colour) -> None:
    classifier = small_classifier(kind)
    expected = _score_cam(classifier, picture(), 1, list(range(8)), colour)
    assert_close(explain(picture(), classifier, "score-cam", 1, channels=0, fill=fill).raw, expected, 1e-4)


def test_score_cam_takes_the_channels_that_vary_most(mobilenet, cat_pixels: np.ndarray) -> None:
    features, _ = _features(mobilenet, cat_pixels)
    best = sorted(range(1280), key=lambda channel: -features[..., channel].std())[:20]
    steps = list(stream(cat_pixels, mobilenet, "score-cam", channels=20))
    assert [step.progress for step in steps] == [0.8, 1]
    for step, channels in zip(steps, (best[:16], best), strict=True):
        assert_close(step.raw, _score_cam(mobilenet, cat_pixels, 285, channels, (124, 116, 104)), 1e-3)
    assert steps[-1].forward_passes == 1 + 1 + 20


def test_score_cam_of_a_picture_without_any_structure_is_empty() -> None:
    found = explain(np.full((SIDE, SIDE, 3), 90, np.uint8), pooled(np.ones((3, 1)), np.zeros(1)), "score-cam", 0)
    assert (found.raw == 0).all()
    assert found.progress == 1


@pytest.mark.parametrize("method", ["hires-cam", "xgrad-cam", "layer-cam", "recipro-cam"])
@pytest.mark.parametrize(("scale", "shift"), [(2.0, 0.0), (100.0, 0.0), (1.0, 25.0)])
def test_scale_and_offset_of_the_logits(method: str, scale: float, shift: float) -> None:
    plain = explain(picture(), small_classifier("gap"), method, 1)
    other = explain(picture(), small_classifier("gap", scale=scale, shift=shift), method, 1)
    np.testing.assert_allclose(other.heatmap, plain.heatmap, atol=2e-4)
    np.testing.assert_allclose(other.raw, plain.raw * scale, atol=2e-4 * scale * np.abs(plain.raw).max())


@pytest.mark.parametrize(("method", "power"), [("eigen-cam", 0), ("score-cam", 1), ("ablation-cam", 0)])
def test_scale_of_the_logits_for_those_that_read_scores(method: str, power: int) -> None:
    """A hundredfold saturates the softmax, which none of them may read."""
    plain, other = (explain(picture(), small_classifier("gap", scale=scale), method, 1) for scale in (1.0, 100.0))
    assert_close(other.raw, plain.raw * 100.0**power, 1e-3)


@pytest.mark.parametrize("method", FAMILY)
def test_the_order_of_channels_does_not_matter(method: str) -> None:
    weights, order = np.array([[1.0], [-0.4], [0.3]]), [2, 0, 1]
    options = {"fill": "black"} if method == "score-cam" else {}
    one = explain(picture(), pooled(weights, np.ones(1)), method, 0, **options)
    other = explain(picture()[..., order], pooled(weights[order], np.ones(1)), method, 0, **options)
    assert_close(other.raw, one.raw)


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("recipro-cam", {"mask": "gausian"}, "did you mean 'gaussian'"),
        ("recipro-cam", {"mask": ""}, "choose one of: gaussian, cell"),
        ("score-cam", {"channels": -1}, "channels of at least 0; got -1"),
        ("score-cam", {"fill": "red"}, "There is no baseline 'red'"),
    ],
)
def test_wrong_options_get_one_sentence(method: str, options: dict, says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        explain(picture(), small_classifier("gap"), method, **options)
    assert "\n" not in str(error.value)


def test_hires_cam_shows_its_sum_beside_the_score(embedded: Classifier, cat: Path) -> None:
    """The live proof: the note's two figures are the map's own sum and, from the logits, the score less its bias."""
    found = explain(cat, embedded, "hires-cam")
    total, score = map(float, re.findall(r"-?\d+\.\d+", found.notes[0]))
    assert total == pytest.approx(float(found.raw.sum()), abs=6e-4)
    pixels = read(cat).pixels
    logits = embedded.forward(embedded.geometry(pixels.shape[:2]).place(pixels)[None])[1][0]
    assert score == pytest.approx(float(logits[found.class_index] - embedded.head.bias[found.class_index]), abs=6e-4)
    assert total == pytest.approx(score, abs=5e-3)
    assert explain(cat, embedded, "hires-cam", smooth="flip").notes == ()
