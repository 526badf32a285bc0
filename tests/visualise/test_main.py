"""python -m visualise."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from visualise.__main__ import main as command


def test_on_the_command_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["goldfish", "--steps", "6", "--animation", "--json", "--out", str(tmp_path)]
    assert command(arguments) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["goal"] == "goldfish"
    assert facts["steps"] == 6
    with Image.open(tmp_path / "goldfish.png") as still, Image.open(tmp_path / "goldfish.webp") as moving:
        assert still.size == moving.size == (224, 224)
        assert moving.n_frames == 2
    assert command(["goldfihs", "--out", str(tmp_path)]) == 2
    assert "did you mean 'goldfish'" in capfd.readouterr().err


def test_the_layer_of_the_help_exists(mobilenet, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command(["--help"])
    layer = re.search(r"--layer (\S+)\n", capsys.readouterr().out.partition("examples:")[2])
    assert layer
    assert layer[1] in mobilenet.channels()
