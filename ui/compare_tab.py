"""The Compare tab: several methods on one picture and one class, each graded by how far its map can be trusted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np

from core.errors import UserError
from core.files import write_atomically
from core.images import shrink
from core.stopping import Stopped
from explain import METHODS, Explanation, stream
from explain.compare import PRESETS, REPEATS, SORTS, Graded, caption, estimate_passes, seconds_per_pass, sort_graded
from explain.metrics.sanity import Stage, randomisation, repeat_explainer, trust
from explain.render import overlay
from models import DEFAULT, MODELS, Classifier
from ui import controls, screen
from ui.compare_texts import describe_comparison, describe_sanity
from ui.runs import FILE_RUN, INSTANT, LONG_RUN, Runs, stoppable
from ui.session import Session

TILE, VIEW = 420, 960  # pixels of the longer side: of a tile, and of the picture in the slider
FIRST_PRESET = next(iter(PRESETS))
READY = (
    "Press **Compare** to run several methods on the same picture and class, and to measure the quality of each map."
)


@dataclass
class CompareState:
    """What this tab shows a visitor. `tiles`: the file of each method's tile. `chosen`: the method in the slider."""

    runs: Runs = field(default_factory=Runs)
    path: str = ""
    model: str = DEFAULT
    pixels: np.ndarray | None = None
    graded: list[Graded] = field(default_factory=list)
    tiles: dict[str, str] = field(default_factory=dict)
    chosen: str = ""
    stages: list[Stage] = field(default_factory=list)

    def chosen_explanation(self) -> Explanation:
        """The explanation by the chosen method."""
        return next(graded.explanation for graded in self.graded if graded.explanation.method == self.chosen)


@dataclass(frozen=True)
class _Form:
    picture: Any
    model: gr.Dropdown
    target: gr.Dropdown
    preset: gr.Radio
    methods: gr.Dropdown
    stability: gr.Checkbox
    cost: gr.Markdown
    start: gr.Button
    stop: gr.Button
    status: gr.Markdown
    sort: gr.Dropdown


@dataclass(frozen=True)
class _Result:
    tiles: gr.Gallery
    details: gr.Row
    slider: gr.ImageSlider
    about: gr.Markdown
    sanity: gr.Button
    curves: gr.Plot
    matrix: gr.Plot
    stages: gr.Gallery
    sheets: gr.Row
    files: controls.ClickedDownloads


def build(session: gr.State, tab: gr.Tab) -> None:
    """Lay out the tab inside its context and bind its events."""
    _bind_events(session, tab, _lay_out_form(), _lay_out_result())


def _lay_out_form() -> _Form:
    with gr.Row():
        picture = controls.picture_box("compare-picture", height=250, min_width=300, scale=3)
        with gr.Column(scale=6, min_width=320):
            with gr.Row():
                model = controls.model_dropdown("compare-model", min_width=180)
                target = controls.class_dropdown("compare-target")
                preset = gr.Radio(
                    list(PRESETS), value=FIRST_PRESET, label="Set of methods", elem_id="preset", min_width=290
                )
            methods = controls.method_dropdown(
                "methods", value=list(PRESETS[FIRST_PRESET]), multiselect=True, label="Methods", min_width=160
            )
            with gr.Row(elem_id="compare-run", equal_height=True):
                stability = gr.Checkbox(
                    True, label=f"Measure stability: {REPEATS} more maps per method", elem_id="steady", min_width=200
                )
                cost = gr.Markdown(elem_id="price")
                start = controls.run_button("Compare", "compare")
                stop = controls.stop_button("compare-stop")
    with gr.Row(elem_id="compare-report", equal_height=True):
        status = gr.Markdown(READY, elem_id="compare-status")
        sort = gr.Dropdown(
            list(SORTS), value=next(iter(SORTS)), label="Sort by (best first)", elem_id="sort", scale=0, min_width=220
        )
    return _Form(picture, model, target, preset, methods, stability, cost, start, stop, status, sort)


def _lay_out_result() -> _Result:
    gallery: dict[str, Any] = {
        "object_fit": "contain", "allow_preview": False, "show_label": False, "interactive": False, "height": "auto",
        "format": "jpeg", "visible": False, "elem_classes": "captioned", "buttons": [],
    }  # fmt: skip
    tiles = gr.Gallery(columns=6, elem_id="tiles", **gallery)
    with gr.Row(visible=False, elem_id="details") as details:
        with gr.Column(scale=5, min_width=320):
            slider = gr.ImageSlider(
                label="Click a tile to see it here", format="jpeg", slider_position=35, max_height=420,
                elem_id="compare-overlay", buttons=["fullscreen"],
            )  # fmt: skip
            about = gr.Markdown(elem_id="chosen")
            sanity = gr.Button("Sanity check: randomise the network", size="sm", elem_id="sanity")
        with gr.Column(scale=6, min_width=320):
            curves = gr.Plot(show_label=False, elem_id="curves")
            matrix = gr.Plot(show_label=False, elem_id="matrix")
    stages = gr.Gallery(columns=9, elem_id="stages", **gallery)
    with gr.Row(visible=False, elem_id="sheets") as sheets:
        files = controls.ClickedDownloads(
            "sheet", {"png": "Overview (PNG)", "pdf": "Overview (PDF)", "json": "Data (JSON)"}
        )
    return _Result(tiles, details, slider, about, sanity, curves, matrix, stages, sheets, files)


def _bind_events(session: gr.State, tab: gr.Tab, form: _Form, result: _Result) -> None:
    picture, model, methods = form.picture, form.model, form.methods
    long_run = {**LONG_RUN, "show_progress_on": form.status}
    cost = {
        "fn": describe_cost, "inputs": [session, model, methods, form.stability], "outputs": form.cost, **INSTANT
    }  # fmt: skip
    result.files.bind(write_sheet, [session])
    chosen = [result.slider, result.about]

    tab.select(controls.update_tab, [session, model], [model, picture], **INSTANT).then(**cost)
    picture.input(controls.set_picture, [session, picture], **INSTANT)
    form.preset.input(choose_preset, [session, model, form.preset], methods, **INSTANT).then(**cost)
    gr.on([methods.input, form.stability.input], **cost)
    model.input(controls.update_classes, [session, model, form.target], form.target, **INSTANT).then(
        controls.update_methods, [session, model, methods], methods, **INSTANT
    ).then(**cost)
    compared = form.start.click(
        compare, [session, picture, model, form.target, methods, form.stability, form.sort],
        [result.tiles, form.status, form.stop], **long_run,
    ).then(show_first, [session, form.sort], [*chosen, result.details], **INSTANT).then(
        draw_figures, session, [result.curves, result.matrix, result.sheets], **FILE_RUN
    )  # fmt: skip
    result.files.enable_after(compared.then, result.tiles)
    controls.bind_stop(form.stop, session, CompareState)
    form.sort.input(sort_tiles, [session, form.sort], result.tiles, **INSTANT)
    result.tiles.select(choose_tile, [session, form.sort], chosen, **INSTANT)
    result.sanity.click(check_sanity, session, [result.stages, form.status, form.stop], **long_run)


# --- The comparison ----------------------------------------------------------


def choose_preset(session: Session, model: str, preset: str) -> gr.Dropdown:
    """The methods of a set that work with the model."""
    return controls.update_methods(session, model, list(PRESETS[preset]))


def describe_cost(session: Session, model: str, methods: list[str], stability: bool) -> str:
    """An estimate of the time of a comparison."""
    passes = estimate_passes(methods, REPEATS if stability else 0)
    if model in MODELS and not MODELS[model].embedded:
        return f"takes the time of {passes} forward passes"
    seconds = passes * seconds_per_pass(session.classifier(model))
    return f"takes about {seconds:.0f} s" if seconds >= 1 else "takes less than a second"


def compare(
    session: Session, path: str | None, model: str, target: str, methods: list[str], stability: bool, sort: str
) -> Iterator[tuple[Any, ...]]:
    """Explain and grade with one method after the other. After Stop, or a new run, the finished maps stay.

    Args:
        session: the visitor.
        path: file of the picture.
        model: name of the classifier.
        target: label of the target class, or controls.PREDICTED.
        methods: names of the methods.
        stability: whether to measure stability as well.
        sort: a key of SORTS.

    Yields:
        Values of the tiles, the status line and the Stop button.
    """
    state = session.state(CompareState)
    show_stop, hide_stop = gr.Button(visible=True), gr.Button(visible=False)
    with state.runs.turn() as superseded:
        if state.runs.stop_requested:  # while it waited
            yield gr.skip(), "Stopped.", hide_stop
            return
        try:
            picture = screen.prepare_picture(session, path)
            methods = list(dict.fromkeys(methods))
            if not methods:
                raise UserError("Choose at least one method to compare.")
            yield gr.skip(), f"Loading {controls.model_title(model)} ...", show_stop
            classifier = stoppable(session.classifier(model), lambda: state.runs.stop_requested or superseded())
            state.path, state.model, state.pixels = path or "", model, picture.pixels
            state.graded, state.tiles, state.stages, state.chosen = [], {}, [], ""
            yield gr.Gallery([], visible=False), gr.skip(), gr.skip()
        except UserError as error:
            yield gr.skip(), controls.warn(error), hide_stop
            return
        errors: list[str] = []
        try:
            for number, name in enumerate(methods, 1):
                step = f"**{METHODS[name].title}**, {number} of {len(methods)}"
                try:
                    for status in _grade(session, picture, classifier, name, target, stability):
                        bar = controls.progress_bar((number - 1) / len(methods))
                        yield gr.skip(), f"{bar}{step}{status} ...", gr.skip()
                except UserError as error:
                    errors.append(str(error))
                    continue
                yield gr.Gallery(sort_tiles(session, sort), visible=True), gr.skip(), gr.skip()
        except Stopped as stop:
            if not superseded():
                yield gr.skip(), describe_comparison(state.graded, len(methods), errors, f"{stop} "), hide_stop
            return
        yield gr.skip(), describe_comparison(state.graded, len(methods), errors), hide_stop


def _grade(
    session: Session, picture: screen.PreparedPicture, classifier: Classifier, method: str, target: str, stability: bool
) -> Iterator[str]:
    """Add one graded method to the state. Yields what is under way."""
    state = session.state(CompareState)
    yield ""
    for explanation in stream(picture, classifier, method, None if target == controls.PREDICTED else target):
        if explanation.progress < 1:
            yield f": {explanation.progress:.0%} done"
    yield ": measuring the map"
    grades = trust(explanation, classifier, picture.pixels, samples=REPEATS if stability else 0)
    state.graded.append(Graded(screen.add_provenance(explanation, picture), grades))
    state.tiles[method] = write_tile(session, picture.pixels, explanation.heatmap, method)


def write_tile(session: Session, pixels: np.ndarray, heatmap: np.ndarray, name: str) -> str:
    """Write a small overlay of a heatmap (H, W) on its picture. Returns the path of the file."""
    small = shrink(pixels, TILE)
    small_heatmap = cv2.resize(heatmap, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    path = session.file(f"{name}.jpg")
    success, jpeg = cv2.imencode(".jpg", overlay(small, small_heatmap)[..., ::-1])
    assert success
    write_atomically(path, jpeg.tobytes())
    return str(path)


def sort_tiles(session: Session, sort: str) -> list[tuple[str, str]]:
    """The tiles with their captions, best first. `sort`: a key of SORTS."""
    state = session.state(CompareState)
    return [
        (state.tiles[graded.explanation.method], f"{METHODS[graded.explanation.method].title}\n{caption(graded)}")
        for graded in sort_graded(state.graded, sort)
    ]


def show_first(session: Session, sort: str) -> tuple[Any, ...]:
    """After a run: the first map in the slider, unless the visitor has clicked another one."""
    state = session.state(CompareState)
    if not state.graded:
        return (gr.skip(),) * 3
    state.chosen = state.chosen or sort_graded(state.graded, sort)[0].explanation.method
    return *render_chosen(state), gr.Row(visible=True)


def draw_figures(session: Session) -> tuple[Any, ...]:
    """The figures over all maps. They take about a second, in which the visitor can look at the tiles."""
    graded = session.state(CompareState).graded
    if not graded:
        return (gr.skip(),) * 3
    from ui import compare_figures as figures  # imports Matplotlib, which would slow down the start of the page

    return figures.curves(graded), figures.matrix(graded), gr.Row(visible=True)


def choose_tile(session: Session, sort: str, event: gr.SelectData) -> tuple[Any, Any]:
    """Show the tile that was clicked in the slider."""
    state = session.state(CompareState)
    state.chosen = sort_graded(state.graded, sort)[event.index].explanation.method
    return render_chosen(state)


def render_chosen(state: CompareState) -> tuple[Any, Any]:
    """The chosen map for the slider, and a line about its method."""
    explanation = state.chosen_explanation()
    assert state.pixels is not None
    pixels = shrink(state.pixels, VIEW)
    heatmap = cv2.resize(explanation.heatmap, pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    method = METHODS[explanation.method]
    return (pixels, overlay(pixels, heatmap)), f"**{method.title}**: {method.summary} {' '.join(explanation.notes)}"


# --- The sanity check --------------------------------------------------------


def check_sanity(session: Session) -> Iterator[tuple[Any, ...]]:
    """The parameter-randomisation test (Adebayo et al. 2018, https://arxiv.org/abs/1810.03292) of the chosen method.

    Yields:
        Values of the stages, the status line and the Stop button.
    """
    state = session.state(CompareState)
    hide_stop = gr.Button(visible=False)
    with state.runs.turn() as superseded:
        if not state.graded or state.pixels is None:
            return
        if state.runs.stop_requested:  # while it waited
            yield gr.skip(), "Stopped.", hide_stop
            return

        def should_stop() -> bool:
            return state.runs.stop_requested or superseded()

        explanation = state.chosen_explanation()
        method = METHODS[explanation.method].title
        status = f"Randomising the network for **{method}**"
        tiles: list[tuple[str, str]] = []
        state.stages = []
        try:
            classifier = stoppable(session.classifier(state.model), should_stop)
            yield gr.Gallery([], visible=False), f"{status} ...", gr.Button(visible=True)
            explainer = repeat_explainer(explanation)
            for stage in randomisation(explainer, classifier, state.pixels, original=explanation.heatmap):
                if should_stop():
                    raise Stopped("Stopped.")
                state.stages.append(stage)
                tile = write_tile(session, state.pixels, stage.heatmap, f"stage-{len(tiles)}")
                name = "trained network" if stage.progress == 0 else f"randomised down to {stage.name}"
                tiles.append((tile, f"{name}\nrank correlation {stage.spearman:.2f}"))
                line = f"{controls.progress_bar(stage.progress)}{status}: {stage.progress:.0%} done ..."
                yield gr.Gallery(tiles, visible=True), line, gr.skip()
        except Stopped as stop:
            if not superseded():
                yield gr.skip(), str(stop), hide_stop
            return
        except UserError as error:
            yield gr.skip(), f"⚠️ {error}", hide_stop
            return
        yield gr.skip(), describe_sanity(method, state.stages), hide_stop


def write_sheet(kind: str, session: Session) -> str:
    """Write a file to download: one sheet with all maps as "png" or "pdf", or all facts as "json". Returns its path.

    Raises UserError if there is no map.
    """
    state = session.state(CompareState)
    if not state.graded or state.pixels is None:
        raise UserError("There is nothing to download yet. Press Compare first.")
    name = Path(state.path).stem
    if kind == "json":
        facts = {"picture": name, "methods": [graded.to_dict() for graded in state.graded]}
        content = json.dumps(facts, indent=2).encode()
    else:
        from ui import compare_figures as figures

        content = figures.save(figures.sheet(name, state.pixels, state.graded, state.stages), kind)
    path = session.file(f"{name}.compared.{kind}")
    write_atomically(path, content)
    return str(path)
