"""The Dream tab: the classifier paints what a class, or a channel of a layer, is to it, while one looks on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import gradio as gr
import numpy as np

from explain.commands import animation
from explain.visualise import Dream, visualise
from models import DEFAULT, MODELS, UserError, load
from models.engine import write_atomically
from ui import screen
from ui.picture_input import picture_input
from ui.session import LONG, QUIET, WORK, Runs, Session, title

CLASS, CHANNEL = "a class", "a channel of a layer"
NOISE, PICTURE = "noise", "a picture"
SUBJECT = "tarantula"  # has parts that are easily recognised
STEPS, OCTAVES, SMOOTHNESS = 96, 2, 1.0
EVERY = 2  # steps between two frames
READY = f"What is a {SUBJECT} to this network? Press **Paint** and look on; it takes about half a minute."


@dataclass
class Dreamt:
    """What this tab shows a visitor: the last picture, and how it grew."""

    runs: Runs = field(default_factory=Runs)
    found: Dream | None = None
    frames: list[np.ndarray] = field(default_factory=list)


def build(session: gr.State, tab: gr.Tab) -> None:
    """Lay the tab out inside its context and bind its events."""
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            model = gr.Dropdown(Session().choices(), value=DEFAULT, label="Model", elem_id="dream-model")
            what = gr.Radio([CLASS, CHANNEL], value=CLASS, label="Paint", elem_id="dream-what")
            target = gr.Dropdown(
                list(load(DEFAULT).labels),
                value=SUBJECT,
                label="Class",
                elem_id="dream-target",
                allow_custom_value=True,
            )
            with gr.Row(visible=False) as inner:
                layer = gr.Dropdown([], label="Layer", elem_id="dream-layer", min_width=180)
                channel = gr.Number(0, label="Channel", precision=0, minimum=0, elem_id="dream-channel", min_width=100)
            begin = gr.Radio([NOISE, PICTURE], value=NOISE, label="Begin with", elem_id="dream-begin")
            picture = picture_input(
                label="Picture", elem_id="dream-picture", height=220, visible=False,
                placeholder="Drop a picture here, paste it with Ctrl+V, or click to choose one",
            )  # fmt: skip
            with gr.Accordion("More: steps, smoothness, seed", open=False, elem_id="dream-more"):
                with gr.Row():
                    steps = gr.Slider(
                        8, 256, STEPS, step=8, label="Steps", elem_id="dream-steps", min_width=150, buttons=[]
                    )
                    octaves = gr.Slider(
                        1,
                        4,
                        OCTAVES,
                        step=1,
                        label="From coarse to fine, in",
                        elem_id="dream-octaves",
                        min_width=150,
                        buttons=[],
                    )
                with gr.Row():
                    smoothness = gr.Slider(
                        0,
                        20,
                        SMOOTHNESS,
                        step=0.5,
                        label="Smoothness",
                        elem_id="dream-smoothness",
                        min_width=150,
                        buttons=[],
                    )
                    pull = gr.Slider(
                        0, 100, 0, step=1, label="Stay near the start", elem_id="dream-pull", min_width=150, buttons=[]
                    )
                    seed = gr.Number(0, label="Seed", precision=0, minimum=0, elem_id="dream-seed", min_width=80)
            with gr.Row():
                start = gr.Button("Paint", variant="primary", min_width=110, elem_id="paint")
                stop = gr.Button("Stop", variant="stop", visible=False, min_width=90, elem_id="dream-stop")
        with gr.Column(scale=6, min_width=320):
            canvas = gr.Image(
                label="The picture as it grows", format="png", interactive=False, height=470, elem_id="dream",
                buttons=["fullscreen"],
            )  # fmt: skip
            status = gr.Markdown(READY, elem_id="dream-status")
            with gr.Row():
                own = gr.Label(
                    num_top_classes=3, label="Seen by itself", show_heading=False, elem_id="dream-own", min_width=200
                )
                other = gr.Label(
                    num_top_classes=3,
                    label="Seen by another network",
                    show_heading=False,
                    elem_id="dream-other",
                    min_width=200,
                )
            with gr.Row(elem_id="dream-files"):
                files = [
                    gr.DownloadButton(what, size="sm", interactive=False, min_width=120, elem_id=f"dream-{kind}")
                    for kind, what in (("png", "Picture (PNG)"), ("webp", "How it grew (WebP)"))
                ]

    instant: dict[str, Any] = {"queue": False, **QUIET}
    tab.select(catch_up, [session, model], [model, picture], **instant)
    picture.input(take, [session, picture], **instant)
    what.input(
        lambda what: (gr.Dropdown(visible=what == CLASS), gr.Row(visible=what == CHANNEL)),
        what,
        [target, inner],
        **instant,
    )
    gr.on([what.input, model.input], layers, [session, model, what, layer], [layer, status], **WORK)
    model.input(labels, [session, model, target], target, **instant)
    begin.input(lambda begin: gr.Image(visible=begin == PICTURE), begin, picture, **instant)
    asked = [session, model, what, target, layer, channel, begin, picture, steps, octaves, smoothness, pull, seed]
    start.click(run, asked, [canvas, status, own, other, stop], **LONG, show_progress_on=status).then(
        prepare_downloads, session, files, **instant
    )
    stop.click(lambda session: session.of(Dreamt).runs.halt(), session, **instant)


def take(session: Session, path: str | None) -> None:
    """A picture that has just arrived is the one all tabs look at."""
    session.path = path


def catch_up(session: Session, model: str) -> tuple[Any, str | None]:
    """When the tab is opened: the visitor's own models, and the picture chosen in another tab meanwhile."""
    return gr.Dropdown(session.choices(), value=model), session.path


def labels(session: Session, model: str, target: str) -> Any:
    """The classes of a model to paint; the chosen one stays where the model has it."""
    there = model in session.models or MODELS[model].embedded
    found = session.classifier(model if there else DEFAULT).labels
    return gr.Dropdown(list(found), value=target if target in found else found[0])


def layers(session: Session, model: str, what: str, layer: str | None) -> tuple[Any, Any]:
    """The layers of a model whose channels can be painted, once they are asked for."""
    if what != CHANNEL:
        return gr.skip(), gr.skip()
    try:
        found = session.classifier(model).channels()
    except UserError as error:
        return gr.skip(), f"⚠️ {error}"
    names = [(f"{name} ({count} channels)", name) for name, count in found.items()]
    return gr.Dropdown(names, value=layer if layer in found else list(found)[len(found) // 2]), gr.skip()


def run(
    session: Session,
    model: str,
    what: str,
    target: str,
    layer: str | None,
    channel: int,
    begin: str,
    path: str | None,
    steps: int,
    octaves: int,
    smoothness: float,
    pull: float,
    seed: int,
) -> Iterator[tuple[Any, ...]]:
    """Paint, frame after frame, until done, stopped or overtaken; what there is stays."""
    dreamt = session.of(Dreamt)
    hidden = gr.Button(visible=False)
    with dreamt.runs.turn() as superseded:
        try:
            first = screen.seen(session, path) if begin == PICTURE else None
            if what == CHANNEL and not layer:
                raise UserError("Choose a layer whose channel shall be painted.")
            yield gr.skip(), f"Getting {title(model)} ready ...", None, None, gr.Button(visible=True)
            classifier = session.classifier(model)
            dreamt.frames, dreamt.found = [], None
            for found in visualise(
                classifier, int(channel) if what == CHANNEL else target, first, layer=(layer or "") if what == CHANNEL else "",
                steps=int(steps), octaves=int(octaves), smoothness=smoothness, pull=pull, seed=int(seed), every=EVERY,
            ):  # fmt: skip
                if superseded():
                    return
                dreamt.found = found
                dreamt.frames.append(found.pixels)
                seen = {prediction.label: prediction.probability for prediction in found.top}
                if dreamt.runs.halted:
                    yield found.pixels, f"Stopped. {report(found)}", seen, judged(found), hidden
                    return
                yield found.pixels, report(found), seen, gr.skip(), gr.skip()
            notes = first.notes if first else ()
            yield gr.skip(), " ".join([report(found), *notes]), gr.skip(), judged(found), hidden
        except UserError as error:
            gr.Warning(str(error), title="")
            yield gr.skip(), f"⚠️ {error}", gr.skip(), gr.skip(), hidden


def report(found: Dream) -> str:
    """How far it is, and what it is worth."""
    score = f"mean {found.score:.2f}" if " of " in found.goal else f"{found.score:.1%}"
    return f"**{found.goal}**: {score}. Step {found.step} of {found.steps}, {found.seconds:.0f} s."


def judged(found: Dream) -> dict[str, float]:
    """What the other embedded network, which took no part, sees in a picture: the measure of whether it shows anything."""
    other = next(name for name, facts in MODELS.items() if facts.embedded and name != found.model)
    return {prediction.label: prediction.probability for prediction in load(other).predict(found.pixels)}


def prepare_downloads(session: Session) -> list[Any]:
    """The files behind the download buttons: the last picture, and all of them one after the other."""
    dreamt = session.of(Dreamt)
    if dreamt.found is None:
        return [gr.DownloadButton(value=None, interactive=False)] * 2
    stem = dreamt.found.goal.replace("/", "-")
    png, webp = session.file(f"{stem}.png"), session.file(f"{stem}.webp")
    write_atomically(png, cv2.imencode(".png", dreamt.found.pixels[..., ::-1])[1].tobytes())
    write_atomically(webp, animation(dreamt.frames))
    return [gr.DownloadButton(value=str(path), interactive=True) for path in (png, webp)]
