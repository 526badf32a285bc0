"""Promises about the repository as a whole: pins, the Space's settings, sizes, documents that match the code."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from docs.tables import README, renewed
from explain import METHODS

ROOT = Path(__file__).parents[1]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name]


def front_matter() -> dict[str, str]:
    block = README.read_text(encoding="utf-8").split("---\n")[1]
    return {key: value.strip('"') for key, value in (line.split(": ", 1) for line in block.splitlines())}


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = [re.match(r"([\w.-]+)==([\w.]+)", line) for line in lines if line and not line.startswith("#")]
    assert all(found), "every requirement is pinned exactly"
    return {match[1]: match[2] for match in found if match}


def test_the_space_runs_the_gradio_that_is_pinned() -> None:
    assert front_matter()["sdk_version"] == pins()["gradio"]


def test_the_spaces_settings() -> None:
    settings = front_matter()
    assert settings["sdk"] == "gradio"
    assert (ROOT / settings["app_file"]).exists()
    assert settings["python_version"] == "3.11"
    assert settings["license"] == "apache-2.0"
    assert len(settings["short_description"]) <= 60


def test_tensorflow_is_the_small_one_where_it_exists() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert 'tensorflow-cpu==2.21.0; sys_platform == "linux" and platform_machine == "x86_64"' in text
    assert 'tensorflow==2.21.0; sys_platform != "linux" or platform_machine != "x86_64"' in text
    assert "opencv-python-headless" in pins()


def test_no_file_is_too_large_for_a_space() -> None:
    large = {path.name: path.stat().st_size for path in tracked() if path.stat().st_size > 10_000_000}
    assert large == {}


def test_tables_of_readme_are_those_of_the_registers() -> None:
    text = README.read_text(encoding="utf-8")
    assert renewed(text) == text, "run `make docs`"


def test_every_method_is_weighed_in_words() -> None:
    text = (ROOT / "docs" / "METHODS.md").read_text(encoding="utf-8")
    assert [name for name in METHODS if f"- **`{name}`**" not in text] == []


@pytest.mark.parametrize("page", ["README.md", "docs/ARCHITECTURE.md", "docs/METHODS.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for link in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            assert (path.parent / link).exists(), link


def test_every_embedded_thing_has_its_licence_beside_it() -> None:
    weights = (ROOT / "models" / "weights" / "LICENSES.md").read_text(encoding="utf-8")
    for file in (ROOT / "models" / "weights").iterdir():
        if file.suffix in {".npz", ".tflite"} or file.name == "imagenet_labels.json":
            assert file.name in weights
