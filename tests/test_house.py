"""Promises about the repository as a whole: pins, the Space's settings, sizes, documents that match the code."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from explain import METHODS
from scripts.tables import DATA, README, replace_data_tables, replace_tables
from tests.test_imports import MAY_IMPORT
from ui import monitor

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
    assert replace_tables(text) == text, "run `make docs`"


def test_tables_of_the_data_page_are_those_of_the_code() -> None:
    text = DATA.read_text(encoding="utf-8")
    assert replace_data_tables(text) == text, "run `make docs`"


def test_every_method_is_weighed_in_words() -> None:
    text = (ROOT / "docs" / "METHODS.md").read_text(encoding="utf-8")
    assert [name for name in METHODS if f"- **`{name}`**" not in text] == []


PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES)
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


def test_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) < 200


def spans(page: str) -> set[str]:
    """What stands in backticks on a page, the code blocks left out."""
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    return set(re.findall(r"`([^`\n]+)`", text))


def house() -> dict[str, str]:
    """The drawing of the house: folders and files with their descriptions."""
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    block = re.search(r"## Folders.*?```\n(.*?)```", text, re.DOTALL)
    assert block
    return {line.split()[0]: line for line in block[1].splitlines() if line and not line.startswith("        ")}


def sources() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in tracked() if path.suffix == ".py" and path.exists())


def test_the_house_is_drawn_as_it_is() -> None:
    """Every folder of the repository is in the drawing, and every file it names exists."""
    drawn = {name.rstrip("/") for name in house()}
    folders = {path.relative_to(ROOT).parts[0] for path in tracked() if len(path.relative_to(ROOT).parts) > 1}
    assert folders - {".ci", "docs"} <= drawn
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    folder = ""
    for line in re.search(r"## Folders.*?```\n(.*?)```", text, re.DOTALL)[1].splitlines():  # type: ignore[index]
        name = line.split()[0] if not line.startswith("        ") else ""
        folder = folder if not name.endswith("/") else (f"explain/{name}" if line.startswith("  ") else name)
        for file in re.findall(r"\b\w+\.py\b", line):
            assert (ROOT / folder / file).exists() or (ROOT / file).exists(), f"{folder}{file}"


def test_every_name_in_the_architecture_exists() -> None:
    code = sources()
    for page in ("docs/ARCHITECTURE.md", "CONTRIBUTING.md"):
        for span in spans(page):
            if span.startswith(("python ", "make ", "git ", "(", ".", "@")) or " " in span:
                continue
            if "/" in span:
                assert (ROOT / span).exists(), f"{page}: {span}"
            else:
                last = span.removesuffix("()").split("(")[0].split(".")[-1]
                assert span in {"tf.function"} or re.search(rf"\b{re.escape(last)}\b", code), f"{page}: {span}"


def test_the_container_gets_every_room_and_nothing_else() -> None:
    """A room that is missing in the container would show only when somebody starts it."""
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    rooms = {folder for folder in MAY_IMPORT if folder != "app"}
    assert set(re.findall(r"^COPY (\w+) \w+$", dockerfile, re.MULTILINE)) == rooms
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    assert {f"!{room}" for room in rooms} <= set(ignore.splitlines())
    assert f"FROM python:{front_matter()['python_version']}-" in dockerfile
    assert re.search(r"^USER \d{4,}$", dockerfile, re.MULTILINE)
    assert monitor.HEALTH in dockerfile


def test_the_deployment_names_its_parts_alike() -> None:
    compose, proxy, figures = (
        (ROOT / "deploy" / name).read_text(encoding="utf-8")
        for name in ("compose.yaml", "haproxy.cfg", "prometheus.yml")
    )
    pages = re.findall(r"^  (page\d+): \*page$", compose, re.MULTILINE)
    assert len(pages) == 2
    for number, page in enumerate(pages, 1):
        assert f'PAGE{number}: "{page}:7860"' in compose
        assert f'server {page} "${{PAGE{number}}}" cookie {page}' in proxy
        assert f"{page}:7860" in figures
    assert f"{{ path {monitor.METRICS} {monitor.HEALTH} }}" in proxy, "strangers do not see the figures"
    assert "read_only: true" in compose
