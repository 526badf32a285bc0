"""Trained heads: the same numbers before and after a file, in Keras and in closed form; and files that lie."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models
from core import images
from core.errors import ModelError
from explain import explain
from models import trained_head
from models.head import HiddenHead, LinearHead, NetworkHead
from models.trained_head import Layers, TrainedClassifier

RNG = np.random.default_rng(0)
LABELS = ("Orbit Lab", "Crumb & Co", "Bolt Squad")


def layers(kind: str) -> Layers:
    def dense(below: int, above: int) -> tuple[np.ndarray, np.ndarray]:
        weights = RNG.normal(0, 1 / np.sqrt(below), (below, above)).astype(np.float32)
        return weights, RNG.normal(0, 0.1, above).astype(np.float32)

    return [dense(1280, 3)] if kind == "linear" else [dense(1280, 100), dense(100, 3)]


@pytest.fixture(scope="module", params=["linear", "mlp"])
def model(request: pytest.FixtureRequest) -> TrainedClassifier:
    return TrainedClassifier(models.load(), layers(request.param), LABELS, side=96, figures={"folds": [0.5, 1]})


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return images.read(Path(__file__).parents[2] / "samples" / "thumbnails" / "orbit-0.jpg").pixels


def test_a_file_brings_everything_back(model: TrainedClassifier, pixels: np.ndarray, tmp_path: Path) -> None:
    trained_head.save(model, tmp_path / "mine.npz")
    back = models.load(str(tmp_path / "mine.npz"))
    assert isinstance(back, TrainedClassifier)
    assert back.name == "mine"
    assert (back.labels, back.figures, back.side, back.canvas_shape) == (model.labels, model.figures, 96, "wide")
    assert back.predict(pixels) == model.predict(pixels)


def test_the_closed_form_gradient_is_tensorflows(model: TrainedClassifier) -> None:
    import keras

    features = RNG.uniform(0, 6, (2, 3, 5, 1280)).astype(np.float32)
    target = np.array([1, -0.5, 0], np.float32)
    inputs = keras.Input((None, None, 1280))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    for index, (weights, bias) in enumerate(model.layers):
        dense = keras.layers.Dense(bias.size, "relu" if index < len(model.layers) - 1 else None)
        x = dense(x)
        dense.set_weights([weights, bias])
    truth = NetworkHead(keras.Model(inputs, x))
    assert isinstance(model.head, LinearHead if len(model.layers) == 1 else HiddenHead)
    assert model.head.logits(features) == pytest.approx(truth.logits(features), abs=1e-4)
    assert model.head.gradient(features, target) == pytest.approx(truth.gradient(features, target), abs=1e-6)


def test_keras_gives_the_same_probabilities(model: TrainedClassifier, pixels: np.ndarray, tmp_path: Path) -> None:
    import keras

    path = tmp_path / "whole.keras"
    path.write_bytes(trained_head.export_keras(model))
    whole = keras.models.load_model(path)
    for size in (96, 160):
        canvas = model.geometry(pixels.shape[:2], size).place(pixels)[None]
        ours = model.probabilities(model.forward(canvas)[1])
        assert np.abs(np.asarray(whole(canvas)) - ours).max() < 1e-3
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("labels.json")) == list(LABELS)


@pytest.mark.parametrize("method", ["grad-cam", "ablation-cam", "saliency", "occlusion"])
def test_methods_of_every_family_explain_it(model: TrainedClassifier, pixels: np.ndarray, method: str) -> None:
    found = explain(pixels, model, method, "Crumb & Co")
    assert found.label == "Crumb & Co"
    assert found.heatmap.shape == pixels.shape[:2]
    assert np.ptp(found.raw) > 0


def test_cam_is_exact_for_a_linear_head_and_refused_for_another(model: TrainedClassifier, pixels: np.ndarray) -> None:
    if isinstance(model.head, LinearHead):
        found = explain(pixels, model, "cam", 1)
        _, logits = model.forward(model.geometry(pixels.shape[:2]).place(pixels)[None])
        assert found.raw.mean() == pytest.approx(float(logits[0, 1] - model.head.bias[1]), abs=1e-4)
    else:
        with pytest.raises(ModelError, match="grad-cam"):
            explain(pixels, model, "cam", 1)


def test_a_wide_canvas_has_no_padding_and_a_square_one_says_how_much_heat_is_on_it(pixels: np.ndarray) -> None:
    wide, square = (
        TrainedClassifier(models.load(), layers("linear"), LABELS, canvas_shape, 320)
        for canvas_shape in ("wide", "square")
    )
    assert wide.geometry(pixels.shape[:2]).canvas == (256, 448)
    assert square.geometry(pixels.shape[:2]).canvas == (320, 320)
    assert explain(pixels, wide, "cam").padding_share == 0
    assert explain(pixels, square, "cam").padding_share > 0.01


def content(**changes: Any) -> bytes:
    arrays = {
        "format": np.array(1), "backbone": np.array("mobilenet_v2"), "canvas": np.array("wide"), "side": np.array(320),
        "labels": np.array(["a", "b"]), "figures": np.array("{}"),
        "weights0": np.zeros((1280, 2), np.float32), "bias0": np.zeros(2, np.float32), **changes,
    }  # fmt: skip
    file = io.BytesIO()
    np.savez(file, **{key: value for key, value in arrays.items() if value is not None})
    return file.getvalue()


def repacked(change: Callable[[bytearray], None], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A head whose first entry is packed with this method and then changed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content())) as original, zipfile.ZipFile(file, "w", method) as archive:
        for entry in original.infolist():
            archive.writestr(entry.filename, original.read(entry))
    changed = bytearray(file.getvalue())
    change(changed)
    return bytes(changed)


def break_stream(file: bytearray) -> None:
    file[50:60] = b"\xff" * 10


def encrypt(file: bytearray) -> None:
    for sign, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = file.find(sign)
        while start >= 0:
            file[start + flags] |= 1
            start = file.find(sign, start + 1)


def lying() -> bytes:
    """An entry whose header promises a terabyte."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1280, 200_000_000)})
    file = io.BytesIO(content(weights0=None))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("weights0.npy", header.getvalue() + bytes(64))
    return file.getvalue()


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (b"not a zip at all", "no model that can be opened"),
        (content()[:-40], "damaged or not complete"),
        (content(labels=np.array(["a", object()], object)), "not a trained head"),
        (lying(), "not a trained head"),
        (content(bias0=None), "not a trained head"),
        (content(figures=np.array("{")), "not a trained head"),
        (repacked(break_stream), "not a trained head"),
        (repacked(break_stream, zipfile.ZIP_LZMA), "not a trained head"),
        (repacked(break_stream, zipfile.ZIP_BZIP2), "not a trained head"),
        (repacked(encrypt), "not a trained head"),
        (content(format=np.array(np.inf)), "not a trained head"),
        (content(side=np.array(3e38)), "32 to 1024"),
        (content(weights0=np.full((1280, 2), 3e38, np.float32)), "weights over 1,000,000"),
        (content(bias0=np.full(2, -3e38, np.float32)), "weights over 1,000,000"),
        (content(labels=np.array(["a" * 101, "b"])), "1 to 100 letters"),
        (content(format=np.array(9)), "format 9"),
        (content(backbone=np.array("../../etc/passwd")), "backbone"),
        (content(canvas=np.array("round")), "neither wide nor square"),
        (content(side=np.array(10**6)), "1000000.*32 to 1024"),
        (content(labels=np.array(["a"])), "2 to 1000 classes"),
        (content(labels=np.array(["a", "b", "c"])), "3 labels for 2 outputs"),
        (content(labels=np.array(["a", "a"])), "same"),
        (content(weights0=np.zeros((1279, 2), np.float32)), "fit together"),
        (content(weights0=np.full((1280, 2), np.nan, np.float32)), "finite"),
        (content(weights0=None, bias0=None), "0 layers"),
        (content(figures=np.array("[]")), "figures"),
    ],
)
def test_files_that_lie_are_refused_in_a_sentence(tmp_path: Path, file: bytes, why: str) -> None:
    path = tmp_path / "odd.npz"
    path.write_bytes(file)
    with pytest.raises(ModelError, match=why) as caught:
        models.load(str(path))
    assert "Traceback" not in str(caught.value)


def test_an_honest_file_of_that_shape_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "fine.npz"
    path.write_bytes(content())
    assert models.load(path).labels == ("a", "b")
    with pytest.raises(ModelError, match="cannot be read"):
        models.load(tmp_path / "missing.npz")


@pytest.mark.parametrize(("name", "classes"), [("tech_channels", 3), ("practice_channels", 3)])
def test_the_heads_that_come_along(name: str, classes: int) -> None:
    """Loaded once by name, with the figures that their card and the list of models tell."""
    head = models.load(name)
    assert isinstance(head, TrainedClassifier)
    assert models.load(name) is head
    assert (len(head.labels), head.canvas_shape, head.side) == (classes, "wide", 320)
    macro_f1 = head.figures["held_out"]["macro_f1"]
    assert models.MODELS[name].head == f"macro F1 {macro_f1['value']:.3f} on held-out thumbnails"
    dense = 1280 * 1000 + 1000
    own = sum(weights.size + bias.size for weights, bias in head.layers)
    assert models.MODELS[name].parameters == models.MODELS["mobilenet_v2"].parameters - dense + own


def test_the_practice_head_knows_thumbnails_that_it_was_not_trained_on() -> None:
    head = models.load("practice_channels")
    folder = Path(__file__).parents[2] / "samples" / "thumbnails"
    for channel, label in (("orbit", "Orbit Lab"), ("crumb", "Crumb & Co"), ("bolt", "Bolt Squad")):
        for number in range(4):
            pixels = images.read(folder / f"{channel}-{number}.jpg").pixels
            assert head.predict(pixels)[0].label == label
