"""The floors of the house: imports go downwards only, there is no circle, and slow packages are imported late.

Read from the source of every file, so that no import is missed because a test did not run it. Imports inside functions
count too. Imports for type checkers alone never run and do not count.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What each folder may import, besides itself. `samples` beside `ui` and `audit` are the pictures they offer.
MAY_IMPORT = {
    "core": set(),
    "capture": set(),
    "samples": {"core", "capture"},
    "models": {"core"},
    "explain": {"core", "models"},
    "training": {"core", "models", "explain"},
    "batch": {"core", "models", "explain"},
    "robustness": {"core", "models", "explain"},
    "visualise": {"core", "models", "explain"},
    "audit": {"core", "models", "explain", "training", "robustness", "visualise", "samples"},
    "ui": {"core", "models", "explain", "training", "robustness", "visualise", "audit", "capture", "samples"},
    "app": {"core", "models", "ui"},
}
TOOLS = ("scripts", "benchmarks")  # above everything; nothing of the product imports them
COMMANDS = {"explain/cli.py": {"capture", "batch"}}  # the command line explains photographs of screens and folders too
TENSORFLOW = {"tensorflow", "keras"}
KERAS = {
    "models.features",
    "models.tokens",
    "models.from_keras",
    "models.flat_copy",
    "models.keras_copy",
    "models.keras_ends",
    "models.keras_graph",
    "models.keras_clues",
}  # they work on Keras layers all the way
# Packages that may be imported inside functions: they take a tenth of a second and more, or are optional.
LATE = {
    *TENSORFLOW, "ray", "yt_dlp", "sklearn", "scipy", "skimage", "matplotlib", "pyarrow", "ai_edge_litert", "pooch",
    "requests", "tqdm", "pillow_heif", "torch", "onnx", "onnxruntime",
}  # fmt: skip


def _files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


PRODUCT = [ROOT / "app.py", *(path for folder in MAY_IMPORT if folder != "app" for path in _files(folder))]
SOURCES = [*PRODUCT, *(path for folder in TOOLS for path in _files(folder))]
every_file = pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))


def _name(path: Path) -> str:
    """The dotted name of a module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {_name(path): path for path in SOURCES}


def _statements(node: ast.AST, inside: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Import statements, and whether each is inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, inside
        else:
            yield from _statements(
                child, inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            )


@cache
def _imports(path: Path) -> tuple[tuple[str, bool], ...]:
    """The modules that a file imports, with whether inside a function; "models.engine" for `from models import engine`."""
    found: list[tuple[str, bool]] = []
    for statement, inside in _statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            found += [(alias.name, inside) for alias in statement.names]
        else:
            assert not statement.level, f"{path}: imports are written out"
            for alias in statement.names:
                module = f"{statement.module}.{alias.name}"
                found.append((module if module in MODULES else str(statement.module), inside))
    return tuple(found)


def _tops(path: Path, late: bool = True) -> set[str]:
    return {name.split(".")[0] for name, inside in _imports(path) if late or not inside}


def circles() -> list[list[str]]:
    """Groups of modules that import each other (Tarjan 1972), imports inside functions included."""
    graph = {name: [other for other, _ in _imports(path) if other in MODULES] for name, path in MODULES.items()}
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in graph[name]:
            if other not in number:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == number[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in graph:
        if name not in number:
            visit(name)
    return found


def test_there_is_something_to_read() -> None:
    assert {"app.py", "explain/api.py", "core/images.py"} <= {str(path.relative_to(ROOT)) for path in PRODUCT}
    assert ("explain.render", False) in _imports(ROOT / "explain" / "cli.py")
    assert ("keras", True) in _imports(ROOT / "models" / "embedded.py")


def test_no_circle() -> None:
    assert circles() == []


@every_file
def test_imports_go_downwards(path: Path) -> None:
    room = _name(path).split(".")[0]
    above = (set(MAY_IMPORT) | set(TOOLS) | {"tests"}) - MAY_IMPORT[room] - {room}
    assert not _tops(path) & above - COMMANDS.get(str(path.relative_to(ROOT)), set())


@every_file
def test_only_the_page_imports_gradio(path: Path) -> None:
    if _name(path).split(".")[0] not in {"app", "ui"}:
        assert not _tops(path) & {"gradio", "gradio_client"}


@pytest.mark.parametrize("path", _files("explain"), ids=lambda path: path.name)
def test_methods_know_no_keras(path: Path) -> None:
    assert not _tops(path) & TENSORFLOW


@pytest.mark.parametrize("path", _files("capture"), ids=lambda path: path.name)
def test_capture_needs_opencv_and_numpy_only(path: Path) -> None:
    assert _tops(path) - set(sys.stdlib_module_names) <= {"capture", "cv2", "numpy"}


@every_file
def test_imports_inside_functions_are_of_slow_packages(path: Path) -> None:
    """Or of own modules that themselves import TensorFlow at once."""
    for name, inside in _imports(path):
        if inside and name in MODULES:
            assert _tops(MODULES[name], late=False) & {*TENSORFLOW, "matplotlib"}, f"{name} can be imported at the top"
        elif inside:
            assert name.split(".")[0] in LATE, f"{name} can be imported at the top"


@every_file
def test_tensorflow_comes_late(path: Path) -> None:
    """At module level only in the files that copy or build Keras models; others import these inside functions."""
    if _name(path) not in KERAS:
        assert not _tops(path, late=False) & TENSORFLOW
        assert not {(name, False) for name in KERAS} & set(_imports(path))


def test_importing_everything_imports_no_tensorflow_and_no_gradio() -> None:
    """The same seen from outside: what Python has loaded once every room below the page is imported."""
    rooms = [_name(path) for path in PRODUCT if _name(path).split(".")[0] not in {"app", "ui"}]
    code = (
        f"import sys, importlib; [importlib.import_module(name) for name in {sorted(set(rooms) - KERAS)!r}];"
        "print([name for name in ('tensorflow', 'keras', 'gradio', 'torch', 'matplotlib', 'ray') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def _lines(*folders: str) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for folder in folders for path in _files(folder))


def test_rooms_stay_small() -> None:
    """What a newcomer has to read: the package that explains, and the longest file."""
    # 3000 and 2000, and what came later: the quick check of a map; finer-cam, bay-lime and the qualities that use them;
    # guided-ig, xrai, full-grad and the option sign; the methods by attention.
    assert _lines("explain") <= 3840
    assert _lines("explain/methods", "explain/metrics") <= 2525
    assert [str(path) for path in PRODUCT if len(path.read_text(encoding="utf-8").splitlines()) > 400] == []


@pytest.mark.parametrize("path", [path for path in PRODUCT if path.name == "__init__.py"], ids=str)
def test_packages_only_hand_on(path: Path) -> None:
    """An `__init__.py` holds imports and `__all__`; `samples` also lists its pictures."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kept = [node for node in tree.body if not isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr))]
    if path.parent.name != "samples":
        assert {ast.unparse(node).split(" = ")[0] for node in kept} <= {"__all__"}
