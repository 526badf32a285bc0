"""What the commands that load a model share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from core.errors import UnknownNameError, UserError
from models import cli
from models.classifier import Classifier
from tests.networks import CountingEngine, blank, linear


def test_a_class_is_a_label_or_an_index() -> None:
    classifier = linear()
    assert cli.parse_class("class 1", classifier) == 1
    assert cli.parse_class(" 2 ", classifier) == 2
    for text in ("3", "-1", "class 9"):
        with pytest.raises(UnknownNameError):
            cli.parse_class(text, classifier)


def test_a_label_that_is_a_number_goes_before_the_index() -> None:
    classifier = linear()
    classifier.labels = ("2", "0", "1")
    assert [cli.parse_class(text, classifier) for text in ("0", "1", "2")] == [1, 2, 0]


def test_options_have_their_defaults() -> None:
    options = cli.model_parser("robustness", "Attack it.", [("a.jpg", "attack")]).parse_args([])
    assert vars(options) == {
        "model": "mobilenet_v2", "weights": None, "labels": None, "preprocess": None, "fit": None,
        "output": None, "activation": None, "steps": None, "seed": 0, "out": Path("out"), "json": False,
    }  # fmt: skip


def test_warming_up_is_one_pass_and_hides_lines_of_native_code(capfd) -> None:
    class Talkative(CountingEngine):
        def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
            return super().forward(batch)

    classifier = blank((16, 16))
    classifier.engine = Talkative(classifier.engine)
    cli.warm_up(classifier)
    assert classifier.engine.passes == 1
    assert capfd.readouterr().err == ""


def test_preparing_loads_the_model_and_makes_the_folder(tmp_path: Path, mobilenet: Classifier) -> None:
    parser = cli.model_parser("robustness", "Attack it.", [("a.jpg", "attack")])
    assert cli.prepare("robustness", parser.parse_args(["--out", str(tmp_path / "new")])) is mobilenet
    assert (tmp_path / "new").is_dir()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="--out"):
        cli.prepare("robustness", parser.parse_args(["--out", str(tmp_path / "file")]))
