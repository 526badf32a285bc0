"""The Visualise tab: feature visualisation of a class or of a channel, shown while it is optimised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import gradio as gr
import numpy as np

from core.errors import UserError
from core.files import write_atomically
from core.options import MAX_SEED
from core.stopping import Stopped
from models import DEFAULT, MODELS, load
from ui import controls, screen
from ui.plain_text import plain
from ui.runs import FILE_RUN, INSTANT, LONG_RUN, Runs
from ui.session import Session
from visualise.optimise import FeatureVisualisation, encode_animation, stream_visualisation

CLASS, CHANNEL = "a class", "a channel of a layer"
NOISE, PICTURE = "noise", "a picture"
FIRST_CLASS = "tarantula"  # its parts are easy to recognise
STEPS, OCTAVES, SMOOTHNESS = 96, 2, 1.0
STEPS_PER_FRAME = 2
EXAMPLE = Path(__file__).parent / "assets" / "tarantula.jpg"  # python -m visualise tarantula
READY = (
    "Here: a tarantula, as MobileNetV2 expects it. Feature visualisation optimises a picture until the network recognises a "
    "class in it. Press **Visualise**. It takes about half a minute."
)


@dataclass
class VisualiseState:
    """What this tab keeps for a visitor: the runs, the last result, and the pictures of all frames."""

    runs: Runs = field(default_factory=Runs)
    result: FeatureVisualisation | None = None
    frames: list[np.ndarray] = field(default_factory=list)


class Settings(NamedTuple):
    """The components that a visitor sets before a run, in the order of `VisualiseRequest`."""

    model: gr.Dropdown
    subject: gr.Radio
    target: gr.Dropdown
    layer: gr.Dropdown
    channel: gr.Number
    start: gr.Radio
    picture: Any
    steps: gr.Slider
    octaves: gr.Slider
    smoothness: gr.Slider
    pull: gr.Slider
    seed: gr.Number


class Results(NamedTuple):
    """The components that show a result."""

    image: gr.Image
    status: gr.Markdown
    own: gr.Label
    other: gr.Label
    files: list[gr.DownloadButton]


class VisualiseRequest(NamedTuple):
    """What a visitor asks for: the values of `Settings`.

    `subject`: CLASS or CHANNEL. `start`: NOISE or PICTURE. `path`: the file of that picture.
    """

    model: str
    subject: str
    target: str
    layer: str | None
    channel: int
    start: str
    path: str | None
    steps: int
    octaves: int
    smoothness: float
    pull: float
    seed: int


def build(session: gr.State, tab: gr.Tab) -> None:
    """Lay out the tab inside its context and bind its events."""
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            settings, channel_row = lay_out_settings()
            with gr.Row():
                start = controls.run_button("Visualise", "paint")
                stop = controls.stop_button("dream-stop")
        with gr.Column(scale=6, min_width=320):
            results = lay_out_results()

    tab.select(controls.update_tab, [session, settings.model], [settings.model, settings.picture], **INSTANT)
    bind_settings(session, settings, channel_row, results.status)
    start.click(
        run_visualisation, [session, *settings], [*results[:-1], stop], **LONG_RUN, show_progress_on=results.status
    ).then(prepare_downloads, session, results.files, **FILE_RUN)
    controls.bind_stop(stop, session, VisualiseState)


def lay_out_settings() -> tuple[Settings, gr.Row]:
    """The settings, and the row of the layer and the channel, hidden until a channel is chosen."""
    model = controls.model_dropdown("dream-model")
    subject = gr.Radio([CLASS, CHANNEL], value=CLASS, label="What to visualise", elem_id="dream-what")
    target = gr.Dropdown(
        list(load(DEFAULT).labels), value=FIRST_CLASS, label="Class", elem_id="dream-target", allow_custom_value=True
    )
    with gr.Row(visible=False) as channel_row:
        layer = gr.Dropdown([], label="Layer", elem_id="dream-layer", min_width=230)
        channel = gr.Number(
            0, label="Channel", precision=0, minimum=0, maximum=100_000, elem_id="dream-channel", min_width=100
        )
    start = gr.Radio([NOISE, PICTURE], value=NOISE, label="Start image", elem_id="dream-begin")
    picture = controls.picture_box("dream-picture", height=220, visible=False)
    small: dict[str, Any] = {"min_width": 150, "buttons": []}
    with gr.Accordion("More: steps, weights, seed", open=False, elem_id="dream-more"):
        with gr.Row():
            steps = gr.Slider(8, 256, STEPS, step=8, label="Steps", elem_id="dream-steps", **small)
            octaves = gr.Slider(
                1,
                4,
                OCTAVES,
                step=1,
                label="Octaves",
                info="stages from coarse to fine",
                elem_id="dream-octaves",
                **small,
            )
        with gr.Row():
            smoothness = gr.Slider(
                0, 20, SMOOTHNESS, step=0.5, label="Total variation weight", info="higher: smoother",
                elem_id="dream-smoothness", **small,
            )  # fmt: skip
            pull = gr.Slider(
                0,
                100,
                0,
                step=1,
                label="Start image weight",
                info="higher: closer to it",
                elem_id="dream-pull",
                **small,
            )
            seed = gr.Number(
                0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, elem_id="dream-seed", min_width=80
            )
    settings = Settings(model, subject, target, layer, channel, start, picture, steps, octaves, smoothness, pull, seed)
    return settings, channel_row


def lay_out_results() -> Results:
    """The picture, the status, what two networks predict for it, and the files."""
    image = gr.Image(
        str(EXAMPLE), label="Feature visualisation", format="png", interactive=False, height=470, elem_id="dream",
        buttons=["fullscreen"],
    )  # fmt: skip
    status = gr.Markdown(READY, elem_id="dream-status")
    top: dict[str, Any] = {"num_top_classes": 3, "show_heading": False, "min_width": 200}
    with gr.Row():
        own = gr.Label(label="Prediction of this network", elem_id="dream-own", **top)
        other = gr.Label(label="Prediction of another network", elem_id="dream-other", **top)
    with gr.Row(elem_id="dream-files"):
        files = controls.download_buttons("dream", {"png": "Picture (PNG)", "webp": "Animation (WebP)"}, min_width=120)
    return Results(image, status, own, other, files)


def bind_settings(session: gr.State, settings: Settings, channel_row: gr.Row, status: gr.Markdown) -> None:
    """Let the settings follow the chosen model, subject and start image."""
    settings.picture.input(controls.set_picture, [session, settings.picture], **INSTANT)
    settings.subject.input(show_subject, settings.subject, [settings.target, channel_row], **INSTANT)
    gr.on(
        [settings.subject.input, settings.model.input], list_layers,
        [session, settings.model, settings.subject, settings.layer], [settings.layer, status], **FILE_RUN,
    )  # fmt: skip
    settings.model.input(list_classes, [session, settings.model, settings.target], settings.target, **INSTANT)
    settings.start.input(lambda start: gr.Image(visible=start == PICTURE), settings.start, settings.picture, **INSTANT)


def show_subject(subject: str) -> tuple[gr.Dropdown, gr.Row]:
    """Show the classes, or the layers and channels."""
    return gr.Dropdown(visible=subject == CLASS), gr.Row(visible=subject == CHANNEL)


def list_classes(session: Session, model: str, target: str) -> gr.Dropdown:
    """The classes of a model. The chosen class stays if the model has it."""
    labels = controls.known_classifier(session, model).labels
    return gr.Dropdown(list(labels), value=target if target in labels else labels[0])


def list_layers(session: Session, model: str, subject: str, layer: str | None) -> tuple[Any, Any]:
    """The layers of a model, if a channel is to be visualised, and the status. The chosen layer stays if there is one."""
    if subject != CHANNEL:
        return gr.skip(), gr.skip()
    try:
        channels = session.classifier(model).channels()
    except UserError as error:
        return gr.skip(), f"⚠️ {error}"
    names = [(f"{name} ({count} channels)", name) for name, count in channels.items()]
    return gr.Dropdown(names, value=layer if layer in channels else list(channels)[len(channels) // 2]), gr.skip()


def run_visualisation(session: Session, *values: Any) -> Iterator[tuple[Any, ...]]:
    """Optimise the picture until it ends, is stopped, or a later run starts. Shows every frame; the last one stays.

    `values`: those of VisualiseRequest.
    """
    request = VisualiseRequest(*values)
    state = session.state(VisualiseState)
    hide_stop = gr.Button(visible=False)
    with state.runs.turn() as superseded:
        try:
            start = screen.prepare_picture(session, request.path) if request.start == PICTURE else None
            is_channel = request.subject == CHANNEL
            if is_channel and not request.layer:
                raise UserError("Choose a layer first.")
            yield (
                gr.skip(),
                f"Loading {controls.model_title(request.model)} ...",
                None,
                None,
                gr.Button(visible=True),
            )
            classifier = session.classifier(request.model)
            state.frames, state.result = [], None
            for result in stream_visualisation(
                classifier, int(request.channel) if is_channel else request.target, start,
                layer=(request.layer or "") if is_channel else "", steps=int(request.steps), octaves=int(request.octaves),
                smoothness=request.smoothness, pull=request.pull, seed=int(request.seed), every=STEPS_PER_FRAME,
            ):  # fmt: skip
                if superseded():
                    return
                state.result = result
                state.frames.append(result.pixels)
                status = describe_result(result, is_channel)
                own = {prediction.label: prediction.probability for prediction in result.top}
                if state.runs.stop_requested:
                    yield result.pixels, f"Stopped. {status}", own, predict_with_other(result), hide_stop
                    return
                bar = controls.progress_bar(result.step / result.steps)
                yield result.pixels, f"{bar}{status}", own, gr.skip(), gr.skip()
            notes = start.notes if start else ()
            yield gr.skip(), " ".join([status, *notes]), gr.skip(), predict_with_other(result), hide_stop
        except Stopped as stop:
            last = state.result
            status = f"{stop} {describe_result(last, request.subject == CHANNEL)}" if last else str(stop)
            yield gr.skip(), status, gr.skip(), predict_with_other(last) if last else gr.skip(), hide_stop
        except UserError as error:
            yield gr.skip(), controls.warn(error), gr.skip(), gr.skip(), hide_stop


def describe_result(result: FeatureVisualisation, is_channel: bool) -> str:
    """How far a run is, and the score of its picture."""
    score = f"mean activation {result.score:.2f}" if is_channel else f"probability {result.score:.1%}"
    return f"**{plain(result.goal)}**: {score}. Step {result.step} of {result.steps}, {result.seconds:.0f} s."


def predict_with_other(result: FeatureVisualisation) -> dict[str, float]:
    """What the other embedded network predicts.

    It took no part in the optimisation, so its prediction tells whether the picture really shows the class.
    """
    other = next(name for name, model in MODELS.items() if model.embedded and name != result.model)
    return {prediction.label: prediction.probability for prediction in load(other).predict(result.pixels)}


def prepare_downloads(session: Session) -> list[gr.DownloadButton]:
    """The files behind the download buttons: the last picture, and an animation of all frames."""
    state = session.state(VisualiseState)
    if state.result is None:
        return controls.disable_downloads(2)
    stem = state.result.goal.replace("/", "-")
    png, webp = session.file(f"{stem}.png"), session.file(f"{stem}.webp")
    write_atomically(png, cv2.imencode(".png", state.result.pixels[..., ::-1])[1].tobytes())
    write_atomically(webp, encode_animation(state.frames))
    return controls.offer_downloads([png, webp])
