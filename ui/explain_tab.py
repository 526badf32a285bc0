"""The Explain tab: a picture in; what the classifier sees in it, and where, out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np
from PIL import Image

from explain import METHODS, SMOOTH, Explanation, explain, stream, words
from explain.render import COLORMAPS, colours, overlay, sheet, two_sided
from models import DEFAULT, MODELS, UserError, load
from models.thumbnails import fetch_one, video_id
from samples import SAMPLES
from ui import screen
from ui.picture_input import picture_input
from ui.session import PREDICTED, PRIVATE, QUIET, SHARED, WORK, Runs, Session, classes, fetch, pairs, title, within

VIEW = 960  # what is shown
OPACITY = 0.6
CANVASES = {"224": None, "336": 336, "448": 448, "672": 672}  # None is the network's own
NOBODY = "no other"
EMPTY = "Prediction and heatmap appear here as soon as there is a picture."


@dataclass
class Shown:
    """What this tab shows a visitor: the file it came from, its pixels and its explanation."""

    runs: Runs = field(default_factory=Runs)
    path: str | None = None
    pixels: np.ndarray | None = None
    found: Explanation | None = None


def build(session: gr.State, tab: gr.Tab, tabs: gr.Tabs) -> Callable[[Any], None]:
    """Lay the tab out inside its context and bind its events.

    Returns what other tabs call on an event to open the session's picture here, explained.
    """
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            picture = picture_input(
                label="Picture",
                elem_id="picture",
                height=330,
                placeholder="Drop a picture here, paste it with Ctrl+V, or click to choose one",
            )
            gr.HTML("", elem_classes="camera-hint")
            corners, shows_screen = screen.build(session, picture)
            examples = gr.Examples(
                [[str(sample.path)] for sample in SAMPLES],
                inputs=[picture],
                examples_per_page=len(SAMPLES),
                label="or click one of these",
                elem_id="samples",
            )
            link = gr.Textbox(
                placeholder="or paste a link to a YouTube video and press Enter", show_label=False, container=False,
                elem_id="link",
            )  # fmt: skip
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
                model = gr.Dropdown(Session().choices(), value=DEFAULT, label="Model", elem_id="model", min_width=140)
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
                against = gr.Dropdown(
                    [NOBODY, *load(DEFAULT).labels], value=NOBODY, label="Rather than this class?", elem_id="against",
                    min_width=180,
                )  # fmt: skip
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
    ready = {"fn": prepare_downloads, "inputs": [session, colormap, opacity], "outputs": files, "queue": False, **QUIET}

    def explains(event: Any, fn: Callable, inputs: list[Any]) -> None:
        event(fn, inputs, outputs, **WORK).then(**ready)

    how = [model, method, options, canvas, smooth, against, colormap, opacity]
    arrived = [session, picture, *how]
    reset = {"fn": None, "js": f"() => {json.dumps([PREDICTED, NOBODY])}", "outputs": [target, against], **QUIET}
    picture.input(**reset)
    shows_screen(picture.input)
    explains(picture.input, run_new, arrived)
    examples.load_input_event.then(**reset)
    shows_screen(examples.load_input_event.then)
    explains(examples.load_input_event.then, run_new, arrived)
    linked = link.submit(fetch_thumbnail, [session, link], picture, **PRIVATE, show_progress="minimal")
    linked.success(**reset)
    shows_screen(linked.success)
    explains(linked.success, run_new, arrived)
    changed = [session, picture, target, *how]
    explains(partial(gr.on, [target.input, canvas.input, smooth.input, against.input, options.submit]), run, changed)
    both = {"inputs": [session, model, target, against], "outputs": [target, against], "queue": False, **QUIET}
    explains(model.input(contestants, **both).then, run, changed)
    explains(method.input(defaults, method, options, queue=False, **QUIET).then, run, changed)
    explains(bars.select(choose, outputs=target, queue=False, **QUIET).then, run, changed)
    explains(corners.change, run, changed)
    stop.click(halt, session, queue=False, **QUIET)
    gr.on([model.input, method.input], describe, [model, method], note, queue=False, **QUIET)
    colormap.input(colour_bar, colormap, legend, queue=False, **QUIET)
    gr.on([colormap.input, opacity.input], recolour, [session, colormap, opacity], slider, queue=False, **QUIET).then(
        **ready
    )
    _endpoints(picture, model, method, colormap, opacity)

    seen = {"inputs": [session, picture, model], "outputs": [model, picture, target, against], "queue": False, **QUIET}
    opened = tab.select(catch_up, **seen)
    shows_screen(opened.then)
    explains(opened.then, run_if_new, arrived)

    def opens(event: Any) -> None:
        """After this event: this tab, with the session's picture explained."""
        event(lambda: gr.Tabs(selected="explain"), outputs=tabs, queue=False, **QUIET)

    return opens


def _endpoints(picture: Any, model: Any, method: Any, colormap: Any, opacity: Any) -> None:
    """The public functions `predict` and `explain`, for gradio_client and plain HTTP."""
    target = gr.Textbox("", visible=False, label="target")
    probabilities = gr.Label(visible=False, label="probabilities")
    heatmap, facts = gr.Image(visible=False, format="png", label="overlay"), gr.JSON(visible=False, label="facts")
    gr.Button(visible=False).click(predict, [picture, model], probabilities, api_name="predict", **SHARED)
    gr.Button(visible=False).click(
        explain_once,
        [picture, model, method, target, colormap, opacity],
        [heatmap, facts],
        api_name="explain",
        **SHARED,
    )


def run(
    session: Session,
    path: str | None,
    target: str,
    model: str,
    method: str,
    options: str,
    canvas: str,
    smooth: str,
    against: str,
    colormap: str,
    opacity: float,
) -> Iterator[tuple[Any, ...]]:
    """Explain the picture, map after map; a later run of the same visitor, or Stop, ends it at its next map."""
    shown = session.of(Shown)
    session.path = path
    with shown.runs.turn() as superseded:
        if superseded():
            return
        try:
            if path is None:
                shown.path = shown.found = shown.pixels = None
                yield None, None, EMPTY, gr.Button(visible=False)
                return
            picture = screen.seen(session, path)
            asked = METHODS[method].parse(pairs(options))
            looks: dict[str, Any] = {"canvas": CANVASES[canvas], "smooth": smooth}
            looks["against"] = None if against == NOBODY else against
            if model in MODELS and not MODELS[model].embedded:
                words = f"Getting {title(model)} ready; the first time it is downloaded."
                yield gr.skip(), gr.skip(), words, gr.skip()
            wanted = None if target == PREDICTED else target
            for found in stream(picture, session.classifier(model), method, wanted, **looks, **asked):
                if superseded():
                    return
                if shown.runs.halted and shown.found is not None:
                    yield gr.skip(), gr.skip(), f"Stopped. {report(shown.found)}", gr.Button(visible=False)
                    return
                shown.path, shown.pixels, shown.found = path, picture.pixels, screen.recorded(found, picture)
                bars = {prediction.label: prediction.probability for prediction in found.top}
                yield bars, view(session, colormap, opacity), report(found), gr.Button(visible=found.progress < 1)
        except UserError as error:
            shown.found = None
            gr.Warning(str(error), title="")
            yield None, None, f"⚠️ {error}", gr.Button(visible=False)


def fetch_thumbnail(session: Session, link: str) -> str:
    """The file with the thumbnail of a video; the only thing on this page that asks the network for a picture."""
    try:
        picture = fetch_one(link)
    except UserError as error:
        raise gr.Error(str(error), title="", print_exception=False) from error
    path = session.file(f"{video_id(link)}.png")
    Image.fromarray(picture.pixels).save(path)
    return str(path)


def run_new(session: Session, path: str | None, *how: Any) -> Iterator[tuple[Any, ...]]:
    """Explain the predicted class of a picture that has just arrived."""
    yield from run(session, path, PREDICTED, *how)


def run_if_new(session: Session, path: str | None, *how: Any) -> Iterator[tuple[Any, ...]]:
    """Explain a picture that came from another tab; what is shown already stays."""
    if path == session.of(Shown).path:
        yield (gr.skip(),) * 4
    else:
        yield from run_new(session, path, *how)


def contestants(session: Session, model: str, target: str, against: str) -> tuple[Any, Any]:
    """The classes of a model to choose from, for both sides."""
    return classes(session, model, target), classes(session, model, against, NOBODY)


def defaults(method: str) -> str:
    """A method's options as they can be typed."""
    return " ".join(f"{name}={value}" for name, value in METHODS[method].options.items())


def catch_up(session: Session, path: str | None, model: str) -> tuple[Any, Any, Any, Any]:
    """When the tab is opened: the picture chosen in another tab meanwhile, and the visitor's own models."""
    models = gr.Dropdown(session.choices(), value=model)
    same = session.path == path
    return (models, gr.skip(), gr.skip(), gr.skip()) if same else (models, session.path, PREDICTED, NOBODY)


def view(session: Session, colormap: str, opacity: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Picture and overlay at the size they are shown."""
    shown = session.of(Shown)
    if shown.pixels is None or shown.found is None:
        return None
    pixels = within(shown.pixels, VIEW)
    found = shown.found
    heatmap = found.heatmap if found.signed is None else found.signed
    if heatmap.shape != pixels.shape[:2]:
        heatmap = cv2.resize(heatmap, pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    if found.signed is not None:
        return pixels, two_sided(pixels, heatmap, opacity)
    return pixels, overlay(pixels, heatmap, colormap, opacity)


def report(found: Explanation) -> str:
    """What was found, where, and what it took."""
    lines = [f"**{found.label}**, {found.probability:.1%}. {words.where(found.heatmap)}"]
    if found.against:
        other = f"**{found.against.label}**, {found.against.probability:.1%}"
        lines[0] = f"**{found.label}**, {found.probability:.1%} (orange), rather than {other} (blue)."
    method, model = METHODS[found.method].title, title(found.model)
    state = "" if found.progress == 1 else f"{found.progress:.0%} done, "
    error = "" if found.error is None else f", estimated error {found.error:.0%}"
    lines.append(f"{method} on {model}: {state}{words.cost(found)}{error}.")
    if found.padding_share >= 0.005:
        lines.append(f"{found.padding_share:.0%} of the heat lay on the padding around the picture and is left out.")
    return "\n\n".join([*lines[:1], " ".join([*lines[1:], *found.notes])])


def describe(model: str, method: str) -> str:
    """One line on what the chosen method is and costs, and one on the model."""
    chosen = METHODS[method]
    about = f"**{chosen.title}**: {chosen.summary} Cost: {chosen.cost}."
    if model not in MODELS:
        return f"{about}\n\n**{model}**: trained by you, for you only."
    facts = MODELS[model]
    source = "built in" if facts.embedded else "downloaded once, when first used"
    size = f"{facts.parameters / 1e6:.1f} million parameters, {facts.score}"
    return f"{about}\n\n**{facts.title}**: {size}, {source}."


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
    session.of(Shown).runs.halt()


def recolour(session: Session, colormap: str, opacity: float) -> Any:
    """The same map in other colours; no network runs."""
    return view(session, colormap, opacity)


def prepare_downloads(session: Session, colormap: str, opacity: float) -> list[Any]:
    """The files behind the download buttons: the picture with its legend, the raw map, and all parameters."""
    shown = session.of(Shown)
    if shown.found is None or shown.pixels is None or shown.path is None:
        return [gr.DownloadButton(value=None, interactive=False)] * 3
    found, name = shown.found, Path(shown.path).stem
    png, npy, facts = (session.file(f"{name}.{found.method}.{kind}") for kind in ("png", "npy", "json"))
    cv2.imwrite(str(png), sheet(shown.pixels, found, colormap, opacity)[..., ::-1])
    np.save(npy, found.raw)
    content = {**found.facts(), "picture": name, "colormap": colormap, "opacity": opacity}
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
