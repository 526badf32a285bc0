"""The networks in this repository: right weights, right labels, right answers, and no TensorFlow until a gradient."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from core import images
from core.errors import ModelError, UnknownNameError
from models import MODELS, embedded, load
from models.classifier import Classifier
from models.embedded import WEIGHTS
from models.gradients import PixelGradient
from models.trained_head import TrainedClassifier

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "samples" / "photos"
NAMES = list(embedded.ARCHITECTURES)


@pytest.fixture(scope="module", params=NAMES)
def classifier(request):
    return load(request.param)


@pytest.fixture(scope="module")
def coffee():
    return images.read(PHOTOS / "coffee.jpg").pixels


def test_both_work_without_tensorflow():
    """In a process of its own, where importing TensorFlow or Keras is an error."""
    script = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
from explain import explain
from models import load
for name in sys.argv[3:]:
    classifier = load(name)
    for path in sys.argv[1:3]:
        print(name, explain(path, classifier, "saliency").label, sep="|")
"""
    photos = [str(PHOTOS / name) for name in ("coffee.jpg", "cat.jpg")]
    done = subprocess.run(
        [sys.executable, "-c", script, *photos, *NAMES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name}|{label}" for name in NAMES for label in ("espresso", "Egyptian cat")]


@pytest.mark.parametrize(("photo", "label"), [("coffee", "espresso"), ("cat", "Egyptian cat")])
def test_the_samples_are_recognised(classifier, photo, label):
    top = classifier.predict(images.read(PHOTOS / f"{photo}.jpg").pixels)
    assert top[0].label == label
    assert top[0].probability > 0.2
    assert [p.probability for p in top] == sorted((p.probability for p in top), reverse=True)
    assert all(classifier.labels[p.index] == p.label for p in top)


def test_probabilities_add_up(classifier, coffee):
    logits = classifier.forward(classifier.geometry(coffee.shape[:2]).place(coffee)[None])[1]
    probabilities = classifier.probabilities(logits)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert np.allclose(
        np.log(probabilities[0, :9]) - np.log(probabilities[0, 0]), logits[0, :9] - logits[0, 0], atol=1e-3
    )


def test_the_cells_of_a_class_activation_map_sum_to_its_logit(classifier, coffee):
    """Global average pooling and a dense layer: mean over cells of features @ W, plus b."""
    features, logits = classifier.forward(classifier.geometry(coffee.shape[:2]).place(coffee)[None])
    head = classifier.head
    cells = features @ head.weights
    assert cells.shape == (1, *features.shape[1:3], 1000)
    assert np.allclose(cells.mean((1, 2)) + head.bias, logits, atol=1e-4 * np.abs(logits).max())
    assert np.allclose(head.logits(features), logits, atol=1e-4 * np.abs(logits).max())


def test_gradient_of_the_head_is_its_weights_over_the_cells(classifier):
    features = np.random.default_rng(0).uniform(0, 2, (2, 5, 9, 1280)).astype(np.float32)
    target = np.zeros(1000)
    target[[3, 7]] = 1, -1
    gradient = classifier.head.gradient(features, target)
    assert gradient.shape == features.shape
    assert gradient.dtype == np.float32
    weights = classifier.head.weights
    assert np.allclose(gradient, (weights[:, 3] - weights[:, 7]) / 45, atol=1e-7)


@pytest.mark.parametrize("size", [(720, 1280), (300, 300), (900, 500)])
def test_the_canvas_follows_the_picture(classifier, size):
    geometry = classifier.geometry(size)
    features, logits = classifier.forward(np.zeros((1, *geometry.canvas, 3), np.float32))
    assert features.shape[1:3] == (geometry.canvas[0] // 32, geometry.canvas[1] // 32)
    assert logits.shape == (1, 1000)


def test_gradient_is_that_of_finite_differences(classifier, coffee):
    """Along smooth bumps of light. A tenth apart is allowed: even small steps cross corners of the many ReLUs."""
    canvas = classifier.geometry(coffee.shape[:2]).place(coffee)
    target = np.zeros(1000)
    target[classifier.index("espresso")] = 1
    gradient = classifier.gradient(canvas[None], target)
    assert gradient.shape == (1, *canvas.shape)
    assert gradient.dtype == np.float32

    def score(pictures):
        return classifier.forward(pictures)[1].astype(np.float64) @ target

    rows, columns = np.mgrid[: canvas.shape[0], : canvas.shape[1]]
    places = [(80, 90), (100, 130), (60, 200), (110, 170), (40, 60)]
    step = 0.1
    truths, found = [], []
    for row, column in places:
        bump = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 12.0**2))[..., None].repeat(3, 2)
        bump = bump.astype(np.float32)
        up, down = score(np.stack([canvas + step * bump, canvas - step * bump]))
        truths.append((up - down) / (2 * step))
        found.append(float((gradient[0] * bump).sum()))
    assert np.abs(truths).max() > 1e-3
    assert np.linalg.norm(np.subtract(found, truths)) < 0.1 * np.linalg.norm(truths)


@pytest.mark.parametrize("size", [(720, 1280), (300, 300), (64, 640)])
def test_gradient_is_that_of_tensorflow(classifier, coffee, size):
    """But for a ReLU here and there which rounding opens or shuts."""
    pixels = cv2.resize(coffee, size[::-1])
    canvas = classifier.geometry(size).place(pixels)[None]
    target = np.zeros(1000, np.float32)
    target[[classifier.index("espresso"), classifier.index("cup")]] = 1, -0.5
    truth = classifier.cached("pixels", PixelGradient)(canvas, target)
    found = classifier.gradient(canvas, target)
    assert np.linalg.norm(found - truth) < 0.02 * np.linalg.norm(truth)
    assert np.median(np.abs(found - truth)) < 1e-3 * np.abs(truth).mean()


def test_gradient_of_a_head_with_a_hidden_layer_is_that_of_tensorflow(classifier, coffee):
    rng = np.random.default_rng(3)
    layers = [
        (rng.normal(0, 0.03, (embedded.FEATURE_CHANNELS, 8)), rng.normal(0, 0.1, 8)),
        (rng.normal(0, 0.3, (8, 3)), np.zeros(3)),
    ]
    trained = TrainedClassifier(classifier, layers, ("a", "b", "c"), side=96)
    canvas = np.stack([trained.geometry(coffee.shape[:2]).place(pixels) for pixels in (coffee, 255 - coffee)])
    target = np.array([1, 0, -1], np.float32)
    truth = trained.cached("pixels", PixelGradient)(canvas, target)
    assert np.linalg.norm(trained.gradient(canvas, target) - truth) < 0.02 * np.linalg.norm(truth)


def test_gradients_in_batches_of_many(classifier):
    pictures = np.random.default_rng(1).uniform(0, 255, (17, 64, 64, 3)).astype(np.float32)
    target = np.zeros(1000, np.float32)
    target[5] = 1
    every = classifier.gradient(pictures, target)
    one = classifier.gradient(pictures[16:], target)
    assert every.shape == pictures.shape
    assert np.allclose(every[16], one[0], atol=1e-4 * np.abs(one).max())


# --- the files


def test_files_are_those_recorded_and_small():
    sources = json.loads((WEIGHTS / "SOURCES.json").read_text(encoding="utf-8"))
    recorded = {name: digest for source in sources.values() for name, digest in source["files_sha256"].items()}
    for name, digest in recorded.items():
        assert hashlib.sha256((WEIGHTS / name).read_bytes()).hexdigest() == digest, name
    trained = {f"{name}.npz" for name, facts in MODELS.items() if facts.head}  # ours, described in CHANNELS.md
    kept = {path.name for path in WEIGHTS.iterdir() if path.suffix in {".npz", ".tflite"}} - trained
    assert kept | {"imagenet_labels.json"} == set(recorded)
    assert kept == {f"{name}{suffix}" for name in NAMES for suffix in (".npz", ".tflite", ".backward.tflite")}
    assert all((WEIGHTS / name).stat().st_size < 10_000_000 for name in recorded)
    assert all(source["licence"] and source["origin"] for source in sources.values())


def test_parameters_are_as_many_as_is_said(classifier):
    """The published count includes BatchNorm, which is folded away here: its two numbers a channel became one bias."""
    with np.load(WEIGHTS / f"{classifier.name}.npz") as file:
        parts = {key: file[key] for key in file.files if not key.startswith("input.")}
        assert all(np.isfinite(part).all() for part in parts.values())
        assert {part.dtype for part in parts.values()} == {np.dtype(np.float16)}
    count = sum(part.size for part in parts.values())
    folded = sum(part.size for key, part in parts.items() if key.endswith(".bias") and key != "dense.bias")
    assert count + folded == MODELS[classifier.name].parameters


# --- labels


def test_labels_are_a_thousand_and_unique(classifier):
    assert len(classifier.labels) == 1000
    assert len({label.strip().casefold() for label in classifier.labels}) == 1000
    assert classifier.labels[566] == "French horn"
    assert [classifier.labels[index] for index in (0, 285, 967, 999)] == [
        "tench", "Egyptian cat", "espresso", "toilet tissue",
    ]  # fmt: skip
    assert classifier.labels == embedded.imagenet_labels()


@pytest.mark.parametrize("target", ["French horn", "french HORN", " French horn ", 566, np.int64(566)])
def test_a_label_or_a_number_finds_its_class(classifier, target):
    assert classifier.index(target) == 566


def test_every_label_finds_itself(classifier):
    assert [classifier.index(label.upper()) for label in classifier.labels] == list(range(1000))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("Egyptain cat", "did you mean 'Egyptian cat'"),
        ("horn", "'French horn'"),
        ("qqqqzzzz", "check its spelling"),
        ("", "There is no class ''"),
        (1000, "0 to 999"),
        (-1, "0 to 999"),
    ],
)
def test_a_label_or_number_that_is_not_there(classifier, target, said):
    with pytest.raises(UnknownNameError) as caught:
        classifier.index(target)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# --- load


def test_load_gives_one_shared_classifier():
    assert load("mobilenet_v2") is load()
    assert isinstance(load(), Classifier)
    assert repr(load()) == "Classifier('mobilenet_v2', 1000 classes)"


def test_load_of_an_unknown_name():
    with pytest.raises(UnknownNameError, match="There is no model 'nope'; choose one of: mobilenet_v2, "):
        load("nope")
    with pytest.raises(UnknownNameError, match="did you mean 'mobilenet_v2'"):
        load("mobilnet_v2")


def test_embedded_models_take_no_weights_file():
    with pytest.raises(ModelError, match="mobilenet_v2 has its weights built in"):
        load("mobilenet_v2", weights="some.h5")
