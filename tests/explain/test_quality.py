"""Qualities: which method they stand for, in Python and on the command line, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UnknownNameError, UserError
from explain import QUALITIES, ExplainSettings, explain, stream
from explain.cli import main
from tests.networks import detector, linear, picture


@pytest.mark.parametrize("name", QUALITIES)
def test_a_quality_is_its_method_with_its_options(name: str) -> None:
    quality = QUALITIES[name]
    found = explain(picture(64, 64), detector(), quality=name)
    expected = explain(picture(64, 64), detector(), quality.method, **quality.options)
    np.testing.assert_array_equal(found.raw, expected.raw)
    assert found.to_dict() | {"seconds": 0} == expected.to_dict() | {"seconds": 0}
    again = ExplainSettings.from_explanation(found).explain(picture(64, 64), detector())
    np.testing.assert_array_equal(found.raw, again.raw)


def test_a_better_quality_takes_more_passes() -> None:
    passes = [explain(picture(64, 64), detector(), quality=name).forward_passes for name in ("quick", "good", "best")]
    assert passes == sorted(passes)
    assert passes[2] > 5 * passes[1] > 5 * passes[0]


def test_good_shows_the_map_of_quick_first(mobilenet) -> None:
    quick = explain(picture(), mobilenet, target=3, quality="quick")
    first, *_, last = stream(picture(), mobilenet, target=3, quality="good")
    np.testing.assert_array_equal(first.raw, quick.raw)
    assert first.progress < last.progress == 1
    assert last.raw.shape == (224, 224)


@pytest.mark.parametrize("kind", ["forwards", "transformer"])
@pytest.mark.parametrize("name", QUALITIES)
def test_a_model_without_useful_features_has_no_prior(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = linear((64, 64))
    monkeypatch.setattr(
        classifier, *({"forwards": ("capabilities", frozenset()), "transformer": ("has_tokens", True)}[kind])
    )
    found = explain(picture(64, 64), classifier, quality=name)
    assert found.method == "bay-lime"
    assert "no prior map" in found.notes[0]


def test_mistakes_are_one_sentence() -> None:
    with pytest.raises(UnknownNameError, match="good"):
        explain(picture(), linear(), quality="goood")
    for arguments in ({"method": "rise"}, {"seed": 3}):
        with pytest.raises(UserError, match="not both"):
            explain(picture(), linear(), quality="good", **arguments)


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd, mobilenet) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture(60, 80)).save("a.png")
    assert main(["a.png", "--quality", "quick", "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["method"] == QUALITIES["quick"].method
    assert Path(f"out/a.{QUALITIES['quick'].method}.png").exists()
    for wrong in (["--method", "rise"], ["--option", "seed=1"]):
        assert main(["a.png", "--quality", "good", *wrong]) == 2
        assert "leave out --method and --option" in capfd.readouterr().err
    assert main(["a.png", "--quality", "fine"]) == 2
    assert "quality" in capfd.readouterr().err
