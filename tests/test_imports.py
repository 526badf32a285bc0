"""Imports point one way: app -> ui -> {capture, explain, models}, explain -> a few modules of models, and no further.
Only explain's command line also takes screens out of photographs with capture.

Read from the source of every file, so that no import is missed because a test did not take its path. An import inside a
function counts as well, except for TensorFlow and Keras: those may be imported late anywhere in models, which is how the
page comes up before they do. Imports for type checkers alone never run and do not count. benchmarks, samples and
tests may import whatever they like; models/weights/convert.py is a tool that runs where PyTorch is.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OWN = {"app", "ui", "capture", "explain", "models", "samples", "benchmarks", "tests"}
HEAVY = {"tensorflow", "keras"}
EXPLAIN_MAY = {
    f"models.{name}"
    for name in ("classifier", "errors", "picture", "head", "geometry", "engine", "gradient", "distortions")
}
COMMAND_MAY = EXPLAIN_MAY | {"models", "models.engine"}


def _sources() -> list[Path]:
    """The program's own files, generated ones and environments left out."""
    found = [ROOT / "app.py"] if (ROOT / "app.py").exists() else []
    for folder in ("ui", "capture", "explain", "models"):
        found += sorted((ROOT / folder).rglob("*.py"))
    return [path for path in found if path.parent != ROOT / "models" / "weights"]  # which make the weights, once


SOURCES = _sources()
every_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def _package(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _imports(tree: ast.AST, package: str, late: bool) -> Iterator[str]:
    """Dotted names of all modules imported, with those of functions if `late`.

    `from models import engine` may name a module or a function; it gives "models.engine" if there is such a module.
    """
    for node in ast.iter_child_nodes(tree):
        if _for_type_checkers(node):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = ".".join(part for part in (package if node.level else "", node.module) if part)
            for alias in node.names:
                path = ROOT.joinpath(*module.split("."), alias.name)
                yield f"{module}.{alias.name}" if path.is_dir() or path.with_suffix(".py").exists() else module
        elif late or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _imports(node, package, late)


def _imported(path: Path, late: bool = True) -> set[str]:
    return set(_imports(ast.parse(path.read_text(encoding="utf-8")), _package(path), late))


def _tops(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_there_is_something_to_read() -> None:
    assert {"explain", "models"} <= {_package(path) for path in SOURCES}
    assert "explain.render" in _imported(ROOT / "explain" / "__main__.py")
    assert "models.embedded" in _imported(ROOT / "models" / "__init__.py")
    assert "keras" in _tops(_imported(ROOT / "models" / "embedded.py"))
    assert "keras" not in _tops(_imported(ROOT / "models" / "embedded.py", late=False))


@every_source
def test_only_the_page_imports_gradio(path: Path) -> None:
    if _package(path) not in {"app", "ui"}:
        assert not _tops(_imported(path)) & {"gradio", "gradio_client"}


@every_source
def test_imports_point_one_way(path: Path) -> None:
    names = _imported(path)
    allowed = {
        "app": {"app", "ui", "capture", "explain", "models", "samples"},
        "ui": {"ui", "capture", "explain", "models", "samples"},
        "capture": {"capture"},
        "explain": {"explain", "models", *(["capture"] if path.name == "__main__.py" else [])},
        "models": {"models"},
    }[_package(path)]
    assert _tops(names) & OWN <= allowed


@pytest.mark.parametrize("path", [p for p in SOURCES if _package(p) == "explain"], ids=lambda path: path.name)
def test_explaining_knows_little_of_the_models(path: Path) -> None:
    """A method meets a classifier, its head and the geometry, but not files, engines or Keras; the command line loads."""
    names = _imported(path)
    from_models = {name for name in names if name.split(".")[0] == "models"}
    assert from_models <= (
        COMMAND_MAY if path.name in {"__main__.py", "cli.py", "commands.py", "run.py"} else EXPLAIN_MAY
    )
    assert not _tops(names) & HEAVY


@every_source
def test_capture_needs_opencv_and_numpy_only(path: Path) -> None:
    if _package(path) == "capture":
        assert _tops(_imported(path)) - set(sys.stdlib_module_names) <= {"capture", "cv2", "numpy"}


@every_source
def test_tensorflow_comes_late(path: Path) -> None:
    """At module level only in models/keras_model.py, which is itself imported inside functions."""
    early = _imported(path, late=False)
    if path != ROOT / "models" / "keras_model.py":
        assert not _tops(early) & HEAVY
        assert "models.keras_model" not in early


def test_importing_everything_imports_no_tensorflow_and_no_gradio() -> None:
    """The same seen from outside: what Python has loaded once explain and models are."""
    code = (
        "import sys, explain, explain.render, explain.__main__, models, models.embedded, models.applications;"
        "print([name for name in ('tensorflow', 'keras', 'gradio', 'torch', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
