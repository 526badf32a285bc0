"""`python -m audit` writes a report that needs nothing else; a user's mistake is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from audit import Audit
from audit.__main__ import main
from audit.cues import KINDS
from tests.audit.known_cues import LABELS


def test_the_command_writes_a_report_that_needs_nothing_else(
    folder: Path, local: Audit, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "report"
    assert main([str(folder / "model.npz"), str(folder / "data"), "--report", str(out), "--sample", "3"]) == 0
    said = capsys.readouterr()
    assert "'stray' was left out" in said.err
    assert "3.jpg" in said.err
    assert local.sentence in said.out
    html = (out / "report.html").read_text(encoding="utf-8")
    assert "http" not in html.replace("http-equiv", "")
    assert html.count("data:image/jpeg;base64,") > 10
    facts = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert facts["pictures"] == 19
    assert [r["kind"] for r in facts["classes"][0]["reliances"]] == list(KINDS)
    with np.load(out / "maps.npz", allow_pickle=False) as maps:
        assert maps["labels"].tolist() == list(LABELS)
        np.testing.assert_array_equal(maps["mean"], np.stack([each.heat for each in local.classes]))
        np.testing.assert_array_equal(maps["spread"], np.stack([each.standard_deviation for each in local.classes]))


def test_mistakes_on_the_command_line_are_one_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def mistake(*arguments: str) -> str:
        assert main(list(arguments)) == 2
        return capsys.readouterr().err

    assert "Rename" in mistake("mobilenet_v2", str(folder / "data"))
    assert "There is no folder" in mistake(str(folder / "model.npz"), str(folder / "nowhere"))
    assert "--sample" in mistake(str(folder / "model.npz"), str(folder / "data"), "--sample", "1")
