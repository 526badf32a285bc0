"""The gradient family against linear and quadratic models worked out on paper, completeness, and networks run by hand."""

from __future__ import annotations

import itertools
import re
from typing import Any

import cv2
import numpy as np
import pytest

from core.errors import ModelError, UnknownNameError, UserError
from explain import explain, methods, stream
from models import gradients
from tests.explain.methods.test_cam import assert_close
from tests.networks import SIDE, Plain, detector, keras_net, linear, logits_of, picture, small_classifier

PIXELWISE = ["gradient-x-input", "smoothgrad", "integrated-gradients", "blur-ig", "guided-backprop", "guided-grad-cam"]
PADDED = (32, 24), (32, 48)  # a picture and a canvas that is wider


class Power(Plain):
    """Logits sum c * (pixel / 255) ** degree, one weight a pixel and class: known with its gradient."""

    def __init__(self, weights: np.ndarray, degree: int) -> None:
        plain = linear(weights.shape[:2], weights=weights)
        super().__init__("power", plain.labels, self, plain.head, plain._build_network, plain.canvas)
        self.weights, self.degree = weights, degree

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        powers = (batch.astype(np.float64) / 255) ** self.degree
        return batch.copy(), np.array([np.tensordot(power, self.weights, 3) for power in powers])

    def gradient(self, batch: np.ndarray, target: np.ndarray) -> np.ndarray:
        slope = self.degree * (batch.astype(np.float64) / 255) ** (self.degree - 1) / 255
        return (slope * (self.weights @ target)).astype(np.float32)


def _on_paper(size: tuple[int, int] = PADDED[0], canvas: tuple[int, int] = PADDED[1]):
    """(pixels, canvas, linear classifier, its weights for class 1, where the picture is) with bars left and right."""
    pixels, classifier = picture(*size), linear(canvas)
    geometry = classifier.geometry(size)
    assert geometry.padded
    top, left, height, width = geometry.box
    inside = np.zeros((*canvas, 1), bool)
    inside[top : top + height, left : left + width] = True
    return pixels, geometry.place(pixels).astype(np.float64), classifier, classifier.head.weights[..., 1], inside


def _percent(notes: tuple[str, ...]) -> float:
    return float(re.fullmatch(r"Completeness gap: .* by (\d+\.\d) %\.", notes[-1])[1])


# A linear model: y = w . x + b


def test_gradient_x_input_of_a_linear_model() -> None:
    pixels, canvas, classifier, weights, _ = _on_paper()
    assert_close(explain(pixels, classifier, "gradient-x-input", 1).raw, (weights * canvas).sum(-1))


@pytest.mark.parametrize("steps", [1, 2, 5, 32])
@pytest.mark.parametrize("baseline", ["black", "grey", "mean", "blur", "black,grey"])
def test_integrated_gradients_of_a_linear_model_are_exact_for_every_number_of_nodes(steps: int, baseline: str) -> None:
    """w (x - x') on the picture, nothing on the bars: no trapezoid ends, no missing factor; and so is every map before."""
    pixels, canvas, classifier, weights, inside = _on_paper()
    box = canvas[:, 12:36]
    assert inside[:, 12:36].all()
    starts = {
        "black": 0, "grey": np.array([124, 116, 104]), "mean": box.mean((0, 1)),
        "blur": cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), 0.05 * 48),
    }  # fmt: skip
    expected = np.mean([(inside * weights * (canvas - starts[kind])).sum(-1) for kind in baseline.split(",")], axis=0)
    maps = list(stream(pixels, classifier, "integrated-gradients", 1, steps=steps, baseline=baseline))
    for found in maps if "," not in baseline else maps[-1:]:
        assert_close(found.raw, expected)
    assert (found.raw[~inside[..., 0]] == 0).all()
    assert _percent(found.notes) < 0.1
    assert found.padding_share == 0


def test_noise_changes_nothing_about_a_linear_model() -> None:
    pixels, _, classifier, weights, _ = _on_paper()
    assert_close(explain(pixels, classifier, "smoothgrad", 1, samples=7, noise=0.5).raw, np.abs(weights).max(-1))
    assert (explain(pixels, classifier, "vargrad", 1, samples=7, noise=0.5).raw == 0).all()


@pytest.mark.parametrize("steps", [1, 6, 9])
def test_blur_ig_of_a_linear_model_is_what_the_blur_took(steps: int) -> None:
    """The blur knows nothing of the bars."""
    pixels, canvas, classifier, weights, inside = _on_paper()
    blurred = canvas.copy()
    blurred[:, 12:36] = cv2.GaussianBlur(np.ascontiguousarray(canvas[:, 12:36]), (0, 0), 5)
    found = explain(pixels, classifier, "blur-ig", 1, steps=steps, sigma=5)
    assert_close(found.raw, (weights * (canvas - blurred)).sum(-1), 1e-4)
    assert (found.raw[~inside[..., 0]] == 0).all()
    assert _percent(found.notes) < 0.1


@pytest.mark.parametrize("distance", [0.0, 0.02, 1.0])
@pytest.mark.parametrize("steps", [1, 7, 64])
def test_guided_ig_of_a_linear_model_is_exact_on_every_path(steps: int, distance: float) -> None:
    pixels, canvas, classifier, weights, inside = _on_paper()
    found = explain(pixels, classifier, "guided-ig", 1, steps=steps, distance=distance, baseline="grey")
    assert_close(found.raw, (inside * weights * (canvas - np.array([124, 116, 104]))).sum(-1))
    assert (found.raw[~inside[..., 0]] == 0).all()
    assert _percent(found.notes) < 0.1
    assert (found.forward_passes, found.backward_passes) == (2, steps + 1)


@pytest.mark.parametrize("nudge", [8.0, -0.5])
@pytest.mark.parametrize("grid", [1, 4, 5, 14, 99])
def test_finite_differences_of_a_linear_model_are_sums_of_weights(grid: int, nudge: float) -> None:
    """Regions share the picture evenly, to a pixel; none has more than there are pixels."""
    pixels, _, classifier, weights, inside = _on_paper()
    steps = list(stream(pixels, classifier, "finite-differences", 1, grid=grid, nudge=nudge))
    found = steps[-1].raw
    assert (found[~inside[..., 0]] == 0).all()
    rows, columns = (sorted({i * length // min(grid, length) for i in range(grid)}) for length in (32, 24))
    assert steps[-1].forward_passes == 1 + min(grid, 32) * min(grid, 24)
    rows, columns = (np.array_split(np.arange(length), min(grid, length)) for length in (32, 24))
    if 32 % len(rows) == 0 and 24 % len(columns) == 0:
        for y in rows:
            for x in columns:
                part = np.ix_(y, x + 12)
                np.testing.assert_allclose(found[part], weights[part].sum(), atol=2e-4)
    sizes = [np.unique(found[:, 12]).size, np.unique(found[0, 12:36]).size]
    assert sizes == [min(grid, 32), min(grid, 24)]


def test_a_null_player_gets_nothing() -> None:
    weights = np.random.default_rng(4).normal(0, 1, (SIDE, SIDE, 3, 2))
    weights[4:12, 8:] = 0
    for method in ("gradient-x-input", "smoothgrad", "vargrad", "integrated-gradients", "blur-ig", "guided-ig"):
        assert (explain(picture(), linear(weights=weights), method, 0).raw[4:12, 8:] == 0).all()
    found = explain(picture(), linear(weights=weights), "finite-differences", 0, grid=4)
    assert (found.raw[4:12, 8:] == 0).all()
    assert (found.raw[:4] != 0).all()


# Polynomials


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_nodes_are_those_of_gauss_and_legendre(steps: int) -> None:
    """n of them are exact up to degree 2n of the score, and not at 2n + 2, where their error is known."""
    weights = np.random.default_rng(0).uniform(0.5, 1, (SIDE, SIDE, 3, 2))
    pixels = picture()
    unit = pixels / 255
    for degree in range(1, 2 * steps + 1):
        found = explain(pixels, Power(weights, degree), "integrated-gradients", 0, steps=steps)
        assert_close(found.raw, (weights[..., 0] * unit**degree).sum(-1))
        assert _percent(found.notes) == 0
    degree = 2 * steps + 2
    found = explain(pixels, Power(weights, degree), "integrated-gradients", 0, steps=steps)
    nodes, shares = np.polynomial.legendre.leggauss(steps)
    kept = (shares / 2 * degree * ((nodes + 1) / 2) ** (degree - 1)).sum()
    assert kept < 0.999 or steps > 3
    assert_close(found.raw, kept * (weights[..., 0] * unit**degree).sum(-1))
    assert _percent(found.notes) == pytest.approx(100 * (1 - kept), abs=0.051)


def test_the_noise_is_a_share_of_the_range_of_pixels() -> None:
    """The slope of c x^2 is 2 c x: its variance under noise of 0.15 * 255 grey levels is (2 c 0.15)^2 / 255^2 * 255^2."""
    weights = np.zeros((SIDE, SIDE, 3, 1))
    weights[..., 1, 0] = 255**2
    classifier, pixels = Power(weights, 2), np.full((SIDE, SIDE, 3), 100, np.uint8)
    for noise in (0.15, 0.02):
        sigma = noise * 255
        found = explain(pixels, classifier, "vargrad", 0, samples=200, noise=noise).raw
        assert found.mean() == pytest.approx((2 * sigma) ** 2, rel=0.05)
        smooth = explain(pixels, classifier, "smoothgrad", 0, samples=200, noise=noise).raw
        assert smooth.mean() == pytest.approx(200, rel=0.02)
        assert smooth.std() == pytest.approx(2 * sigma / np.sqrt(200), rel=0.15)
        black = explain(np.zeros_like(pixels), classifier, "smoothgrad", 0, samples=200, noise=noise).raw
        assert black.mean() == pytest.approx(2 * sigma * np.sqrt(2 / np.pi / 200), rel=0.15)  # signs cancel in the mean
        assert explain(pixels, classifier, "smoothgrad", 0, samples=1, noise=0.0).raw.tolist() == [[200] * SIDE] * SIDE


def test_the_seed_decides_the_noise() -> None:
    maps = [
        explain(picture(), small_classifier("smooth"), "smoothgrad", 0, samples=3, seed=seed).raw for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(maps[0], maps[1])
    assert np.abs(maps[0] - maps[2]).max() > 0.05 * maps[0].max()


def test_finite_differences_by_hand_on_a_network() -> None:
    classifier, pixels = small_classifier("flat"), picture()
    found = explain(pixels, classifier, "finite-differences", 2, grid=8, nudge=20).raw
    before = classifier.forward(pixels[None].astype(np.float32))[1][0, 2]
    for y, x in ((0, 0), (6, 10), (14, 14)):
        changed = pixels[None].astype(np.float32)
        changed[0, y : y + 2, x : x + 2] += 20
        slope = (classifier.forward(changed)[1][0, 2] - before) / 20
        np.testing.assert_allclose(found[y : y + 2, x : x + 2], slope, atol=1e-5)


def test_small_nudges_of_single_pixels_approach_the_gradient() -> None:
    network, pixels = small_classifier("smooth"), picture()
    gradient = network.gradient(pixels[None].astype(np.float32), np.eye(3, dtype=np.float32)[0])[0].sum(-1)
    assert_close(explain(pixels, network, "finite-differences", 0, grid=SIDE, nudge=2.0).raw, gradient, 0.1)


# Real networks


@pytest.mark.parametrize("distance", [0.02, 0.4, 1.0])
def test_guided_ig_sums_exactly_on_every_path_of_a_quadratic_model(distance: float) -> None:
    """The mean of the gradients at both ends of a step is exact there. The gradient at its start would miss a third."""
    weights = np.random.default_rng(0).normal(0, 1, (SIDE, SIDE, 3, 2))
    pixels = picture()
    found = explain(pixels, Power(weights, 2), "guided-ig", 0, steps=5, distance=distance)
    assert found.raw.sum() == pytest.approx((weights[..., 0] * (pixels / 255) ** 2).sum(), rel=1e-4)
    assert _percent(found.notes) == 0


@pytest.mark.parametrize("steps", [1, 4, 9])
def test_guided_ig_without_distance_is_the_trapezium_rule_on_the_straight_line(steps: int) -> None:
    weights, pixels = np.random.default_rng(0).normal(0, 1, (SIDE, SIDE, 3, 2)), picture()
    kept = np.trapezoid(3 * np.linspace(0, 1, steps + 1) ** 2, dx=1 / steps)
    found = explain(pixels, Power(weights, 3), "guided-ig", 0, steps=steps, distance=0.0)
    assert_close(found.raw, kept * (weights[..., 0] * (pixels / 255) ** 3).sum(-1))


def _guided_path(
    gradient: Any, begin: np.ndarray, end: np.ndarray, steps: int, fraction: float, distance: float
) -> list[np.ndarray]:
    """The points of guided-ig, value by value in sorted order, as the paper describes them."""
    way, moved = np.abs(end - begin), np.zeros(end.size)
    points, group = [begin], int(fraction * (end.size - 1)) + 1
    for step in range(1, steps + 1):
        least, most = (np.clip(step / steps + shift, 0, 1) * way for shift in (-distance, distance))
        moved = np.maximum(moved, least)
        order = [index for index in np.argsort(np.abs(gradient(points[-1]))) if moved[index] < most[index]]
        for start in range(0, len(order), group):
            chosen = order[start : start + group]
            missing, room = step / steps * way.sum() - moved.sum(), (most - moved)[chosen].sum()
            moved[chosen] += (most - moved)[chosen] * min(1, missing / room)
            if missing <= room:
                break
        points.append(begin + np.sign(end - begin) * moved)
    return points


@pytest.mark.parametrize(("fraction", "distance"), [(0.25, 0.02), (0.25, 0.3), (0.01, 1.0), (0.6, 0.1)])
def test_the_path_of_guided_ig_is_that_of_the_paper(fraction: float, distance: float) -> None:
    """From a blurred picture: from black, most values have the same gradient at first."""
    classifier, canvas, objective = small_classifier("smooth"), picture().astype(np.float32), np.float32([0, 1, 0])

    def gradient(point: np.ndarray) -> np.ndarray:
        return classifier.gradient(point.reshape(1, SIDE, SIDE, 3).astype(np.float32), objective).ravel()

    begin = cv2.GaussianBlur(canvas, (0, 0), 0.05 * SIDE)
    points = _guided_path(gradient, *(each.astype(float).ravel() for each in (begin, canvas)), 8, fraction, distance)
    slopes = [gradient(point) for point in points]
    steps = zip(itertools.pairwise(points), itertools.pairwise(slopes), strict=True)
    wanted = sum((b - a) * (p + q) / 2 for (a, b), (p, q) in steps).reshape(SIDE, SIDE, 3).sum(-1)
    options = {"steps": 8, "fraction": fraction, "baseline": "blur"}
    found, straight = (
        explain(picture(), classifier, "guided-ig", 1, distance=each, **options).raw for each in (distance, 0.0)
    )
    error, bend = (np.linalg.norm(other - wanted) / np.linalg.norm(wanted) for other in (found, straight))
    assert error < 1e-4
    assert bend > 0.01, "the test could not fail"


@pytest.mark.parametrize(
    ("method", "bound", "backward"), [("integrated-gradients", 5, 32), ("blur-ig", 9, 32), ("guided-ig", 30, 65)]
)
def test_completeness_on_a_real_network(
    mobilenet, cat_pixels: np.ndarray, method: str, bound: float, backward: int
) -> None:
    canvas = mobilenet.geometry(cat_pixels.shape[:2]).place(cat_pixels)
    start = cv2.GaussianBlur(canvas, (0, 0), 50) if method == "blur-ig" else np.zeros_like(canvas)
    scores = mobilenet.forward(np.stack([canvas, start]))[1][:, 285]
    rise = float(scores[0] - scores[1])
    found = explain(cat_pixels, mobilenet, method, 285)
    gap = 100 * abs(found.raw.sum(dtype=np.float64) - rise) / abs(rise)
    assert gap < bound
    assert _percent(found.notes) == pytest.approx(gap, abs=0.1)
    assert (found.forward_passes, found.backward_passes) == (2, backward)


def test_several_baselines_are_averaged() -> None:
    classifier = small_classifier("flat")
    one, two, both = (
        explain(picture(), classifier, "integrated-gradients", 1, steps=6, baseline=baseline)
        for baseline in ("black", "blur", "black, blur")
    )
    assert_close(both.raw, (one.raw + two.raw) / 2)
    assert (both.forward_passes, both.backward_passes) == (3, 12)


def test_a_picture_that_is_its_own_baseline_is_told() -> None:
    black = np.zeros((SIDE, SIDE, 3), np.uint8)
    found = explain(black, linear(), "integrated-gradients", 0)
    assert (found.raw == 0).all()
    assert "does not change" in found.notes[-1]


@pytest.mark.parametrize("kind", ["gap", "flat", "smooth"])
def test_the_gradients_are_those_of_the_original_model(kind: str) -> None:
    import tensorflow as tf

    pixels, network = picture(), logits_of(keras_net(kind))

    def gradient(canvas: np.ndarray) -> np.ndarray:
        x = tf.constant(canvas[None].astype(np.float32))
        with tf.GradientTape() as tape:
            tape.watch(x)
            score = network(x, training=False)[0, 1]
        return tape.gradient(score, x).numpy()[0].astype(np.float64)

    assert_close(
        explain(pixels, small_classifier(kind), "gradient-x-input", 1).raw, (pixels * gradient(pixels)).sum(-1), 1e-4
    )
    nodes, shares = np.polynomial.legendre.leggauss(3)
    integral = sum(s / 2 * gradient(pixels * (n + 1) / 2) for n, s in zip(nodes, shares, strict=True))
    assert_close(
        explain(pixels, small_classifier(kind), "integrated-gradients", 1, steps=3).raw,
        (pixels * integral).sum(-1),
        1e-4,
    )


# Guided backpropagation


def _two_layers(form: str, cap: float | None):
    """relu(conv) twice, 1x1, in one of the ways in which Keras writes a ReLU; then pooling and Dense on 2x2 pixels."""
    import keras
    from keras import layers

    name = "relu" if cap is None else "relu6"
    act = {
        "fused": lambda x: x,
        "activation": lambda x: layers.Activation(name)(x),
        "layer": lambda x: layers.ReLU(cap)(x),
        "operation": lambda x: getattr(keras.ops, name)(x),
        "inside": lambda x: x,
    }[form]
    fused = name if form == "fused" else None

    class Block(layers.Layer):
        """A convolution with a ReLU that Keras does not see as an operation."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = layers.Conv2D(2, 1)

        def call(self, pixels: Any) -> Any:
            return getattr(keras.ops, name)(self.inner(pixels))

        def set_weights(self, weights: list[np.ndarray]) -> None:
            self.inner.set_weights(weights)

    first, second = (Block() if form == "inside" else layers.Conv2D(2, 1, activation=fused) for _ in range(2))
    dense = layers.Dense(2)
    inputs = keras.Input((2, 2, 3))
    model = keras.Model(inputs, dense(layers.GlobalAveragePooling2D()(act(second(act(first(inputs)))))))
    first.set_weights([np.array([[[[1, 0], [-1, 1], [0, 1]]]], np.float32), np.zeros(2, np.float32)])  # r - g, g + b
    second.set_weights([np.array([[[[1, 0], [-1, 1]]]], np.float32), np.zeros(2, np.float32)])  # a - b, b
    dense.set_weights([np.array([[4, 0], [-8, 4]], np.float32), np.zeros(2, np.float32)])
    return model


@pytest.mark.parametrize("form", ["fused", "activation", "layer", "operation", "inside"])
@pytest.mark.parametrize("cap", [None, 6.0])
def test_guided_backpropagation_by_hand(form: str, cap: float | None) -> None:
    """y = sum over pixels of c1 - 2 c2, with c = relu(a1 - a2, a2) and a = relu(r - g, g + b).

    The -2 stops at c2. Where r - g and a1 - a2 are on, 1 goes back to r and -1 to g; what a2 would get, -1, is stopped.
    A cap of 6 changes nothing: r - g = 8 is on, though its derivative is 0 there.
    """
    from models.from_keras import split_model

    model = _two_layers(form, cap)
    network, _, _ = split_model(model)
    batch = np.array([[[[5, 2, 0], [9, 1, 0]], [[1, 3, 0], [4, 0, 0]]]], np.float32)
    on = [[1, 1], [0, 1]]
    target = np.array([1, 0], np.float32)
    expected = np.multiply.outer(on, [1.0, -1.0, 0.0])
    found = gradients.GuidedGradient(network)(batch, target)[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    plain = gradients.PixelGradient(network)(batch, target)[0]
    np.testing.assert_allclose(plain[0, 0], [1, -4, -3], atol=1e-6)  # and the network itself was left alone
    np.testing.assert_allclose(
        gradients.GuidedGradient(network)(batch, -target)[0],
        [[[0, 2, 2], [0, 2, 2]], [[0, 2, 2], [0, 0, 0]]],
        atol=1e-6,
    )


def test_a_prelu_is_not_guided() -> None:
    """Keras computes it with two ReLUs; its gradient is 1 or its slope, whatever the sign of what comes from above."""
    import keras
    from keras import layers

    pixels = keras.Input((1, 2, 3))
    x = layers.ReLU()(layers.PReLU(alpha_initializer=keras.initializers.Constant(0.5))(pixels) + 10)
    dense = layers.Dense(1, kernel_initializer="ones")
    logits = dense(layers.Flatten()(x))
    network = keras.Model(pixels, [x, logits])
    batch = np.array([[[[1, -1, 2], [-3, 4, -5]]]], np.float32)
    found = gradients.GuidedGradient(network)(batch, np.array([1], np.float32))
    np.testing.assert_allclose(found, np.where(batch > 0, 1, 0.5))


def test_a_leaking_relu_is_no_relu() -> None:
    from keras import layers

    from models.gradients import is_relu

    assert not is_relu(layers.ReLU(negative_slope=0.2))
    assert not is_relu(layers.Dense(2, activation="tanh"))
    assert not is_relu(layers.LeakyReLU())
    assert is_relu(layers.DepthwiseConv2D(3, activation="relu6"))


def test_guided_maps_and_their_product() -> None:
    classifier, pixels = small_classifier("gap"), picture()
    network = classifier.guided_gradient(pixels[None].astype(np.float32), np.eye(3, dtype=np.float32)[2])[0]
    guided = explain(pixels, classifier, "guided-backprop", 2)
    assert_close(guided.raw, np.abs(network).max(-1))
    where = np.maximum(explain(pixels, classifier, "grad-cam", 2).raw, 0)
    assert_close(explain(pixels, classifier, "guided-grad-cam", 2).raw, where * guided.raw)
    assert (where == 0).any()
    assert np.abs(guided.raw - explain(pixels, classifier, "saliency", 2).raw).max() > 0.1 * guided.raw.max()


def test_guided_grad_cam_upsamples_grad_cam_only() -> None:
    pixels = np.full((64, 64, 3), 60, np.uint8)
    pixels[20:40, 12:30] = (250, 0, 20)
    cam, guided, both = (
        explain(pixels, detector(), name, "red").raw for name in ("grad-cam", "guided-backprop", "guided-grad-cam")
    )
    larger = cv2.resize(np.maximum(cam, 0), (64, 64), interpolation=cv2.INTER_LINEAR)
    assert_close(both, larger * guided)


@pytest.mark.parametrize("method", ["guided-backprop", "guided-grad-cam"])
def test_networks_without_relus_are_refused_in_one_sentence(method: str) -> None:
    with pytest.raises(ModelError, match=rf"^{method} needs ReLU layers, which 'smooth' does not have[^\n]*\.$"):
        explain(picture(), small_classifier("smooth"), method)


# What must not matter


@pytest.mark.parametrize("method", [*PIXELWISE, "finite-differences"])
@pytest.mark.parametrize(("scale", "shift"), [(100.0, 0.0), (1.0, 25.0)])
def test_scale_and_offset_of_the_logits(method: str, scale: float, shift: float) -> None:
    options = {"grid": 4} if method == "finite-differences" else {}
    plain = explain(picture(), small_classifier("gap"), method, 1, **options)
    other = explain(picture(), small_classifier("gap", scale=scale, shift=shift), method, 1, **options)
    power = 2 if method == "guided-grad-cam" else 1  # the product of two maps
    loose = 5e-3 if method == "finite-differences" else 2e-4
    assert_close(other.raw, plain.raw * scale**power, loose)
    np.testing.assert_allclose(other.heatmap, plain.heatmap, atol=2 * loose)


@pytest.mark.parametrize("method", ["smoothgrad", "vargrad", "integrated-gradients", "blur-ig"])
def test_the_batch_does_not_matter(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = []
    for size in (1, 3, 7, 64):
        monkeypatch.setattr(methods.gradients, "GRADIENT_BATCH", size)
        monkeypatch.setattr(gradients, "BATCH", size)
        maps.append(explain(picture(), small_classifier("flat"), method, 1).raw)
    for found in maps[1:]:
        assert_close(found, maps[0])


@pytest.mark.parametrize(
    "method", ["smoothgrad", "vargrad", "integrated-gradients", "blur-ig", "guided-ig", "finite-differences"]
)
def test_progress_grows_to_one(method: str) -> None:
    options = {"baseline": "black,mean"} if method == "integrated-gradients" else {}
    steps = list(stream(picture(), small_classifier("gap"), method, 0, **options))
    progress = [step.progress for step in steps]
    assert len(steps) > 2
    assert progress == sorted(set(progress))
    assert progress[0] > 0
    assert progress[-1] == 1
    assert all("gap" not in " ".join(step.notes) for step in steps[:-1])
    np.testing.assert_array_equal(steps[-1].raw, explain(picture(), small_classifier("gap"), method, 0, **options).raw)


def test_nothing_is_traced_again(mobilenet) -> None:
    """Neither for another picture, canvas, class, method, option or a last batch that is shorter."""
    for size in ((60, 80), (64, 64)):
        for target in (1, 285):
            explain(picture(*size), mobilenet, "saliency", target)
            explain(picture(*size), mobilenet, "smoothgrad", target, samples=gradients.BATCH + 1)
            explain(picture(*size), mobilenet, "integrated-gradients", target, steps=2, baseline="mean")
            explain(picture(*size), mobilenet, "guided-backprop", target)
            explain(picture(*size), mobilenet, "layer-cam", target, layers="stem")
    for name in ("guided", "layer stem"):
        assert mobilenet._cache[name]._gradient.experimental_get_tracing_count() == 1
    assert "pixels" not in mobilenet._cache  # its gradient is a graph of LiteRT's
    own = small_classifier("gap")
    for target in (0, 1):
        explain(picture(*size), own, "saliency", target)
        explain(picture(*size), own, "smoothgrad", target, samples=gradients.BATCH + 1)
    assert own._cache["pixels"]._gradient.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("integrated-gradients", {"steps": 0}, "steps of at least 1"),
        ("integrated-gradients", {"baseline": "black,whit"}, "There is no baseline 'whit'"),
        ("integrated-gradients", {"baseline": ""}, "There is no baseline ''"),
        ("smoothgrad", {"samples": 0}, "samples of at least 1"),
        ("smoothgrad", {"noise": -0.1}, "noise of at least 0"),
        ("smoothgrad", {"noise": float("nan")}, "noise of at least 0"),
        ("vargrad", {"samples": 1}, "samples of at least 2"),
        ("smoothgrad", {"seed": -1}, "seed of at least 0"),
        ("blur-ig", {"steps": -3}, "steps of at least 1; got -3"),
        ("blur-ig", {"sigma": 0.0}, "sigma above 0"),
        ("guided-ig", {"fraction": 0.0}, "fraction of at least 0.01"),
        ("guided-ig", {"distance": 1.5}, "distance of at most 1"),
        ("guided-ig", {"baseline": "black,grey"}, "There is no baseline 'black,grey'"),
        ("finite-differences", {"grid": 0}, "grid of at least 1"),
        ("finite-differences", {"nudge": 0.0}, "other than 0"),
    ],
)
def test_wrong_options_get_one_sentence(method: str, options: dict, says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        explain(picture(), small_classifier("gap"), method, **options)
    assert "\n" not in str(error.value)
    assert isinstance(error.value, UnknownNameError) == ("baseline" in options)
