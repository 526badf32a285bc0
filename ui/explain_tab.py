"""The Explain tab: give a picture, see what the classifier predicts, where the evidence is, and whether the map is true."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from core.errors import UserError
from core.files import encode_npy, encode_png, write_atomically
from core.stopping import Stopped
from explain import METHODS, ExplainSettings
from explain.metrics.quick_trust import quick_trust
from explain.render import sheet
from models import MODELS
from models.capabilities import lacks
from training.youtube import read_thumbnail, video_id
from ui import controls, explainers, opener, screen
from ui.budget import check_passes
from ui.class_maps import class_maps, gives_all_classes
from ui.endpoints import add_endpoints
from ui.explain_layout import (
    CANVASES,
    EMPTY,
    FAMOUS,
    Choices,
    Result,
    Source,
    lay_out_result,
    lay_out_settings,
    lay_out_source,
)
from ui.explain_links import COPY_JS, NO_CLASS, Link
from ui.explain_state import ExplainState, keep_map, render_classes, render_view
from ui.explain_texts import default_options, describe_choice, describe_explanation
from ui.proof import PENDING, render_proof
from ui.runs import CHECK_RUN, INSTANT, NO_PROGRESS, NOT_IN_API, SHORT_RUN, stoppable
from ui.session import Session
from ui.viewer import encode_small_map

FAMOUS_JS = f"(method) => {json.dumps(list(FAMOUS))}.includes(method) ? method : null"
SKIP = (gr.skip(),) * 5  # for the outputs of a run: they stay as they are


@dataclass(frozen=True)
class Settings:
    """The values of the settings, as Gradio hands them over; in the order of `explain_layout.Choices.inputs`."""

    model: str
    method: str
    options: str
    canvas: str
    smooth: str
    against: str


def build(session: gr.State, tab: gr.Tab, tabs: gr.Tabs, page: gr.Blocks) -> Callable[[Any], None]:
    """Lay out the tab inside its context and bind its events.

    Args:
        session: the visitor's Session.
        tab: this tab.
        tabs: all tabs.
        page: the page, whose load shows the worked example.

    Returns:
        A function for other tabs. It takes the listener of an event, such as `button.click`. That event then opens this
        tab, which explains the session's picture.
    """
    source = lay_out_source()
    with gr.Row(elem_id="explain-row"):
        with gr.Column(scale=7, min_width=320):
            result = lay_out_result(session, source.picture)
        with gr.Column(scale=5, min_width=320):
            settings = lay_out_settings()
            with gr.Row(elem_id="downloads"):
                labels = {"png": "Picture (PNG)", "npy": "Raw map (NPY)", "json": "Data (JSON)"}
                files = controls.ClickedDownloads("download", labels)
                copy = gr.Button("Copy link", size="sm", min_width=90, elem_id="copy-link")
    copied = [settings.model, settings.method, settings.target, settings.against]
    copy.click(None, copied, None, js=COPY_JS, **NO_PROGRESS)
    _bind_events(session, tab, page, source, result, settings, files)
    add_endpoints(source.picture, settings.model, settings.method)

    def open_tab(event: Any) -> None:
        event(lambda: gr.Tabs(selected="explain"), outputs=tabs, **INSTANT)

    return open_tab


def _bind_events(
    session: gr.State, tab: gr.Tab, page: gr.Blocks, source: Source, result: Result, settings: Choices,
    files: controls.ClickedDownloads,
) -> None:  # fmt: skip
    outputs = [settings.bars, result.view, result.status, result.stop, result.proof]
    files.bind(write_download, [session])

    def explain_on(event: Any, fn: Callable, inputs: list[Any], more: tuple[Any, ...] = ()) -> None:
        explained = event(fn, inputs, [*outputs, *more], **SHORT_RUN)
        files.enable_after(explained.then, result.view)
        explained.then(prove, session, result.proof, **CHECK_RUN)

    explain_on(page.load, open_page, [session], (*settings.linked, settings.note))

    new = [session, source.picture, *settings.inputs]
    no_classes = json.dumps([controls.PREDICTED, NO_CLASS])
    reset = {"fn": None, "js": f"() => {no_classes}", "outputs": [settings.target, settings.against], **NO_PROGRESS}
    fetched = source.link.submit(
        fetch_thumbnail, [session, source.link], source.picture, **NOT_IN_API, show_progress="minimal"
    )
    for event in (source.picture.input, source.examples.load_input_event.then, fetched.success):
        event(**reset)
        result.show_screen(event)
        explain_on(event, explain_new, new)

    changed = [session, source.picture, settings.target, *settings.inputs]
    simple = [settings.target, settings.canvas, settings.smooth, settings.against]
    explain_on(partial(gr.on, [*[box.input for box in simple], settings.options.submit]), explain_picture, changed)
    classes = [settings.target, settings.against]
    for chosen_model in (settings.model.input, opener.bind(session, settings.own, settings.model).then):
        filled = chosen_model(update_both_classes, [session, settings.model, *classes], classes, **INSTANT)
        methods = filled.then(
            update_methods, [session, settings.model, settings.method], [settings.method, settings.famous], **INSTANT
        )
        texts = methods.then(
            update_texts, [settings.model, settings.method, settings.options], [settings.options, settings.note], **INSTANT
        )  # fmt: skip
        explain_on(texts.then, explain_picture, changed)
    pressed = settings.famous.input(None, settings.famous, settings.method, js="(method) => method", **NO_PROGRESS)
    listed = settings.method.input(None, settings.method, settings.famous, js=FAMOUS_JS, **NO_PROGRESS)
    for event in (pressed, listed):
        texts = event.then(
            start_method, [settings.model, settings.method], [settings.options, settings.note], **INSTANT
        )
        explain_on(texts.then, explain_picture, changed)
    clicked = settings.bars.select(choose_class, [settings.against], classes, **INSTANT)
    explain_on(clicked.then, explain_picture, changed)
    explain_on(result.corners.change, explain_picture, changed)
    controls.bind_stop(result.stop, session, ExplainState)

    updated = [settings.model, source.picture, *classes]
    opened = tab.select(update_explain_tab, [session, source.picture, settings.model], updated, **INSTANT)
    result.show_screen(opened.then)
    explain_on(opened.then, explain_if_new, new)


# --- Handlers ----------------------------------------------------------------


def explain_picture(session: Session, path: str | None, target: str, *values: Any) -> Iterator[tuple[Any, ...]]:
    """Explain the picture, map after map. A later run of this visitor, or Stop, ends this one at its next map.

    Args:
        session: the visitor.
        path: file of the picture; None explains the example, or without one clears the tab.
        target: label of the target class, or controls.PREDICTED.
        *values: the fields of Settings.

    Yields:
        Values of the classes, the viewer, the status line, the Stop button and the proof.
    """
    state, settings = session.state(ExplainState), Settings(*values)
    path = path or state.example
    session.path = path
    hide_stop = gr.Button(visible=False)
    asked = (path, session.models.get(settings.model), target, *values)
    if asked == state.answered and screen.is_prepared(session, path, state.pixels):
        yield SKIP  # Gradio's menus ask again when they are closed
        return
    with state.runs.turn() as superseded:
        if superseded():
            yield SKIP  # here and below: Gradio empties the outputs of a run without any result
            return
        state.answered = ()
        if path is None:
            state.clear()
            yield None, None, EMPTY, hide_stop, ""
            return
        try:
            picture = screen.picture_so_far(session, path)
            texts, defaults = controls.parse_options(settings.options), default_options(settings.method).split()
            changed = {name: text for name, text in texts.items() if f"{name}={text}" not in defaults}
            options = METHODS[settings.method].parse(changed)  # those left as they are may follow the picture
            check_passes(settings.method, options, CANVASES[settings.canvas])
            if settings.model in MODELS and not MODELS[settings.model].embedded:
                status = f"Loading {controls.model_title(settings.model)}. It is downloaded the first time."
                yield gr.skip(), gr.skip(), status, gr.skip(), gr.skip()
            classifier = session.classifier(settings.model)
            chosen = ExplainSettings(
                settings.method, None if target == controls.PREDICTED else target,
                None if settings.against == NO_CLASS else settings.against, CANVASES[settings.canvas], settings.smooth, options,
            )  # fmt: skip
            explanations = explainers.stream(chosen, picture, classifier, superseded)
            for explanation in explanations:
                if superseded():
                    yield SKIP
                    return
                if state.runs.stop_requested and state.explanation is not None:
                    state.unchecked = state.unchecked and state.runs.started
                    status = f"Stopped. {describe_explanation(state.explanation)}"
                    yield gr.skip(), gr.skip(), status, hide_stop, gr.skip()
                    return
                state.path, state.pixels, state.classifier = path, picture.pixels, classifier
                state.explanation, state.unchecked = screen.add_provenance(explanation, picture), state.runs.started
                keep_map(state, (settings.model, settings.method, options, settings.canvas, settings.smooth))
                stop_button = gr.Button(visible=explanation.progress < 1)
                yield render_classes(state), render_view(state), describe_explanation(explanation), stop_button, PENDING
            if gives_all_classes(explanation):  # after the map is on the screen
                maps = class_maps(explanation, classifier, picture.pixels)
                state.maps |= {label: encode_small_map(heat) for label, heat in maps.items()}
                yield render_classes(state), gr.skip(), gr.skip(), gr.skip(), gr.skip()
            if not superseded():
                state.answered = asked
        except Stopped as stop:
            if not superseded():
                state.unchecked = state.unchecked and state.runs.started
            stopped = (gr.skip(), gr.skip(), f"{stop} Use fewer samples.", hide_stop, gr.skip())
            yield SKIP if superseded() else stopped
        except UserError as error:
            state.clear()
            yield None, None, controls.warn(error), hide_stop, ""


def explain_new(session: Session, path: str | None, *values: Any) -> Iterator[tuple[Any, ...]]:
    """Explain the predicted class of a picture that has just arrived. `values`: the fields of Settings."""
    session.state(ExplainState).example = None
    yield from explain_picture(session, path, controls.PREDICTED, *values)


def explain_if_new(session: Session, path: str | None, *values: Any) -> Iterator[tuple[Any, ...]]:
    """Explain a picture that comes from another tab. What is already explained here stays as it is, also the example."""
    state = session.state(ExplainState)
    if path == state.path or (path is None and state.example is not None):
        yield SKIP
    else:
        yield from explain_new(session, path, *values)


def open_page(session: Session, request: gr.Request) -> Iterator[tuple[Any, ...]]:
    """Explain the worked example, or what the link of the page says.

    Yields:
        What `explain_picture` yields, then the model, the method (twice), its options, both classes and the note.
    """
    link = Link.read(dict(request.query_params))
    state = session.state(ExplainState)
    state.example, state.view = str(link.sample.path), link.view
    options, note = default_options(link.method), describe_choice(link.model, link.method)
    labels = update_both_classes(session, link.model, link.target, link.against)
    famous = link.method if link.method in FAMOUS else None
    chosen = (link.model, famous, link.method, options, *labels, note) if request.query_params else (gr.skip(),) * 7
    values = (link.model, link.method, options, next(iter(CANVASES)), "", link.against)
    for number, results in enumerate(explain_picture(session, None, link.target, *values)):
        yield *results, *(chosen if number == 0 else (gr.skip(),) * 7)


def prove(session: Session) -> Any:
    """Check the map on the screen: a few passes, which end as soon as another run starts."""
    state = session.state(ExplainState)
    explanation, classifier, pixels, number = state.explanation, state.classifier, state.pixels, state.unchecked
    if number != state.runs.started or explanation is None or classifier is None or pixels is None:
        return gr.skip()
    state.unchecked = 0
    try:
        check = quick_trust(explanation, stoppable(classifier, lambda: state.runs.started != number), pixels)
        proof = render_proof(check, explanation.label)
    except Stopped:
        proof, state.unchecked = "", state.unchecked or number  # the run that ended it may give no map
    except UserError:
        proof = ""
    return proof if state.runs.started == number else gr.skip()


def fetch_thumbnail(session: Session, link: str) -> str:
    """Download the thumbnail of a video into a file. Nothing else on this page downloads a picture."""
    try:
        picture = read_thumbnail(link)
    except UserError as error:
        raise gr.Error(str(error), title="", print_exception=False) from error
    path = session.file(f"{video_id(link)}.png")
    Image.fromarray(picture.pixels).save(path)
    return str(path)


def update_both_classes(session: Session, model: str, target: str, against: str) -> tuple[Any, Any]:
    """The classes of a model, for both class dropdowns."""
    return controls.update_classes(session, model, target), controls.update_classes(session, model, against, NO_CLASS)


def update_methods(session: Session, model: str, chosen: str) -> tuple[gr.Dropdown, gr.Radio]:
    """The methods for a model: the list, and those of the three buttons that work with it."""
    classifier = controls.known_classifier(session, model)
    able = [(title, name) for name, title in FAMOUS.items() if not lacks(classifier, METHODS[name].needs)]
    value = controls.usable_methods(classifier, chosen)
    return controls.update_methods(session, model, chosen), gr.Radio(able, value=value if value in FAMOUS else None)


def start_method(model: str, method: str) -> tuple[str, str]:
    """The options and the note for a method that was just chosen."""
    return default_options(method), describe_choice(model, method)


def update_texts(model: str, method: str, options: str) -> tuple[str, str]:
    """The options and the note for a model and a method that were just chosen. Options that fit the method stay."""
    fits = all(word.split("=")[0] in METHODS[method].options for word in options.split())
    return options if fits else default_options(method), describe_choice(model, method)


def update_explain_tab(session: Session, path: str | None, model: str) -> tuple[Any, Any, Any, Any]:
    """When the tab is opened: the visitor's models, and the picture that was chosen in another tab."""
    models = gr.Dropdown(session.model_choices(), value=model)
    shown = session.state(ExplainState).example
    same = session.path == path or (path is None and session.path == shown)
    return (models, gr.skip(), gr.skip(), gr.skip()) if same else (models, session.path, controls.PREDICTED, NO_CLASS)


def choose_class(against: str, event: gr.EventData) -> tuple[str, str]:
    """The target class and the contrast class after a click in the list of classes."""
    label = str(event.label)
    if event.role == "against":
        return gr.skip(), label or NO_CLASS
    return label, NO_CLASS if against == label else gr.skip()


def write_download(kind: str, session: Session) -> str:
    """Write a file to download: "png" is the overlay with its legend, "npy" the raw map, "json" all parameters.

    Returns its path. Raises UserError if there is no explanation.
    """
    state = session.state(ExplainState)
    if state.explanation is None or state.pixels is None or state.path is None:
        raise UserError("There is nothing to download yet. Choose a picture first.")
    explanation, name = state.explanation, Path(state.path).stem
    if kind == "png":
        content = encode_png(sheet(state.pixels, explanation))
    elif kind == "npy":
        content = encode_npy(explanation.raw)
    else:
        content = json.dumps({**explanation.to_dict(), "picture": name}, indent=2).encode()
    path = session.file(f"{name}.{explanation.method}.{kind}")
    write_atomically(path, content)
    return str(path)
