"""The layout of the Explain tab: a bar with the picture, the viewer with its proof, and the choices beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from explain import METHODS, SMOOTH
from models import DEFAULT
from ui import controls, opener, screen
from ui.explain_links import NO_CLASS, ORDER
from ui.explain_texts import default_options, describe_choice
from ui.viewer import class_list, viewer

CANVASES = {"224": None, "336": 336, "448": 448, "672": 672}  # None: the canvas of the network
FIRST_METHOD = next(iter(METHODS))
FAMOUS = {"grad-cam": "Grad-CAM", "saliency": "Saliency", "occlusion": "Perturbation"}  # what most visitors come for
EMPTY = "Choose a picture. Its prediction and its heatmap appear here."


@dataclass(frozen=True)
class Source:
    """Where the picture comes from."""

    picture: Any
    examples: gr.Examples
    link: gr.Textbox


@dataclass(frozen=True)
class Result:
    """The map, a line about it, and its proof. `corners` changes when the visitor moves a corner of the screen."""

    view: gr.HTML
    status: gr.Markdown
    stop: gr.Button
    proof: gr.HTML
    corners: gr.State
    show_screen: Callable[[Any], None]


@dataclass(frozen=True)
class Choices:
    """What the visitor chooses: model, method, classes and options."""

    model: gr.Dropdown
    famous: gr.Radio
    method: gr.Dropdown
    bars: gr.HTML
    target: gr.Dropdown
    note: gr.Markdown
    canvas: gr.Dropdown
    smooth: gr.Dropdown
    against: gr.Dropdown
    options: gr.Textbox
    own: opener.Opener

    @property
    def linked(self) -> list[Any]:
        """The components that a link of the page fills."""
        return [self.model, self.famous, self.method, self.options, self.target, self.against]

    @property
    def inputs(self) -> list[Any]:
        """The components whose values are `Settings` of the tab, in that order."""
        return [self.model, self.method, self.options, self.canvas, self.smooth, self.against]


def lay_out_source() -> Source:
    """The compact bar: the picture, the samples and the link."""
    with gr.Row(elem_id="input-bar"):
        picture = controls.picture_box("picture", height=96, min_width=132, scale=0, show_label=False)
        with gr.Column(min_width=200, elem_id="input-more"):
            examples = gr.Examples(
                [[str(sample.path)] for sample in ORDER], inputs=[picture], examples_per_page=len(ORDER),
                label="Samples", elem_id="samples",
            )  # fmt: skip
            link = gr.Textbox(
                placeholder="or paste a YouTube link and press Enter", show_label=False, container=False, elem_id="link"
            )
    gr.HTML("", elem_classes="camera-hint")
    return Source(picture, examples, link)


def lay_out_result(session: gr.State, picture: Any) -> Result:
    """The viewer, the status, the proof, and the corners of a screen in `picture`."""
    view = viewer("viewer")
    with gr.Row(elem_id="report"):
        status = gr.Markdown(EMPTY, elem_id="status")
        stop = controls.stop_button("stop", size="sm", scale=0)
    proof = gr.HTML("", elem_id="proof", apply_default_css=False)
    return Result(view, status, stop, proof, *screen.build(session, picture))


def lay_out_settings() -> Choices:
    """The method, the model, the list of classes, and the rest."""
    with gr.Row(elem_id="choice"):
        famous = gr.Radio(
            [(title, name) for name, title in FAMOUS.items()], value=FIRST_METHOD, show_label=False, container=False,
            label="Method", elem_id="famous", min_width=280,
        )  # fmt: skip
        method = controls.method_dropdown("method", label="All methods", min_width=150)
        model = controls.model_dropdown("model", min_width=150)
    note = gr.Markdown(describe_choice(DEFAULT, FIRST_METHOD), elem_classes="method-note", elem_id="note")
    bars = class_list("bars")
    target = controls.class_dropdown("target", label="Target class: click one above, or type any")
    with gr.Accordion("More: contrast class, canvas, smoothing, options", open=False, elem_id="more"), gr.Row():
        against = controls.class_dropdown("against", NO_CLASS, label="Compare with class")
        canvas = gr.Dropdown(list(CANVASES), value="224", label="Canvas (input size)", elem_id="canvas", min_width=130)
        smooth = gr.Dropdown(["", *SMOOTH], value="", label="Smoothing", elem_id="smooth", min_width=130)
        options = gr.Textbox(
            default_options(FIRST_METHOD), label="Options", info="name=value, then press Enter", elem_id="options",
            min_width=220,
        )  # fmt: skip
    own = opener.lay_out()
    return Choices(model, famous, method, bars, target, note, canvas, smooth, against, options, own)
