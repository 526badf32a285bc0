"""python -m robustness."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from core.corruptions import CORRUPTIONS
from core.images import read
from robustness.__main__ import main as command
from robustness.corruption_curves import SEVERITIES
from robustness.defences import DEFENCES


def test_on_the_command_line(tmp_path: Path, cat: Path, mobilenet, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = [str(cat), "--target", "tabby", "--epsilon", "2", "--steps", "5", "--checks", "--out", str(tmp_path)]
    assert command([*arguments, "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["success"]
    attacked = read(facts["attacked"]).pixels
    assert mobilenet.predict(attacked, 1)[0].label == "tabby"
    assert np.abs(attacked.astype(int) - read(cat).pixels).max() == facts["linf"] <= 2
    assert set(facts["checks"]) == set(DEFENCES)
    assert command(arguments) == 0
    assert "Egyptian cat" in (out := capfd.readouterr().out)
    assert "-> tabby" in out
    assert "still succeeds" in out
    assert command([str(cat), "--minimal", "--out", str(tmp_path)]) == 0
    assert "largest change 1/255" in capfd.readouterr().out
    assert command([str(cat), "--target", "Egyptian cat", "--out", str(tmp_path)]) == 2
    assert "already" in capfd.readouterr().err
    assert command([str(cat), "--patch", "--out", str(tmp_path)]) == 2
    assert "name it with --target" in capfd.readouterr().err


def test_corruptions_and_patch_on_the_command_line(
    tmp_path: Path, cat: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command([str(cat), "--corruptions", "--json", "--out", str(tmp_path)]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["distortion"] for row in rows] == list(CORRUPTIONS)
    keys = {"image", "distortion", "class", "strengths", "probabilities", "seen", "correlations", "breaks"}
    assert all(set(row) == keys and len(row["probabilities"]) == len(SEVERITIES) for row in rows)
    assert command([str(cat), "--patch", "--target", "toaster", "--steps", "1", "--json", "--out", str(tmp_path)]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert set(facts) == {"target", "rate", "probability", "steps", "seconds", "patch", "example"}
    assert read(facts["example"]).pixels.shape == read(cat).pixels.shape
