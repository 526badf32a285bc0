"""The page of Thumbscope: settings, tabs, launch. `python app.py` serves it on http://127.0.0.1:7860."""

from __future__ import annotations

import os

# NumPy reads this when it is imported. With several threads, its small products still occupy the cores of the next pass.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Gradio reads these when it is imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Gradio asks Matplotlib for its backend at the first event. Where none is set, that imports pyplot and blocks the server.
os.environ.setdefault("MPLBACKEND", "agg")

from ui.startup import import_gradio

import_gradio()  # before all modules that import gradio

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from core.cli import Parser, run_command
from core.errors import UserError
from core.resources import keep_freed_memory
from ui import (
    audit_tab,
    compare_tab,
    explain_tab,
    explainers,
    hosting,
    live_tab,
    ray_explainers,
    stress_tab,
    train_tab,
    visualise_tab,
    warm,
)
from ui.connections import use_patient_connections
from ui.guard import Guard
from ui.monitor import Monitor
from ui.page import Page
from ui.page_cache import PageCache
from ui.picture_input import PAGE_JS
from ui.session import Session
from ui.startup import use_light_sessions
from ui.theme import CSS, MARK, THEME, render_header
from ui.viewer import HEAD, VIEWER_CSS
from ui.visitors import Visitors


def _parser() -> Parser:
    parser = Parser(
        "app",
        "Serve the page of Thumbscope on http://127.0.0.1:7860.",
        (
            ("", "explanations in this process"),
            ("--model my.keras --labels labels.txt", "with your own model in the list of models"),
            ("--explainers ray --replicas 2 8 --metrics", "in replicas on Ray"),
        ),
        command="python app.py",
    )
    parser.add_argument(
        "--explainers", choices=("local", "ray"), default="local",
        help="where explanations are computed: in this process (default), or in replicas on Ray",
    )  # fmt: skip
    parser.add_argument(
        "--ray-address", default="local", metavar="ADDRESS", help="of a Ray cluster; by default Ray starts here"
    )
    parser.add_argument(
        "--replicas", type=int, nargs=2, default=(1, 2), metavar=("MIN", "MAX"), help="on Ray, by default 1 2"
    )
    hosting.add_options(parser)
    parser.add_argument("--metrics", action="store_true", help="answer /metrics for Prometheus; do not make it public")
    return parser


keep_freed_memory()
use_light_sessions(Visitors)
use_patient_connections()
if __name__ == "__main__":  # before the page is built, because its lists of models show the model of --model
    hosting.prepare(_parser, sys.argv[1:])
with Page(title="Thumbscope", analytics_enabled=False, fill_width=True) as demo:
    gr.HTML(render_header(), elem_id="title", apply_default_css=False)
    session = gr.State(Session(), delete_callback=Session.close)
    with gr.Tabs(elem_id="tabs") as tabs:
        with gr.Tab("Explain", id="explain") as tab:
            open_in_explain = explain_tab.build(session, tab, tabs, demo)
        with gr.Tab("Compare", id="compare") as tab:
            compare_tab.build(session, tab)
        with gr.Tab("Live", id="live") as tab:
            live_tab.build(session, tab, tabs, open_in_explain)
        with gr.Tab("Train", id="train"):
            train_tab.build(session, tabs)
        with gr.Tab("Audit", id="audit") as tab:
            audit_tab.build(session, tab, open_in_explain)
        with gr.Tab("Stress", id="stress") as tab:
            stress_tab.build(session, tab)
        with gr.Tab("Visualise", id="visualise") as tab:
            visualise_tab.build(session, tab)

demo.queue(api_open=False, default_concurrency_limit=4)

SETTINGS = {  # of the server; the tests start it with the same
    "theme": THEME,
    "css": CSS + VIEWER_CSS,
    "head": HEAD,
    "js": PAGE_JS,
    "favicon_path": str(MARK),
    "ssr_mode": False,
    "max_file_size": "30mb",
    "max_threads": 16,
    "state_session_capacity": 1000,
    "show_error": False,
    "run_history": False,
    "enable_monitoring": False,
    "pwa": False,
    "footer_links": ["api"],
    "prevent_thread_lock": True,
    "app_kwargs": {
        "docs_url": None,
        "redoc_url": None,
        "middleware": [Middleware(Monitor), Middleware(Guard), Middleware(PageCache)],
    },
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C or SIGTERM. Returns the exit status, see `core.cli.run_command`."""
    return run_command("app", lambda: _serve(_parser().parse_args(arguments)))


def _serve(options: argparse.Namespace) -> int:
    if options.explainers == "ray":
        smallest, largest = options.replicas
        if not 1 <= smallest <= largest:
            raise UserError(
                "--replicas takes two numbers, such as 1 4: at least 1, and the second not below the first."
            )
        explainers.use(ray_explainers.connect(options.ray_address, (smallest, largest)))
    try:
        demo.launch(**with_metrics(SETTINGS) if options.metrics else SETTINGS)
        warm.start_warm_up()
        demo.block_thread()
    finally:
        if options.explainers == "ray":
            explainers.use(explainers.LocalExplainers())
            ray_explainers.disconnect()
    return 0


def with_metrics(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of the server that also answers /metrics."""
    middleware = [Middleware(Monitor, metrics=True), *settings["app_kwargs"]["middleware"][1:]]
    return {**settings, "app_kwargs": {**settings["app_kwargs"], "middleware": middleware}}


if __name__ == "__main__":
    sys.exit(main())
