"""Opening one's own model on the page: the card, the samples, the list of models; and apart from the server for strangers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from core.cli import Parser
from core.errors import ModelError, UserError
from explain import METHODS
from explain.compare import SORTS
from models import MODELS, load, open_model
from models.isolated import IsolatedClassifier, open_isolated, pack, unpack
from tests.model_files import colours, saved, small_cnn, to_tflite
from ui import compare_tab, controls, hosting, live_tab, opener, stress_tab, visualise_tab
from ui.explain_tab import update_texts
from ui.session import Session

SETTINGS = ("", opener.FOUND, opener.BY_FILE)


@pytest.fixture(autouse=True)
def _own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPACE_ID", hosting.PUBLIC, "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("models.isolated.OPEN_SECONDS", 900.0)  # the tests run on busy machines
    monkeypatch.setattr("models.isolated.CALL_SECONDS", 900.0)


def test_a_file_becomes_a_card_and_a_model_of_this_visitor_alone(session: Session, tmp_path: Path) -> None:
    path = saved(small_cnn(), tmp_path / "mine.keras")
    assert opener.use_model(session)["__type__"] == "update"  # nothing was opened
    first, last = opener.open_upload(session, str(path), "red\ngreen\nblue", opener.FOUND, "crop")
    assert "Opening mine.keras" in first[0]
    card, samples, use = last
    for text in ("3: red, green, blue", "48 x 48 pixels", "inside", "crop", "11 x 11 cells, 12 channels", "LiteRT"):
        assert f"<td>{text}</td>" in card
    assert f"of {len(METHODS)}: Grad-CAM" in card
    assert use.visible
    assert len(samples.value) == 3
    chosen = opener.use_model(session)
    assert chosen.value == "mine"
    assert chosen.choices[0] == ("mine", "mine")
    assert session.classifier("mine").labels == ("red", "green", "blue")
    assert "mine" not in Session().models
    assert "mine" not in MODELS


def test_another_setting_opens_the_file_again(session: Session, tmp_path: Path) -> None:
    path = saved(small_cnn(scale=False), tmp_path / "mine.keras")
    assert list(opener.open_again(session, *SETTINGS)) == []
    *_, last = opener.open_upload(session, str(path), *SETTINGS)
    *_, again = opener.open_again(session, "", "-1..1", opener.BY_FILE)
    assert "<td>-1..1</td>" in again[0]
    assert last[1].value != again[1].value
    *_, wrong = opener.open_again(session, "only one", opener.FOUND, opener.BY_FILE)
    assert "3 classes and 1 labels" in wrong[0]
    assert opener.use_model(session)["__type__"] == "update"


def test_text_from_the_file_is_escaped(session: Session, tmp_path: Path) -> None:
    path = saved(small_cnn(), tmp_path / "m.keras")
    *_, last = opener.open_upload(session, str(path), "<b>a\n<img src=x>\nc", *SETTINGS[1:])
    assert "&lt;img src=x&gt;" in last[0]
    assert "<img" not in last[0]


def test_signs_of_wrong_scaling() -> None:
    classifier = load("practice_channels")
    assert opener.warnings(classifier, np.float32([[3, 1, 0], [0, 2, 1]])) == []
    assert "100.0 %" in opener.warnings(classifier, np.float32([[300, 1, 0], [0, 200, 1]]))[0]
    assert "reach 5000" in opener.warnings(classifier, np.float32([[5000, 1, 0], [0, 200, 1]]))[0]


def without_map(folder: Path) -> Path:
    pixels = keras.Input((32, 32, 3))
    x = layers.Flatten()(layers.Conv2D(4, 3, strides=2, activation="relu")(pixels / 255.0))
    (folder / "flat.tflite").write_bytes(to_tflite(keras.Model(pixels, layers.Dense(2, activation="softmax")(x))))
    return folder / "flat.tflite"


def test_methods_that_do_not_work_say_why_in_the_list(session: Session, tmp_path: Path) -> None:
    session.models["flat"] = open_model(without_map(tmp_path), preprocess="0..255")
    methods = controls.update_methods(session, "flat", "grad-cam")
    titles = {name: title for title, name in methods.choices}
    assert titles["grad-cam"] == "Grad-CAM (needs a spatial map of features)"
    assert titles["saliency"] == "Saliency (needs gradients with respect to the pixels)"
    assert titles["occlusion"] == "Occlusion"
    assert methods.value == "occlusion"
    assert controls.update_methods(session, "flat", ["grad-cam", "rise", "lime"]).value == ["rise", "lime"]
    assert controls.update_methods(session, "mobilenet_v2", "cam").value == "cam"
    assert update_texts("flat", "occlusion", "cells=3")[0].startswith("patch=")
    assert update_texts("flat", "occlusion", "patch=8")[0] == "patch=8"


def make_parser() -> Parser:
    parser = Parser("app", "Serve the page.", [("", "serve it")])
    hosting.add_options(parser)
    return parser


def test_what_a_public_server_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not hosting.is_public()
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    assert hosting.is_public()
    monkeypatch.setenv("GRADIO_SERVER_NAME", "127.0.0.1")
    monkeypatch.setenv("SPACE_ID", "a/b")
    assert hosting.is_public()
    monkeypatch.delenv("SPACE_ID")
    monkeypatch.setenv(hosting.PUBLIC, "0")
    hosting.prepare(make_parser, ["--public"])
    assert os.environ[hosting.PUBLIC] == "1"
    assert hosting.is_public()


def test_a_model_of_the_command_line_is_in_the_list_of_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("models.catalogue.MODELS", MODELS)
    path = saved(small_cnn(), tmp_path / "mine own.keras")
    try:
        hosting.prepare(make_parser, ["--model", str(path), "--fit", "crop"])
        assert load("mine own").fit == "crop"
        assert Session().model_choices()[-1] == ("mine own", "mine own")
        assert controls.update_classes(Session(), "mine own", "x").choices[1][0] == "class 0"
    finally:
        MODELS.pop("mine own", None)
    with pytest.raises(SystemExit):
        hosting.prepare(make_parser, ["--model", str(tmp_path / "none.keras")])
    assert "check the path" in capsys.readouterr().err


# --- models of strangers


def test_messages_are_read_as_they_were_written() -> None:
    arrays = [np.arange(6, dtype=np.float32).reshape(1, 2, 3), np.zeros((0, 4), np.float32)]
    facts, again = unpack(pack({"do": "x\ny"}, arrays))
    assert facts == {"do": "x\ny"}
    for first, second in zip(arrays, again, strict=True):
        np.testing.assert_array_equal(first, second)
    for damaged in (b"", b"{}", b"\x80\x04", pack({}, arrays)[:-3], b'{"facts": 1, "shapes": [[1000000000000]]}\n'):
        with pytest.raises((ValueError, KeyError)):
            unpack(damaged)


def test_a_model_of_a_stranger_runs_in_a_process_of_its_own(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACE_ID", "a/b")
    model = small_cnn()
    path = saved(model, tmp_path / "mine.keras")
    *_, last = opener.open_upload(session, str(path), *SETTINGS)
    assert "<td>a process apart</td>" in last[0]
    opener.use_model(session)
    classifier = session.classifier("mine")
    assert isinstance(classifier, IsolatedClassifier)
    pictures, _ = colours(5, 48)
    here = open_model(path)
    for apart, own in zip(classifier.forward(pictures), here.forward(pictures), strict=True):
        np.testing.assert_allclose(apart, own, rtol=1e-4, atol=1e-5)
    objective = np.float32([0, 1, 0])
    for name in ("gradient", "guided_gradient"):
        expected = getattr(here, name)(pictures[:1], objective)
        np.testing.assert_allclose(getattr(classifier, name)(pictures[:1], objective), expected, rtol=1e-3, atol=1e-6)
    (total, maps), (expected, own_maps) = (each.full_gradient(pictures[:1], objective) for each in (classifier, here))
    assert total == pytest.approx(expected, rel=1e-4)
    for apart, own in zip(maps, own_maps, strict=True):
        np.testing.assert_allclose(apart, own, rtol=1e-3, atol=1e-4)
    assert classifier.capabilities == here.capabilities
    with pytest.raises(ModelError, match="no layers to choose"):
        classifier.channels()
    process = classifier.process
    process._process.kill()
    process._process.wait()
    with pytest.raises(ModelError, match="was closed"):
        classifier.forward(pictures)


def test_limits_of_a_process(tmp_path: Path) -> None:
    path = without_map(tmp_path)
    classifier = open_isolated(path, preprocess="0..255")
    assert isinstance(classifier, IsolatedClassifier)
    assert classifier.capabilities == frozenset()
    classifier.process._memory = 1_000_000  # less than any process has
    with pytest.raises(ModelError, match=r"needs more than 0\.0 GB of memory"):
        classifier.forward(np.zeros((1, 32, 32, 3), np.float32))
    assert not classifier.process.alive
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08\x12\x07pytorch" + bytes(200))
    with pytest.raises(ModelError, match="on your own machine only"):
        open_isolated(tmp_path / "m.onnx")
    again: Any = open_isolated(path, preprocess="0..255")
    with pytest.raises(ModelError, match="took longer than"):
        again.process.ask({"do": "forward"}, [np.zeros((1, 32, 32, 3), np.float32)], seconds=-1)
    assert not again.process.alive


# --- an opened model on every tab


def test_the_tabs_take_an_opened_model(session: Session, tmp_path: Path, cat: Path) -> None:
    """With gradients and a map, and with neither: each tab gives a result, or one sentence that says what is missing."""
    session.models["mine"] = open_model(saved(small_cnn(), tmp_path / "mine.keras"))
    session.models["flat"] = open_model(without_map(tmp_path), preprocess="0..255")
    for model in ("mine", "flat"):
        *_, compared = compare_tab.compare(
            session, str(cat), model, controls.PREDICTED, ["occlusion"], False, next(iter(SORTS))
        )
        assert "occlusion" in session.state(compare_tab.CompareState).tiles
        assert compared
        view = live_tab.explain_frame(session, np.asarray(Image.open(cat)), model, "occlusion", False)
        assert session.classifier(model).labels[0] in view
        attack = (str(cat), model, stress_tab.ANY_OTHER, "fgsm", "linf", 4.0, 0, 10.0)
        statuses = [row[0] for row in run_to_end(stress_tab.run_attack(session, *attack))]
        assert ("gradients" in statuses[-1]) == (model == "flat"), statuses[-1]
        request = (model, visualise_tab.CLASS, session.classifier(model).labels[0], None, 0, visualise_tab.NOISE, None)
        painted = run_to_end(visualise_tab.run_visualisation(session, *request, 4, 1, 0, 0, 0))
        assert ("gives no gradients" if model == "flat" else "probability") in painted[-1][1]


def run_to_end(steps: Iterator[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """All outputs of a run; a refusal is the last of them."""
    rows: list[tuple[Any, ...]] = []
    try:
        rows.extend(steps)
    except (gr.Error, UserError) as error:
        rows.append((str(error),))
    return rows
