"""Gradio imported quickly is gradio all the same."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

QUICK = """
import inspect
from ui.startup import import_gradio
before = inspect.getfile
import_gradio()
assert inspect.getfile is before
import gradio as gr
from gradio.component_meta import create_or_modify_pyi
with gr.Blocks() as demo:
    box = gr.Textbox(label="x")
    box.change(lambda x: x, box, box)
    box.update = None
print(sorted(event.event_name for event in gr.Textbox.EVENTS), len(demo.get_config_file()["components"]))
"""

REWRITTEN = """
import os
from ui.startup import import_gradio
import_gradio()
import numpy as np
from pathlib import Path
from gradio.image_utils import save_image
pixels = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
first = Path(save_image(pixels, os.getcwd(), "png"))
loading = first.open("rb")
begun = loading.read(100)
assert Path(save_image(pixels, os.getcwd(), "png")) == first
assert begun + loading.read() == first.read_bytes() and len(first.read_bytes()) > 10_000
assert first.stat().st_ino != os.fstat(loading.fileno()).st_ino
print(len(list(first.parent.iterdir())))
"""


def test_a_picture_that_is_being_loaded_is_not_written_over(tmp_path: Path) -> None:
    """The same picture is put beside it and takes its name."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", REWRITTEN], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert done.stdout == "1\n", done.stderr


def test_components_work_and_inspect_is_restored() -> None:
    plain = QUICK.replace("import_gradio()\n", "import gradio\n")
    outputs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
               for code in (QUICK, plain)]  # fmt: skip
    assert outputs[0] == outputs[1] != ""
    assert inspect.getfile(subprocess).endswith("subprocess.py")


def test_the_app_sets_the_environment_before_it_imports_what_reads_it() -> None:
    """Else NumPy has its threads already, gradio has asked the network, and stubs have been written."""
    body = ast.parse((Path(__file__).parents[2] / "app.py").read_text(encoding="utf-8")).body
    texts = [ast.unparse(statement) for statement in body]
    imported = [index for index, statement in enumerate(body) if isinstance(statement, (ast.Import, ast.ImportFrom))]
    variables = [index for index, text in enumerate(texts) if text.startswith("os.environ.setdefault")]
    assert [texts[index] for index in imported if index < variables[-1]] == [
        "from __future__ import annotations", "import os",
    ]  # fmt: skip
    start = texts.index("import_gradio()")
    assert [texts[index] for index in imported if variables[-1] < index < start] == [
        "from ui.startup import import_gradio"
    ]
    settings = " ".join(texts[index] for index in variables)
    assert "OPENBLAS_NUM_THREADS" in settings
    assert "GRADIO_ANALYTICS_ENABLED" in settings
    assert "MPLBACKEND" in settings
