"""What a classifier does beside its passes: labels, probabilities, and things that are made once."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import scipy.special

from core.errors import ModelError, UnknownNameError
from models.classifier import Classifier, check_labels, softmax
from models.trained_head import TrainedClassifier
from tests.networks import LinearEngine, PixelHead, linear, picture

WEIGHTS, BIAS = np.zeros((16, 16, 3, 2)), np.zeros(2)


@pytest.mark.parametrize("shape", [(5,), (3, 1000), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_is_that_of_scipy(shape: tuple[int, ...], dtype: type) -> None:
    logits = np.random.default_rng(0).normal(0, 30, shape).astype(dtype)
    probabilities = softmax(logits)
    assert np.array_equal(probabilities, scipy.special.softmax(logits, axis=-1))
    assert probabilities.dtype == dtype


def test_softmax_of_large_logits_does_not_overflow() -> None:
    with np.errstate(all="raise", under="ignore"):
        assert softmax(np.array([1e4, 1e4, -1e4], np.float32)).tolist() == [0.5, 0.5, 0]


def test_sigmoids_are_those_of_scipy_and_do_not_overflow() -> None:
    classifier = Classifier(
        "two", ["a", "b"], LinearEngine(WEIGHTS, BIAS), PixelHead(WEIGHTS, BIAS), lambda: None, (16, 16), "sigmoid"
    )
    logits = np.array([[-1e4, 0], [3, 1e4]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        probabilities = classifier.probabilities(logits)
    assert probabilities == pytest.approx(scipy.special.expit(logits), abs=1e-7)


def test_the_most_probable_come_first_and_ties_in_order() -> None:
    classifier = linear(classes=4)
    predictions = classifier.top(np.log(np.array([0.2, 0.4, 0.2, 0.2])), count=3)
    assert [(p.index, p.label) for p in predictions] == [(1, "class 1"), (0, "class 0"), (2, "class 2")]
    assert [p.probability for p in predictions] == pytest.approx([0.4, 0.2, 0.2])


def test_a_class_is_found_by_index_and_by_label_in_any_case() -> None:
    classifier = linear()
    for target in (2, "class 2", " CLASS 2 ", np.int64(2)):
        assert classifier.index(target) == 2
    for target in (3, -1, "clas 2"):
        with pytest.raises(UnknownNameError):
            classifier.index(target)
    with pytest.raises(UnknownNameError, match=r"did you mean .*'class 2'"):
        classifier.index("clas 2")


def test_labels_fit_the_classes_or_are_refused() -> None:
    assert check_labels(None, 2) == ("class 0", "class 1")
    assert check_labels(["a", "b"], 2) == ("a", "b")
    for labels in (["a"], ["a", " A "]):
        with pytest.raises(ModelError):
            check_labels(labels, 2)


def test_things_are_made_once_whichever_thread_is_first() -> None:
    networks, made = [], []

    def build() -> object:
        networks.append(object())
        return networks[-1]

    def make(network: object) -> object:
        assert network is networks[0]
        made.append(object())
        return made[-1]

    classifier = Classifier("one", ["a", "b"], LinearEngine(WEIGHTS, BIAS), PixelHead(WEIGHTS, BIAS), build, (16, 16))
    results: list[object] = []
    threads = [threading.Thread(target=lambda: results.append(classifier.cached("x", make))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(networks) == len(made) == 1
    assert results == made * 8
    assert classifier.cached("y", make) is made[1]
    assert len(networks) == 1


def test_predict_lays_the_picture_on_the_canvas() -> None:
    classifier, pixels = linear(), picture(16, 16)
    logits = classifier.forward(pixels[None].astype(np.float32))[1][0]
    assert classifier.predict(pixels, count=2) == classifier.top(logits, count=2)


def test_an_objective_has_a_weight_for_the_target_and_for_the_contrasted_class() -> None:
    classifier = linear(classes=4)
    assert classifier.objective(2).tolist() == [0, 0, 1, 0]
    assert classifier.objective("class 0", against=3).tolist() == [1, 0, 0, -1]
    assert classifier.objective(2).dtype == np.float32
    with pytest.raises(UnknownNameError):
        classifier.objective("nothing")


def test_logits_of_a_picture_are_those_of_its_canvas() -> None:
    classifier, pixels = linear(), picture()
    expected = classifier.forward(pixels[None].astype(np.float32))[1][0]
    np.testing.assert_array_equal(classifier.logits(pixels), expected)


def test_labels_that_differ_in_case_only_are_two_classes(mobilenet: Classifier) -> None:
    assert check_labels(["Cat", "cat"], 2) == ("Cat", "cat")
    layers = [(np.zeros((1280, 3), np.float32), np.zeros(3, np.float32))]
    classifier = TrainedClassifier(mobilenet, layers, ("Cat", "cat", "Dog"))
    assert [classifier.index(name) for name in ("Cat", " cat ", "DOG")] == [0, 1, 2]
    with pytest.raises(UnknownNameError, match="did you mean"):
        classifier.index("CAT")
