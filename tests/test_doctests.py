"""The examples in docstrings and in README run and say what is shown."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
ROOMS = ("core", "models", "explain", "training", "batch", "robustness", "visualise", "audit", "capture", "samples")
WITH_EXAMPLES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for room in ROOMS
    for path in (ROOT / room).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
}


@pytest.mark.parametrize("name", sorted(WITH_EXAMPLES))
def test_examples_of_a_module(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


@pytest.mark.parametrize(
    "name",
    ["explain.api", "robustness.adversarial", "visualise.optimise", "audit.run", "capture.detection", "core.optim"],
)
def test_entry_points_have_an_example(name: str) -> None:
    assert name in WITH_EXAMPLES


def test_readmes_python_makes_readmes_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first Python block of README, run as it stands, writes the picture that README shows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code
    exec(code[1], {})
    made = np.asarray(Image.open(tmp_path / "espresso.png"), np.int16)
    shown = np.asarray(Image.open(ROOT / "docs" / "example.png"), np.int16)
    assert made.shape == shown.shape
    assert np.abs(made - shown).max() <= 4
