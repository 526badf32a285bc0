"""Gradio imported quickly is gradio all the same."""

from __future__ import annotations

import inspect
import subprocess
import sys

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


def test_components_work_and_inspect_is_restored() -> None:
    plain = QUICK.replace("import_gradio()\n", "import gradio\n")
    outputs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
               for code in (QUICK, plain)]  # fmt: skip
    assert outputs[0] == outputs[1] != ""
    assert inspect.getfile(subprocess).endswith("subprocess.py")
