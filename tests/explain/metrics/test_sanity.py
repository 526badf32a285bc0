"""Sanity checks: stability under small changes, and the parameter-randomisation test."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from explain import METHODS, ExplainSettings, explain, stream
from explain.metrics.faithfulness import deletion, insertion
from explain.metrics.sanity import make_explainer, randomisation, repeat_explainer, stability, trust
from explain.metrics.similarity import agreement
from explain.view import View
from models.classifier import Classifier
from models.randomised import randomised
from tests.networks import SIDE, detector, linear, picture, small_classifier
from tests.transformers import transformer

QUICK = {
    "occlusion": {"patch": 4, "stride": 4}, "rise": {"samples": 64, "cells": 4}, "lime": {"samples": 64, "segments": 12},
    "kernel-shap": {"samples": 64, "cells": 4}, "sobol": {"rows": 4, "cells": 4}, "hsic": {"samples": 64, "cells": 4},
    "extremal": {"steps": 10, "cells": 4}, "finite-differences": {"grid": 4}, "integrated-gradients": {"steps": 8},
    "blur-ig": {"steps": 8}, "guided-ig": {"steps": 8}, "xrai": {"steps": 8}, "smoothgrad": {"samples": 4},
    "vargrad": {"samples": 4}, "consensus": {"methods": "grad-cam,saliency"},
}  # fmt: skip


def edges(_: Classifier, pixels: np.ndarray) -> np.ndarray:
    """A map of the picture alone."""
    down, right = np.gradient(pixels.astype(np.float32).mean(-1))
    heat = np.hypot(down, right)
    return heat / heat.max()


def brightness(_: Classifier, pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32).mean(-1) / 255


def test_a_map_that_never_changes_is_stable() -> None:
    for fixed in (np.ones((SIDE, SIDE)), np.zeros((SIDE, SIDE))):
        assert stability(lambda *_, fixed=fixed: fixed, linear(), picture()) == 1


def test_a_map_that_moves_with_the_picture_is_compared_where_the_picture_is() -> None:
    """Brightness, of a picture without two pixels alike: 1 under shifts, and only there."""
    rng = np.random.default_rng(0)
    grey = rng.permutation(256).reshape(SIDE, SIDE).astype(np.uint8)
    pixels = np.repeat(grey[..., None], 3, -1)
    seen: list[np.ndarray] = []

    def explainer(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
        seen.append(pixels)
        return brightness(classifier, pixels)

    assert stability(explainer, linear(), pixels, samples=8) > 0.999
    original, *copies = seen
    np.testing.assert_array_equal(original, pixels)
    for noisy in copies[::2]:
        assert 1 <= np.abs(noisy.astype(int) - pixels).max() <= 2
    shifts = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    for shifted, (down, right) in zip(copies[1::2], shifts, strict=True):
        inner = np.roll(pixels, (down, right), (0, 1))[1:-1, 1:-1]
        np.testing.assert_array_equal(shifted[1:-1, 1:-1], inner)
    unmoved = [agreement(brightness(linear(), s), brightness(linear(), pixels)).spearman for s in copies[1::2]]
    assert max(unmoved) < 0.5, "the test could not fail"


def test_a_map_of_chance_is_not_stable() -> None:
    rng = np.random.default_rng(1)
    assert abs(stability(lambda _, pixels: rng.random(pixels.shape[:2]), linear(), picture())) < 0.2


def test_stability_of_a_linear_model() -> None:
    """Its gradient does not depend on the picture, so noise leaves saliency as it is; shifts move the picture alone."""
    assert stability(make_explainer(ExplainSettings("saliency", 1)), linear(), picture(), samples=1) == 1
    assert stability(make_explainer(ExplainSettings("saliency", 1)), linear(), picture(), samples=2) < 0.9


@pytest.mark.parametrize("method", METHODS)
def test_stability_is_repeatable_for_every_method(method: str) -> None:
    explainer = make_explainer(ExplainSettings(method, 1, options=QUICK.get(method, {})))
    classifier = transformer() if METHODS[method].family == "attention" else small_classifier("gap")
    first, second = (stability(explainer, classifier, picture(), samples=2, seed=3) for _ in range(2))
    assert first == second
    assert -1 <= first <= 1


def test_the_original_need_not_be_made_again() -> None:
    calls: list[int] = []

    def explainer(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
        calls.append(1)
        return brightness(classifier, pixels)

    original = brightness(linear(), picture())
    assert stability(explainer, linear(), picture(), original=original) == stability(brightness, linear(), picture())
    assert len(calls) == 4


def test_randomisation_goes_from_the_logits_down() -> None:
    classifier = small_classifier("gap")
    stages = list(randomisation(make_explainer(ExplainSettings("grad-cam", 1)), classifier, picture()))
    assert [stage.name for stage in stages] == ["trained", "logits", "act1", "act0"]
    assert (stages[0].spearman, stages[0].ssim) == (1, 1)
    np.testing.assert_array_equal(stages[0].heatmap, explain(picture(), classifier, "grad-cam", 1).heatmap)
    assert stages[-1].progress == 1
    for stage in stages[1:]:
        similarity = agreement(stages[0].heatmap, stage.heatmap)
        assert (stage.spearman, stage.ssim) == (similarity.spearman, similarity.ssim)


def test_each_stage_shuffles_the_weights_down_to_its_name_and_no_others() -> None:
    classifier = small_classifier("gap")
    network = classifier.cached("network itself", lambda network: network)
    before = [values.copy() for values in network.get_weights()]
    with randomised(classifier).randomise_down_to(1, seed=5) as copy:
        again = copy._build_network()
        changed = {
            layer.name: [
                not np.array_equal(a, b) for a, b in zip(layer.get_weights(), other.get_weights(), strict=True)
            ]
            for layer, other in zip(network.layers, again.layers, strict=True)
            if layer.weights
        }
        for layer, other in zip(network.layers, again.layers, strict=True):
            for mine, its in zip(layer.get_weights(), other.get_weights(), strict=True):
                np.testing.assert_array_equal(np.sort(mine, None), np.sort(its, None))  # the same values
    conv0, bn0, conv1, bn1, dense = changed.values()
    assert not any(conv0 + bn0)
    assert all([conv1[0], any(bn1), dense[0]])  # a bias of zeros stays what it is
    for mine, was in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, was)
    with randomised(classifier).randomise_down_to(-1) as copy:  # and back
        for mine, its in zip(network.get_weights(), copy._build_network().get_weights(), strict=True):
            np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("kind", ["gap", "flat"])
def test_all_of_the_copy_agrees_with_itself(kind: str) -> None:
    """Forward pass, head and gradient of every stage belong to one network; so does what was compiled for the one before."""
    classifier = small_classifier(kind)
    canvas = picture().astype(np.float32)[None]
    target = np.array([0, 1, 0], np.float32)
    seen = []
    for stage in range(len(randomised(classifier).stages)):
        with randomised(classifier).randomise_down_to(stage) as copy:
            features, logits = copy.forward(canvas)
            np.testing.assert_allclose(copy.head.logits(features), logits, rtol=1e-4, atol=1e-4)
            gradient = copy.gradient(canvas, target)[0]
            step = 1e-2 * gradient / np.abs(gradient).max()
            rise = (copy.forward(canvas + step)[1] - copy.forward(canvas - step)[1])[0, 1] / 2
            assert rise == pytest.approx(float((gradient * step).sum()), rel=0.1, abs=1e-4)
            seen.append(logits)
    assert all(np.abs(a - b).max() > 1e-2 for a, b in itertools.pairwise(seen))
    np.testing.assert_array_equal(classifier.forward(canvas)[1], small_classifier(kind).forward(canvas)[1])


def test_the_register_is_right_about_who_fails(mobilenet, cat_pixels: np.ndarray) -> None:
    """The upper half of the network forgotten: Grad-CAM is lost, guided backpropagation hardly notices, edges do not."""
    methods = ("grad-cam", "cam", "hires-cam", "xgrad-cam", "layer-cam", "grad-cam++", "saliency", "guided-backprop")
    maps: dict[str, list[np.ndarray]] = {method: [] for method in methods}

    def explainer(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
        for method in methods:
            maps[method].append(explain(pixels, classifier, method, "tabby").heatmap)
        return edges(classifier, pixels)

    upper = list(itertools.islice(randomisation(explainer, mobilenet, cat_pixels[::2, ::2].copy()), 5))
    assert [stage.name for stage in upper] == ["trained", *randomised(mobilenet).stages[:4]]
    assert all((stage.spearman, stage.ssim) == (1, 1) for stage in upper)
    kept = {
        method: np.mean([agreement(trained, other).spearman for other in others])
        for method, (trained, *others) in maps.items()
    }
    assert {method for method, correlation in kept.items() if correlation > 0.8} == {
        method for method in methods if not METHODS[method].passes_sanity_check
    }, kept
    assert kept["grad-cam"] < 0.5


def test_two_threads_get_what_one_would() -> None:
    classifier = small_classifier("gap")
    questions = [("grad-cam", 1, 0), ("saliency", 2, 7), ("occlusion", 0, 3)]

    def compute_maps(method: str, target: int, seed: int) -> list[np.ndarray]:
        explainer = make_explainer(ExplainSettings(method, target, options=QUICK.get(method, {})))
        return [stage.heatmap for stage in randomisation(explainer, classifier, picture(), seed=seed)]

    alone = [compute_maps(*question) for question in questions]
    together: dict[int, list[np.ndarray]] = {}
    threads = [
        threading.Thread(target=lambda index=index: together.update({index: compute_maps(*questions[index])}))
        for index in range(len(questions))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, maps in enumerate(alone):
        for one, other in zip(maps, together[index], strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_run_left_half_way_holds_up_nobody() -> None:
    left = randomisation(make_explainer(ExplainSettings("grad-cam", 1)), small_classifier("gap"), picture())
    next(left), next(left)
    assert (
        len(list(randomisation(make_explainer(ExplainSettings("grad-cam", 1)), small_classifier("gap"), picture())))
        == 4
    )


def test_networks_of_every_build_can_be_randomised() -> None:
    assert randomised(detector()).stages == ("logits", "kept", "colours")  # activations inside of layers


def test_the_weights_of_a_seed_are_the_same_each_time() -> None:
    explainer = make_explainer(ExplainSettings("saliency", 1))
    maps = [
        [s.heatmap for s in randomisation(explainer, small_classifier("gap"), picture(), seed=seed)]
        for seed in (1, 2, 1)
    ]
    for first, other, again in list(zip(*maps, strict=True))[1:]:
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()


def test_trust_is_its_measures_on_the_canvas_of_the_map(mobilenet, cat_pixels: np.ndarray) -> None:
    explanation = explain(cat_pixels, mobilenet, "occlusion", "tabby", side=160, patch=64, stride=64)
    graded = trust(explanation, mobilenet, cat_pixels, seed=2)
    view = View(mobilenet, mobilenet.geometry(cat_pixels.shape[:2], 160), cat_pixels)
    target, signed = mobilenet.index("tabby"), view.geometry.restore(explanation.raw)
    assert signed.min() < 0
    np.testing.assert_array_equal(graded.deletion.scores, deletion(view, signed, target).scores)
    np.testing.assert_array_equal(graded.insertion.scores, insertion(view, signed, target).scores)
    explainer = make_explainer(ExplainSettings("occlusion", "tabby", side=160, options={"patch": 64, "stride": 64}))
    assert graded.stability == stability(explainer, mobilenet, cat_pixels, seed=2)
    assert set(graded.to_dict()) == {"deletion", "insertion", "stability"}
    assert trust(explanation, mobilenet, cat_pixels, samples=0).to_dict() == graded.to_dict() | {"stability": None}


def test_an_explanation_can_be_repeated(cat_pixels: np.ndarray, mobilenet) -> None:
    options = {"side": 160, "samples": 128, "cells": 4, "seed": 5}
    *_, explanation = stream(cat_pixels, mobilenet, "rise", "tabby", **options)
    np.testing.assert_array_equal(repeat_explainer(explanation)(mobilenet, cat_pixels), explanation.heatmap)
    for arguments in ({"smooth": "multiscale"}, {"against": "lynx"}):
        explanation = explain(cat_pixels, mobilenet, "grad-cam", **arguments)
        np.testing.assert_array_equal(repeat_explainer(explanation)(mobilenet, cat_pixels), explanation.heatmap)
