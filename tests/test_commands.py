"""The commands of README: one per capability, and old names that point to the new ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = ("explain", "training", "training.evaluate", "training.youtube", "robustness", "visualise", "audit")
MOVED = {
    "models.train": "training",
    "models.evaluate": "training.evaluate",
    "models.thumbnails": "training.youtube",
    "explain.adversarial": "robustness",
    "explain.visualise": "visualise",
    "explain.audit": "audit",
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_points_to_the_new_one(old: str) -> None:
    done = run(old, "photo.jpg", "--anything")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{old}: This command is now `python -m {MOVED[old]}`.\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_two_examples_and_no_module_is_loaded_twice(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert done.stdout.count(f"  python -m {command} ") >= 2
    assert done.stderr == ""  # runpy warns there when a module is loaded twice


@pytest.mark.parametrize("command", COMMANDS)
def test_a_mistake_is_one_line_and_status_2(command: str) -> None:
    done = run(command, "--no-such-option")
    assert done.returncode == 2
    assert done.stderr.startswith(f"{command}: ")
    assert done.stderr.count("\n") == 1
