"""Thumbscope's page: settings, theme, tabs, launch. `python app.py` serves it on http://127.0.0.1:7860."""

from __future__ import annotations

import os

# Before NumPy is imported, which reads it then: several threads for its small products spin on into a network's next pass.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Before gradio is.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from ui.startup import import_gradio

import_gradio()

import gradio as gr
from starlette.middleware import Middleware

from models.engine import keep_freed_memory
from ui import audit_tab, compare_tab, dream_tab, explain_tab, live_tab, stress_tab, train_tab, warm
from ui.guard import Guard
from ui.picture_input import PAGE_JS
from ui.session import Session
from ui.theme import CSS, THEME

keep_freed_memory()
with gr.Blocks(title="Thumbscope", analytics_enabled=False, fill_width=True, delete_cache=(600, 3600)) as demo:
    gr.Markdown(
        "# Thumbscope\nGive it a picture: see what a classifier sees in it, and what it looks at.", elem_id="title"
    )
    session = gr.State(Session(), time_to_live=3600, delete_callback=Session.close)
    with gr.Tabs(elem_id="tabs") as tabs:
        with gr.Tab("Explain", id="explain") as tab:
            open_in_explain = explain_tab.build(session, tab, tabs)
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
        with gr.Tab("Dream", id="dream") as tab:
            dream_tab.build(session, tab)

demo.queue(max_size=24, default_concurrency_limit=4)

if __name__ == "__main__":
    demo.launch(
        theme=THEME,
        css=CSS,
        js=PAGE_JS,
        ssr_mode=False,
        max_file_size="30mb",
        max_threads=16,
        state_session_capacity=100,
        show_error=False,
        run_history=False,
        enable_monitoring=False,
        pwa=False,
        footer_links=["api"],
        prevent_thread_lock=True,
        app_kwargs={"docs_url": None, "redoc_url": None, "middleware": [Middleware(Guard)]},
    )
    warm.start()
    demo.block_thread()
