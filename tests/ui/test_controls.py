"""Controls that several tabs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UserError
from explain import METHODS
from models import MODELS, load
from tests.transformers import transformer
from ui import compare_tab, controls
from ui.picture_input import MAX_SIDE, read_picture, read_small_picture
from ui.session import Session


def test_options_are_parsed_or_refused() -> None:
    assert controls.parse_options(" samples=500  cells=8 ") == {"samples": "500", "cells": "8"}
    assert controls.parse_options("") == {}
    assert controls.parse_options("a=b=c") == {"a": "b=c"}
    with pytest.raises(UserError, match="name=value"):
        controls.parse_options("samples 500")


def test_a_set_of_methods_holds_those_that_work(session: Session) -> None:
    session.models["vit"] = transformer()
    for model, lacking in (
        ("mobilenet_v2", {"attention-rollout", "gradient-attention"}),
        ("vit", {"full-grad", "guided-backprop", "guided-grad-cam"}),
    ):
        chosen = compare_tab.choose_preset(session, model, "all")
        assert chosen.value == [name for name in METHODS if name not in lacking]
        assert {name for title, name in chosen.choices if "(needs " in title} == lacking


def test_the_chosen_class_stays_if_the_model_has_it(session: Session) -> None:
    tabby = controls.update_classes(session, "mobilenet_v2", "tabby")
    assert tabby.value == "tabby"
    assert [label for label, _ in tabby.choices] == [controls.PREDICTED, *load("mobilenet_v2").labels]
    assert controls.update_classes(session, "practice_channels", "tabby", "none").value == "none"


def test_a_model_that_needs_a_download_is_not_loaded_for_its_classes(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloaded = next(name for name, info in MODELS.items() if not info.embedded)
    loaded: list[str] = []
    classifier = session.classifier

    def note(name: str) -> object:
        loaded.append(name)
        return classifier(name)

    monkeypatch.setattr(session, "classifier", note)
    assert controls.update_classes(session, downloaded, "tabby").value == "tabby"
    assert downloaded not in loaded


def test_a_tab_that_is_opened_shows_the_picture_and_the_models_of_the_visitor(session: Session) -> None:
    controls.set_picture(session, "cat.jpg")
    session.models["My model"] = load("mobilenet_v2")
    models, path = controls.update_tab(session, "My model")
    assert path == "cat.jpg"
    assert models.value == "My model"
    assert models.choices[0] == ("My model", "My model")
    assert controls.model_title("My model") == "My model"
    assert controls.model_title("mobilenet_v2") == "MobileNetV2"


def test_download_buttons_are_enabled_and_disabled(tmp_path: Path) -> None:
    buttons = controls.download_buttons("x", {"png": "Picture", "json": "Facts"})
    assert [button.elem_id for button in buttons] == ["x-png", "x-json"]
    assert not any(button.interactive for button in buttons)
    (tmp_path / "a.png").write_bytes(b"x")
    (offered,) = controls.offer_downloads([tmp_path / "a.png"])
    assert offered.interactive
    assert not any(button.interactive for button in controls.disable_downloads(2))


def test_pictures_are_read_whole_or_small(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "large.png"
    Image.new("RGB", (2560, 1440)).save(path)
    assert read_picture(str(path)).pixels.shape == (1440, 2560, 3)
    assert max(read_small_picture(str(path)).pixels.shape) == MAX_SIDE
    with pytest.raises(UserError, match="no picture yet"):
        read_picture(None)
