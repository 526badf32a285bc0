"""The Compare tab: several methods on one picture and one class, each with figures that say how far to trust it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np

from explain import METHODS, stream
from explain.compare import PRESETS, REPEATS, SORTS, Graded, caption, ordered, pace, passes
from explain.render import overlay
from explain.sanity import Stage, randomisation, repeat, trust
from models import DEFAULT, MODELS, UserError, load
from models.engine import write_atomically
from ui import screen
from ui.picture_input import picture_input
from ui.session import LONG, PREDICTED, QUIET, Runs, Session, Stopped, classes, stoppable, title, within

TILE, VIEW = 420, 960  # pixels of a tile's and of the slider's longer side
FIRST = next(iter(PRESETS))
READY = "Several methods, one picture, one class. Which maps can be trusted? Press **Compare**."
KEPT = 0.7  # a map that still agrees this far with that of the trained network has not noticed that it is gone


@dataclass
class Compared:
    """What this tab shows a visitor. `tiles`: the files of the maps' pictures, by method."""

    runs: Runs = field(default_factory=Runs)
    path: str = ""
    model: str = DEFAULT
    pixels: np.ndarray | None = None
    graded: list[Graded] = field(default_factory=list)
    tiles: dict[str, str] = field(default_factory=dict)
    chosen: str = ""
    stages: list[Stage] = field(default_factory=list)


def build(session: gr.State, tab: gr.Tab) -> None:
    """Lay the tab out inside its context and bind its events."""
    with gr.Row():
        picture = picture_input(
            label="Picture", elem_id="compare-picture", height=250, min_width=300, scale=3,
            placeholder="Drop a picture here, paste it with Ctrl+V, or click to choose one",
        )  # fmt: skip
        with gr.Column(scale=6, min_width=320):
            with gr.Row():
                model = gr.Dropdown(
                    Session().choices(), value=DEFAULT, label="Model", elem_id="compare-model", min_width=140
                )
                target = gr.Dropdown(
                    [PREDICTED, *load(DEFAULT).labels], value=PREDICTED, label="Class", elem_id="compare-target",
                    min_width=160,
                )  # fmt: skip
                preset = gr.Radio(list(PRESETS), value=FIRST, label="Set of methods", elem_id="preset", min_width=290)
            methods = gr.Dropdown(
                [(facts.title, name) for name, facts in METHODS.items()], value=list(PRESETS[FIRST]), multiselect=True,
                label="Methods", elem_id="methods",
            )  # fmt: skip
            with gr.Row(elem_id="compare-run", equal_height=True):
                steady = gr.Checkbox(
                    True, label=f"Measure stability: {REPEATS} more maps a method", elem_id="steady", min_width=200
                )
                price = gr.Markdown(elem_id="price")
                start = gr.Button("Compare", variant="primary", min_width=110, elem_id="compare")
                stop = gr.Button("Stop", variant="stop", visible=False, min_width=90, elem_id="compare-stop")
    with gr.Row(elem_id="compare-report", equal_height=True):
        status = gr.Markdown(READY, elem_id="compare-status")
        sort = gr.Dropdown(
            list(SORTS), value=next(iter(SORTS)), label="Sort by, best first", elem_id="sort", scale=0, min_width=220
        )
    tiles = gr.Gallery(
        columns=6, object_fit="contain", allow_preview=False, show_label=False, interactive=False, height="auto",
        format="jpeg", elem_id="tiles", visible=False, elem_classes="captioned", buttons=[],
    )  # fmt: skip
    with gr.Row(visible=False, elem_id="details") as details:
        with gr.Column(scale=5, min_width=320):
            slider = gr.ImageSlider(
                label="Click a tile to see it here", format="jpeg", slider_position=35, max_height=420,
                elem_id="compare-overlay", buttons=["fullscreen"],
            )  # fmt: skip
            about = gr.Markdown(elem_id="chosen")
            sane = gr.Button("Sanity check: scramble the network, layer by layer", size="sm", elem_id="sanity")
        with gr.Column(scale=6, min_width=320):
            curves = gr.Plot(show_label=False, elem_id="curves")
            matrix = gr.Plot(show_label=False, elem_id="matrix")
    stages = gr.Gallery(
        columns=9, object_fit="contain", allow_preview=False, show_label=False, interactive=False, height="auto",
        format="jpeg", elem_id="stages", visible=False, elem_classes="captioned", buttons=[],
    )  # fmt: skip
    with gr.Row(visible=False, elem_id="sheets") as sheets:
        files = [
            gr.DownloadButton(what, size="sm", interactive=False, elem_id=f"sheet-{kind}", min_width=90)
            for kind, what in (("png", "Sheet (PNG)"), ("pdf", "Sheet (PDF)"), ("json", "Facts (JSON)"))
        ]

    instant: dict[str, Any] = {"queue": False, **QUIET}
    show = {"fn": show_first, "inputs": [session, sort], "outputs": [slider, about, details], **instant}
    draw = {"fn": conclude, "inputs": session, "outputs": [curves, matrix, sheets], **instant}
    write = {"fn": prepare_sheets, "inputs": session, "outputs": files, **instant}
    long = {**LONG, "show_progress_on": status}
    estimate = {"fn": estimated, "inputs": [session, model, methods, steady], "outputs": price, **instant}

    tab.select(catch_up, [session, model], [model, picture], **instant).then(**estimate)
    picture.input(take, [session, picture], **instant)
    preset.input(lambda name: list(PRESETS[name]), preset, methods, **instant).then(**estimate)
    gr.on([methods.input, steady.input], **estimate)
    model.input(classes, [session, model, target], target, **instant).then(**estimate)
    start.click(run, [session, picture, model, target, methods, steady, sort], [tiles, status, stop], **long).then(
        **show
    ).then(**draw).then(**write)
    stop.click(lambda session: session.of(Compared).runs.halt(), session, **instant)
    sort.input(lambda session, by: gallery(session.of(Compared), by), [session, sort], tiles, **instant)
    tiles.select(choose, [session, sort], [slider, about], **instant)
    sane.click(check, session, [stages, status, stop], **long).then(**write)


def take(session: Session, path: str | None) -> None:
    """A picture that has just arrived is the one all tabs look at."""
    session.path = path


def catch_up(session: Session, model: str) -> tuple[Any, str | None]:
    """When the tab is opened: the visitor's own models, and the picture chosen in another tab meanwhile."""
    return gr.Dropdown(session.choices(), value=model), session.path


def estimated(session: Session, model: str, methods: list[str], steady: bool) -> str:
    """What a comparison will take, as far as one can know before."""
    count = passes(methods, REPEATS if steady else 0)
    if model in MODELS and not MODELS[model].embedded:
        return f"takes as long as {count} forward passes"
    seconds = count * pace(session.classifier(model))
    return f"takes about {seconds:.0f} s" if seconds >= 1 else "takes less than a second"


def run(
    session: Session, path: str | None, model: str, target: str, methods: list[str], steady: bool, sort: str
) -> Iterator[tuple[Any, ...]]:
    """Explain and grade, method after method, until done, stopped or overtaken; what there is stays."""
    compared = session.of(Compared)
    shown, hidden = gr.Button(visible=True), gr.Button(visible=False)
    with compared.runs.turn() as superseded:
        try:
            picture = screen.seen(session, path)
            if not methods:
                raise UserError("Choose at least one method to compare.")
            yield gr.skip(), f"Getting {title(model)} ready.", shown
            classifier = stoppable(session.classifier(model), lambda: compared.runs.halted or superseded())
            compared.path, compared.model, compared.pixels = path or "", model, picture.pixels
            compared.graded, compared.tiles, compared.stages, compared.chosen = [], {}, [], ""
            yield gr.Gallery([], visible=False), gr.skip(), gr.skip()
        except UserError as error:
            gr.Warning(str(error), title="")
            yield gr.skip(), f"⚠️ {error}", hidden
            return
        refused: list[str] = []
        try:
            for index, name in enumerate(methods):
                place = f"**{METHODS[name].title}**, {index + 1} of {len(methods)}"
                yield gr.skip(), f"{place} ...", gr.skip()
                try:
                    wanted = None if target == PREDICTED else target
                    for found in stream(picture, classifier, name, wanted):
                        if found.progress < 1:
                            yield gr.skip(), f"{place}: {found.progress:.0%} done ...", gr.skip()
                    yield gr.skip(), f"{place}: being graded ...", gr.skip()
                    grade = trust(found, classifier, picture.pixels, samples=REPEATS if steady else 0)
                except UserError as error:
                    refused.append(str(error))
                    continue
                compared.graded.append(Graded(screen.recorded(found, picture), grade))
                compared.tiles[name] = tile(session, picture.pixels, found.heatmap, name)
                yield gr.Gallery(gallery(compared, sort), visible=True), gr.skip(), gr.skip()
        except Stopped:
            if not superseded():
                yield gr.skip(), report(compared, len(methods), refused, "Stopped. "), hidden
            return
        yield gr.skip(), report(compared, len(methods), refused), hidden


def report(compared: Compared, count: int, refused: list[str], begin: str = "") -> str:
    """What came out, in a sentence or two."""
    if not compared.graded:
        return f"{begin}There is no map yet. {' '.join(refused)}"
    first = compared.graded[0].found
    best = ordered(compared.graded, "insertion - deletion")[0]
    done = f"{len(compared.graded)} of {count} methods" if len(compared.graded) < count else f"{count} methods"
    return (
        f"{begin}**{first.label}**, {first.probability:.1%}: {done}. The score follows the map of "
        f"**{METHODS[best.found.method].title}** best (insertion - deletion). {' '.join(refused)}"
    )


def tile(session: Session, pixels: np.ndarray, heatmap: np.ndarray, name: str) -> str:
    """The file with a map over the picture, small."""
    small = within(pixels, TILE)
    heat = cv2.resize(heatmap, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    path = session.file(f"{name}.jpg")
    written, jpeg = cv2.imencode(".jpg", overlay(small, heat)[..., ::-1])
    assert written
    write_atomically(path, jpeg.tobytes())
    return str(path)


def gallery(compared: Compared, sort: str) -> list[tuple[str, str]]:
    """The tiles with their captions, in order."""
    return [
        (compared.tiles[each.found.method], f"{METHODS[each.found.method].title}\n{caption(each)}")
        for each in ordered(compared.graded, sort)
    ]


def show_first(session: Session, sort: str) -> tuple[Any, ...]:
    """When a run has ended: its first map in the slider, unless another has been clicked meanwhile."""
    compared = session.of(Compared)
    if not compared.graded:
        return (gr.skip(),) * 3
    compared.chosen = compared.chosen or ordered(compared.graded, sort)[0].found.method
    return *view(compared), gr.Row(visible=True)


def conclude(session: Session) -> tuple[Any, ...]:
    """What all maps show together; takes a second, in which the visitor may look at one and another."""
    compared = session.of(Compared)
    if not compared.graded:
        return (gr.skip(),) * 3
    from explain import figures  # Matplotlib, which the page's start need not wait for

    return figures.curves(compared.graded), figures.matrix(compared.graded), gr.Row(visible=True)


def choose(session: Session, sort: str, event: gr.SelectData) -> tuple[Any, Any]:
    """The tile that was clicked."""
    compared = session.of(Compared)
    compared.chosen = ordered(compared.graded, sort)[event.index].found.method
    return view(compared)


def view(compared: Compared) -> tuple[Any, Any]:
    """The chosen map for the slider, and a line on it."""
    found = next(each.found for each in compared.graded if each.found.method == compared.chosen)
    assert compared.pixels is not None
    pixels = within(compared.pixels, VIEW)
    heat = cv2.resize(found.heatmap, pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    method = METHODS[found.method]
    return (pixels, overlay(pixels, heat)), f"**{method.title}**: {method.summary} {' '.join(found.notes)}"


def check(session: Session) -> Iterator[tuple[Any, ...]]:
    """The chosen method's map while the network forgets what it learned (Adebayo et al. 2018), stage by stage."""
    compared = session.of(Compared)
    with compared.runs.turn() as superseded:
        if not compared.graded or compared.pixels is None:
            return
        found = next(each.found for each in compared.graded if each.found.method == compared.chosen)
        method = METHODS[found.method].title
        compared.stages = []
        shown: list[tuple[str, str]] = []
        try:
            classifier = stoppable(session.classifier(compared.model), lambda: compared.runs.halted or superseded())
            yield (
                gr.Gallery([], visible=False),
                f"Scrambling the network under **{method}** ...",
                gr.Button(visible=True),
            )
            for stage in randomisation(repeat(found), classifier, compared.pixels, original=found.heatmap):
                if compared.runs.halted or superseded():
                    raise Stopped
                compared.stages.append(stage)
                where = "trained network" if stage.progress == 0 else f"scrambled down to {stage.name}"
                shown.append(
                    (
                        tile(session, compared.pixels, stage.heatmap, f"stage-{len(shown)}"),
                        f"{where}\nrank correlation {stage.spearman:.2f}",
                    )
                )
                yield (
                    gr.Gallery(shown, visible=True),
                    f"Scrambling the network under **{method}**: {stage.progress:.0%} done ...",
                    gr.skip(),
                )
        except Stopped:
            if not superseded():
                yield gr.skip(), "Stopped.", gr.Button(visible=False)
            return
        except UserError as error:
            yield gr.skip(), f"⚠️ {error}", gr.Button(visible=False)
            return
        yield gr.skip(), verdict(method, compared.stages), gr.Button(visible=False)


def verdict(method: str, stages: list[Stage]) -> str:
    """What the sanity check says about a method here, in a sentence."""
    left = float(np.mean([stage.spearman for stage in stages[-3:]]))
    if left > KEPT:
        return (
            f"**{method}** still draws nearly the same map ({left:.2f}) for a network that knows nothing: "
            "it shows the picture, not the model."
        )
    return (
        f"**{method}** loses its map as the network forgets (rank correlation {left:.2f} at the end): "
        "it does depend on the model."
    )


def prepare_sheets(session: Session) -> list[Any]:
    """The files behind the download buttons: one sheet as PNG and PDF, and all facts."""
    compared = session.of(Compared)
    if not compared.graded or compared.pixels is None:
        return [gr.DownloadButton(value=None, interactive=False)] * 3
    from explain import figures

    name = Path(compared.path).stem
    drawn = figures.sheet(name, compared.pixels, compared.graded, compared.stages)
    facts = {"picture": name, "methods": [each.facts() for each in compared.graded]}
    contents = {
        "png": figures.save(drawn, "png"),
        "pdf": figures.save(drawn, "pdf"),
        "json": json.dumps(facts, indent=2).encode(),
    }
    paths = {kind: session.file(f"{name}.compared.{kind}") for kind in contents}
    for kind, content in contents.items():
        write_atomically(paths[kind], content)
    return [gr.DownloadButton(value=str(path), interactive=True) for path in paths.values()]
