"""The Explain tab: a picture in; what the classifier sees in it, and where, out."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np

from explain import METHODS, SMOOTH, Explanation, explain, stream, words
from explain.render import COLORMAPS, colours, overlay, sheet
from models import DEFAULT, MODELS, UserError, load
from models.picture import Picture, read, resize
from samples import SAMPLES
from ui.picture_input import picture_input

PREDICTED = "the predicted class"
SIDE = 1280  # larger pictures are scaled down to this: no network sees more, and the page stays quick
VIEW = 960  # what is shown
WORK = "model"  # the one concurrency id of everything that runs a network
OPACITY = 0.6
CANVASES = {"224": None, "336": 336, "448": 448, "672": 672}  # None is the network's own
EMPTY = "Prediction and heatmap appear here as soon as there is a picture."


class Session:
    """What one visitor is looking at.

    `run` counts the runs begun: a run that is no longer the last one ends itself. `halted`: Stop was pressed. `turn` is held
    by a run until it has said its last word, so that nothing of it arrives after the next one's.
    """

    def __init__(self) -> None:
        self.run = 0
        self.halted = False
        self.turn = threading.Lock()
        self.pixels: np.ndarray | None = None
        self.found: Explanation | None = None
        self.name = "picture"
        self.folder = ""

    def __deepcopy__(self, memo: dict[int, Any]) -> Session:
        """A new visitor's: Gradio copies the first state for each."""
        return Session()

    def close(self) -> None:
        """Delete the files made for downloads."""
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def build() -> None:
    """Lay the tab out inside a Blocks context and bind its events."""
    session = gr.State(Session(), time_to_live=3600, delete_callback=Session.close)
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            picture = picture_input(
                label="Picture",
                elem_id="picture",
                height=330,
                placeholder="Drop a picture here, paste it with Ctrl+V, or click to choose one",
            )
            examples = gr.Examples(
                [[str(sample.path)] for sample in SAMPLES],
                inputs=[picture],
                examples_per_page=len(SAMPLES),
                label="or click one of these",
                elem_id="samples",
            )
            bars = gr.Label(
                label="Prediction. Click a class: why?", num_top_classes=5, show_heading=False, elem_id="bars"
            )
        with gr.Column(scale=6, min_width=320):
            slider = gr.ImageSlider(
                label="Drag to compare",
                elem_id="overlay",
                format="jpeg",
                slider_position=35,
                max_height=470,
                buttons=["fullscreen"],
            )
            legend = gr.HTML(colour_bar(COLORMAPS[0]), elem_id="legend")
            with gr.Row(elem_id="report"):
                status = gr.Markdown(EMPTY, elem_id="status")
                stop = gr.Button(
                    "Stop", variant="stop", size="sm", visible=False, scale=0, min_width=90, elem_id="stop"
                )
            with gr.Row():
                model = gr.Dropdown(
                    [(facts.title, name) for name, facts in MODELS.items()], value=DEFAULT, label="Model", elem_id="model",
                    min_width=140,
                )  # fmt: skip
                method = gr.Dropdown(
                    [(facts.title, name) for name, facts in METHODS.items()], value=next(iter(METHODS)), label="Method",
                    elem_id="method", min_width=140,
                )  # fmt: skip
                target = gr.Dropdown(
                    [PREDICTED, *load(DEFAULT).labels], value=PREDICTED, label="Why this class?", elem_id="target",
                    min_width=180,
                )  # fmt: skip
            note = gr.Markdown(describe(DEFAULT, next(iter(METHODS))), elem_classes="method-note", elem_id="note")
            with gr.Accordion("More: finer maps, options of the method", open=False, elem_id="more"), gr.Row():
                canvas = gr.Dropdown(
                    list(CANVASES), value=next(iter(CANVASES)), label="Canvas", elem_id="canvas", min_width=130
                )
                smooth = gr.Dropdown(["", *SMOOTH], value="", label="Smoothing", elem_id="smooth", min_width=130)
                options = gr.Textbox(
                    defaults(next(iter(METHODS))), label="Options", info="name=value; Enter explains again",
                    elem_id="options", min_width=220,
                )  # fmt: skip
            with gr.Row():
                colormap = gr.Dropdown(
                    list(COLORMAPS), value=COLORMAPS[0], label="Colours", elem_id="colormap", min_width=120
                )
                opacity = gr.Slider(0, 1, OPACITY, step=0.05, label="Opacity", elem_id="opacity", min_width=160)
            with gr.Row(elem_id="downloads"):
                files = [
                    gr.DownloadButton(what, size="sm", interactive=False, elem_id=f"download-{kind}", min_width=90)
                    for kind, what in (("png", "Picture (PNG)"), ("npy", "Raw map (NPY)"), ("json", "Facts (JSON)"))
                ]

    outputs = [bars, slider, status, stop]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    work = {**quiet, "concurrency_id": WORK, "concurrency_limit": 2, "trigger_mode": "multiple"}

    ready = {"fn": prepare_downloads, "inputs": [session, colormap, opacity], "outputs": files, "queue": False, **quiet}

    def explains(event: Any, fn: Callable, inputs: list[Any]) -> None:
        event(fn, inputs, outputs, **work).then(**ready)

    how = [model, method, options, canvas, smooth, colormap, opacity]
    arrived = [session, picture, *how]
    reset = {"fn": None, "js": f"() => {json.dumps(PREDICTED)}", "outputs": target, **quiet}
    picture.input(**reset)
    explains(picture.input, run_new, arrived)
    examples.load_input_event.then(**reset)
    explains(examples.load_input_event.then, run_new, arrived)
    changed = [session, picture, target, *how]
    explains(partial(gr.on, [model.input, target.input, canvas.input, smooth.input, options.submit]), run, changed)
    explains(method.input(defaults, method, options, queue=False, **quiet).then, run, changed)
    explains(bars.select(choose, outputs=target, queue=False, **quiet).then, run, changed)
    stop.click(halt, session, queue=False, **quiet)
    gr.on([model.input, method.input], describe, [model, method], note, queue=False, **quiet)
    colormap.input(colour_bar, colormap, legend, queue=False, **quiet)
    gr.on([colormap.input, opacity.input], recolour, [session, colormap, opacity], slider, queue=False, **quiet).then(
        **ready
    )
    _endpoints(picture, model, method, colormap, opacity)


def _endpoints(picture: Any, model: Any, method: Any, colormap: Any, opacity: Any) -> None:
    """The public functions `predict` and `explain`, for gradio_client and plain HTTP."""
    target = gr.Textbox("", visible=False, label="target")
    probabilities = gr.Label(visible=False, label="probabilities")
    heatmap, facts = gr.Image(visible=False, format="png", label="overlay"), gr.JSON(visible=False, label="facts")
    shared = {"concurrency_id": WORK, "concurrency_limit": 2}
    gr.Button(visible=False).click(predict, [picture, model], probabilities, api_name="predict", **shared)
    gr.Button(visible=False).click(
        explain_once,
        [picture, model, method, target, colormap, opacity],
        [heatmap, facts],
        api_name="explain",
        **shared,
    )


def fetch(path: str | None) -> Picture:
    """The picture behind a path, at most SIDE pixels on its longer side. Raises UserError when there is none."""
    if path is None:
        raise UserError("There is no picture yet; upload, paste or photograph one.")
    picture = read(path)
    return Picture(_within(picture.pixels, SIDE), picture.notes)


def _within(pixels: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    return resize(pixels, (max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale))))


def run(
    session: Session,
    path: str | None,
    target: str,
    model: str,
    method: str,
    options: str,
    canvas: str,
    smooth: str,
    colormap: str,
    opacity: float,
) -> Iterator[tuple[Any, ...]]:
    """Explain the picture, map after map; a later run of the same visitor, or Stop, ends it at its next map."""
    session.run += 1
    session.halted = False
    mine = session.run
    with session.turn:
        try:
            if path is None:
                session.found = session.pixels = None
                yield None, None, EMPTY, gr.Button(visible=False)
                return
            picture = fetch(path)
            asked = METHODS[method].parse(pairs(options))
            looks: dict[str, Any] = {"canvas": CANVASES[canvas], "smooth": smooth}
            if not MODELS[model].embedded:
                yield (
                    gr.skip(),
                    gr.skip(),
                    f"Getting {MODELS[model].title} ready; the first time it is downloaded.",
                    gr.skip(),
                )
            for found in stream(
                picture, load(model), method, None if target == PREDICTED else target, **looks, **asked
            ):
                if session.run != mine:
                    return
                if session.halted and session.found is not None:
                    yield gr.skip(), gr.skip(), f"Stopped. {report(session.found)}", gr.Button(visible=False)
                    return
                session.pixels, session.found, session.name = picture.pixels, found, Path(path).stem
                bars = {prediction.label: prediction.probability for prediction in found.top}
                yield bars, view(session, colormap, opacity), report(found), gr.Button(visible=found.progress < 1)
        except UserError as error:
            session.found = None
            gr.Warning(str(error), title="")
            yield None, None, f"⚠️ {error}", gr.Button(visible=False)


def run_new(session: Session, path: str | None, *how: Any) -> Iterator[tuple[Any, ...]]:
    """Explain the predicted class of a picture that has just arrived."""
    yield from run(session, path, PREDICTED, *how)


def defaults(method: str) -> str:
    """A method's options as they can be typed."""
    return " ".join(f"{name}={value}" for name, value in METHODS[method].options.items())


def pairs(text: str) -> dict[str, str]:
    """What was typed as options, "name=value name=value". Raises UserError for anything else."""
    words = text.split()
    if not all("=" in word for word in words):
        raise UserError("Options are name=value, separated by spaces, such as samples=500 cells=8.")
    return dict(word.split("=", 1) for word in words)


def view(session: Session, colormap: str, opacity: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Picture and overlay at the size they are shown."""
    if session.pixels is None or session.found is None:
        return None
    pixels = _within(session.pixels, VIEW)
    heatmap = session.found.heatmap
    if heatmap.shape != pixels.shape[:2]:
        heatmap = cv2.resize(heatmap, pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    return pixels, overlay(pixels, heatmap, colormap, opacity)


def report(found: Explanation) -> str:
    """What was found, where, and what it took."""
    lines = [f"**{found.label}**, {found.probability:.1%}. {words.where(found.heatmap)}"]
    method, model = METHODS[found.method].title, MODELS[found.model].title
    state = "" if found.progress == 1 else f"{found.progress:.0%} done, "
    error = "" if found.error is None else f", estimated error {found.error:.0%}"
    lines.append(f"{method} on {model}: {state}{words.cost(found)}{error}.")
    if found.padding_share >= 0.005:
        lines.append(f"{found.padding_share:.0%} of the heat lay on the padding around the picture and is left out.")
    return "\n\n".join([*lines[:1], " ".join([*lines[1:], *found.notes])])


def describe(model: str, method: str) -> str:
    """One line on what the chosen method is and costs, and one on the model."""
    chosen, facts = METHODS[method], MODELS[model]
    source = "built in" if facts.embedded else "downloaded once, when first used"
    return (
        f"**{chosen.title}**: {chosen.summary} Cost: {chosen.cost}.\n\n"
        f"**{facts.title}**: {facts.parameters / 1e6:.1f} million parameters, {facts.top1:.1f} % top-1 on ImageNet, {source}."
    )


def colour_bar(colormap: str) -> str:
    """The colour scale of the overlay, as HTML."""
    stops = ", ".join(f"rgb{tuple(map(int, colour))}" for colour in colours(np.linspace(0, 1, 17)[None], colormap)[0])
    ramp = f'<span class="ramp" style="background: linear-gradient(to right, {stops})"></span>'
    return f'<div class="legend">no evidence {ramp} most evidence</div>'


def choose(event: gr.SelectData) -> str:
    """The class of the bar that was clicked."""
    return str(event.value)


def halt(session: Session) -> None:
    """Have the run end at its next map; what is on screen stays, and the run says so."""
    session.halted = True


def recolour(session: Session, colormap: str, opacity: float) -> Any:
    """The same map in other colours; no network runs."""
    return view(session, colormap, opacity)


def prepare_downloads(session: Session, colormap: str, opacity: float) -> list[Any]:
    """The files behind the download buttons: the picture with its legend, the raw map, and all parameters."""
    found, pixels = session.found, session.pixels
    if found is None or pixels is None:
        return [gr.DownloadButton(value=None, interactive=False)] * 3
    if not session.folder:
        session.folder = tempfile.mkdtemp(prefix="thumbscope-")
    stem = Path(session.folder) / f"{session.name}.{found.method}"
    png, npy, facts = (stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "npy", "json"))
    cv2.imwrite(str(png), sheet(pixels, found, colormap, opacity)[..., ::-1])
    np.save(npy, found.raw)
    content = {**found.facts(), "picture": session.name, "colormap": colormap, "opacity": opacity}
    facts.write_text(json.dumps(content, indent=2), encoding="utf-8")
    return [gr.DownloadButton(value=str(path), interactive=True) for path in (png, npy, facts)]


def predict(image: str, model: str = DEFAULT) -> dict[str, float]:
    """The five most probable classes of a picture, with their probabilities."""
    try:
        return {p.label: p.probability for p in load(model).predict(fetch(image).pixels)}
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error


def explain_once(
    image: str,
    model: str = DEFAULT,
    method: str = "grad-cam",
    target: str = "",
    colormap: str = COLORMAPS[0],
    opacity: float = OPACITY,
) -> tuple[np.ndarray, dict[str, Any]]:
    """The overlay of an explanation, and its facts: target, top five, seconds, passes, parameters.

    `target` is a class by name, in any case; empty for the one predicted.
    """
    try:
        picture = fetch(image)
        found = explain(picture, load(model), method, target or None)
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error
    return overlay(picture.pixels, found.heatmap, colormap, opacity), found.facts()
