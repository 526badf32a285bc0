"""The Stress tab: attack or corrupt the picture until the classifier is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import gradio as gr
import numpy as np

from core.corruptions import CORRUPTIONS
from core.errors import UserError
from core.files import write_atomically
from core.images import shrink
from core.options import MAX_SEED
from core.stopping import Stopped
from explain import explain
from explain.registry import default_method
from explain.render import overlay
from models import Classifier
from robustness.adversarial import amplified_difference, stream_attack
from robustness.attack_methods import ATTACKS
from robustness.corruption_curves import CorruptionCurve, corruption_curves
from robustness.defences import run_defences
from robustness.minimal import stream_minimal_perturbation
from robustness.problem import AttackResult
from ui import controls, screen
from ui.plain_text import plain
from ui.runs import FILE_RUN, INSTANT, LONG_RUN, Runs, stoppable
from ui.session import Session
from ui.stress_results import (
    describe_curves,
    describe_result,
    describe_search,
    render_card,
    render_cards,
    render_defences,
)  # fmt: skip

ANY_OTHER = "any other class"
FIRST_METHOD = next(iter(ATTACKS))
SCALE = 10  # the difference is shown so many times as large
VIEW = 640  # pixels of the longer side of overlays and corrupted pictures; an attacked picture is never scaled
UNITS = {"linf": "largest change of a pixel value (0 to 255)", "l2": "Euclidean norm, pixel values 0 to 1"}
EPSILONS = {"linf": (1, 32, 4, 1), "l2": (0.1, 20, 3, 0.1)}  # minimum, maximum, default and step of the slider
READY = "Small changes can make the network predict another class. Press **Adversarial attack** to see such changes."


@dataclass
class StressState:
    """What this tab keeps for a visitor: the runs, the file of the picture, and the last attack on it."""

    runs: Runs = field(default_factory=Runs)
    path: str = ""
    result: AttackResult | None = None


class Settings(NamedTuple):
    """The components that a visitor sets before a run."""

    model: gr.Dropdown
    target: gr.Dropdown
    method: gr.Dropdown
    norm: gr.Dropdown
    epsilon: gr.Slider
    seed: gr.Number
    note: gr.Markdown


class Results(NamedTuple):
    """The components that show an attack. `pictures`: in the order of `render_result`."""

    box: gr.Column
    pictures: list[Any]
    difference: gr.Image
    scale: gr.Slider
    files: list[gr.DownloadButton]


class AttackRequest(NamedTuple):
    """What a visitor asks for: the values of the inputs of a run, in their order.

    `target`: a label or ANY_OTHER. `scale`: how many times as large the difference is shown.
    """

    path: str | None
    model: str
    target: str
    method: str
    norm: str
    epsilon: float
    seed: int
    scale: float

    @property
    def target_class(self) -> str | None:
        """The target class, None for any class but the predicted one."""
        return None if self.target == ANY_OTHER else self.target


def build(session: gr.State, tab: gr.Tab) -> None:
    """Lay out the tab inside its context and bind its events."""
    with gr.Row():
        picture = controls.picture_box("stress-picture", height=250, min_width=300, scale=3)
        with gr.Column(scale=6, min_width=320):
            settings = lay_out_settings()
            with gr.Row(elem_id="stress-run"):
                attack = controls.run_button("Adversarial attack", "attack")
                minimal = gr.Button("Find the minimal perturbation", min_width=150, elem_id="minimal")
                corruptions = gr.Button("Test corruptions", min_width=110, elem_id="wear")
                stop = controls.stop_button("stress-stop")
            status = gr.Markdown(READY, elem_id="stress-status")
    results = lay_out_results()
    cards = gr.HTML(elem_id="worn")

    tab.select(controls.update_tab, [session, settings.model], [settings.model, picture], **INSTANT)
    picture.input(controls.set_picture, [session, picture], **INSTANT)
    bind_settings(session, settings)
    long_run = {**LONG_RUN, "show_progress_on": status}
    inputs = [session, picture, *settings[:-1], results.scale]
    outputs = [status, stop, results.box, *results.pictures]
    downloads = {"fn": prepare_downloads, "inputs": session, "outputs": results.files, **FILE_RUN}
    attack.click(run_attack, inputs, outputs, **long_run).then(**downloads)
    minimal.click(run_search, inputs, outputs, **long_run).then(**downloads)
    corruptions.click(run_corruptions, inputs[:3], [status, stop, cards], **long_run)
    controls.bind_stop(stop, session, StressState)
    results.scale.input(scale_difference, [session, results.scale], results.difference, **INSTANT)


def lay_out_settings() -> Settings:
    """The model, the target class and the attack."""
    with gr.Row():
        model = controls.model_dropdown("stress-model", min_width=160)
        target = controls.class_dropdown("stress-target", ANY_OTHER, min_width=180, allow_custom_value=True)
        method = gr.Dropdown(
            [(attack.title, name) for name, attack in ATTACKS.items()], value=FIRST_METHOD, label="Attack method",
            elem_id="stress-method", min_width=140,
        )  # fmt: skip
    with gr.Row():
        norm = gr.Dropdown(
            list(ATTACKS[FIRST_METHOD].norms), value="linf", label="Norm", elem_id="norm", min_width=90, scale=1
        )
        epsilon = epsilon_slider("linf")
        seed = gr.Number(
            0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, elem_id="stress-seed", min_width=80, scale=1
        )
    note = gr.Markdown(describe_method(FIRST_METHOD), elem_classes="method-note", elem_id="stress-note")
    return Settings(model, target, method, norm, epsilon, seed, note)


def lay_out_results() -> Results:
    """The original, the attacked picture and their difference, side by side; hidden until there is an attack."""
    lossless: dict[str, Any] = {
        "format": "png",
        "interactive": False,
        "buttons": ["fullscreen"],
    }  # WebP undoes an attack
    jpeg = {**lossless, "format": "jpeg"}
    top: dict[str, Any] = {"num_top_classes": 3, "show_label": False, "show_heading": False}
    with gr.Column(visible=False, elem_id="attacked-all") as box, gr.Row():
        with gr.Column(min_width=240):
            original = gr.Image(label="Original", elem_id="original", **lossless)
            before = gr.Label(elem_id="before", **top)
            heat_before = gr.Image(label="Heatmap of the original", elem_id="heat-before", **jpeg)
        with gr.Column(min_width=240):
            attacked = gr.Image(label="Attacked", elem_id="attacked", **lossless)
            after = gr.Label(elem_id="after", **top)
            heat_after = gr.Image(label="Heatmap after the attack", elem_id="heat-after", **jpeg)
        with gr.Column(min_width=240):
            difference = gr.Image(label="Difference", elem_id="difference", **lossless)
            scale = gr.Slider(1, 50, SCALE, step=1, label="Difference, multiplied by", elem_id="times", buttons=[])
            defences = gr.HTML(elem_id="undone")
            with gr.Row(elem_id="stress-files"):
                files = controls.download_buttons(
                    "stress", {"png": "Attacked (PNG)", "json": "Data (JSON)"}, min_width=120
                )
    pictures = [original, before, heat_before, attacked, after, heat_after, difference, defences]
    return Results(box, pictures, difference, scale, files)


def bind_settings(session: gr.State, settings: Settings) -> None:
    """Let the settings follow the chosen model, method and norm."""
    settings.model.input(list_targets, [session, settings.model, settings.target], settings.target, **INSTANT)
    settings.method.input(update_method, settings.method, [settings.norm, settings.epsilon, settings.note], **INSTANT)
    settings.norm.input(epsilon_slider, settings.norm, settings.epsilon, **INSTANT)


def epsilon_slider(norm: str) -> gr.Slider:
    """The slider of the perturbation budget in a norm."""
    low, high, value, step = EPSILONS[norm]
    return gr.Slider(
        low, high, value, step=step, label="Perturbation budget (epsilon)", info=UNITS[norm], elem_id="epsilon",
        min_width=200, scale=3, buttons=[],
    )  # fmt: skip


def describe_method(method: str) -> str:
    """One line about an attack method."""
    attack = ATTACKS[method]
    return f"**{attack.title}**: {attack.summary} {attack.paper}."


def update_method(method: str) -> tuple[gr.Dropdown, gr.Slider, str]:
    """The norms of an attack method, the slider of its budget, and one line about it."""
    norms = ATTACKS[method].norms
    return gr.Dropdown(list(norms), value=norms[0]), epsilon_slider(norms[0]), describe_method(method)


def list_targets(session: Session, model: str, target: str) -> gr.Dropdown:
    """The classes of a model that can be the target."""
    return controls.update_classes(session, model, target, ANY_OTHER)


# --- Attack ------------------------------------------------------------------

Steps = Callable[[Classifier, np.ndarray], Iterator[tuple[str, AttackResult | None]]]
"""An attack in steps: each step gives a line for the status and the result so far, if there is one."""


def run_attack(session: Session, *values: Any) -> Iterator[tuple[Any, ...]]:
    """Attack the picture, step by step. `values`: those of AttackRequest."""
    request = AttackRequest(*values)

    def attack_steps(classifier: Classifier, pixels: np.ndarray) -> Iterator[tuple[str, AttackResult]]:
        for result in stream_attack(
            pixels, classifier, request.method, request.target_class,
            norm=request.norm, epsilon=request.epsilon, seed=int(request.seed),
        ):  # fmt: skip
            prediction = result.after[0]
            yield (
                f"Step {result.steps}: classified as **{plain(prediction.label)}**, {prediction.probability:.1%} ...",
                result,
            )

    yield from show_steps(session, request, attack_steps)


def run_search(session: Session, *values: Any) -> Iterator[tuple[Any, ...]]:
    """Find the minimal perturbation. `values`: those of AttackRequest; its epsilon is not used."""
    request = AttackRequest(*values)

    def search_steps(classifier: Classifier, pixels: np.ndarray) -> Iterator[tuple[str, AttackResult | None]]:
        for search in stream_minimal_perturbation(
            pixels, classifier, request.target_class,
            norm=request.norm, method=request.method, seed=int(request.seed),
        ):  # fmt: skip
            yield describe_search(search), search.attack

    yield from show_steps(session, request, search_steps, is_search=True)


def show_steps(
    session: Session, request: AttackRequest, steps: Steps, is_search: bool = False
) -> Iterator[tuple[Any, ...]]:
    """Run an attack until it ends, is stopped, or a later run starts. Then show its result.

    Args:
        session: the visitor.
        request: what the visitor asks for.
        steps: the attack, for a classifier and the pixels of the picture.
        is_search: whether the last status line of `steps` is part of the result.
    """
    state = session.state(StressState)
    hide_stop, unchanged = gr.Button(visible=False), (gr.skip(),) * 9
    with state.runs.turn() as superseded:
        try:
            picture = screen.prepare_picture(session, request.path)
            yield f"Loading {controls.model_title(request.model)} ...", gr.Button(visible=True), *unchanged
            classifier = session.classifier(request.model)
            result: AttackResult | None = None
            message, prefix = "", ""
            try:
                interruptible = stoppable(classifier, lambda: state.runs.stop_requested or superseded())
                for message, latest in steps(interruptible, picture.pixels):
                    result = latest or result
                    yield message, gr.skip(), *unchanged
            except Stopped as stop:
                if superseded():
                    return
                prefix = f"{stop} "
            if result is None:
                failure = "No tested perturbation changes the class. " if is_search else ""
                yield f"{prefix}{failure}{message}", hide_stop, *unchanged
                return
            state.path, state.result = request.path or "", result
            sentences = [prefix + describe_result(result), *([message] if is_search else []), *picture.notes]
            views = render_result(result, classifier, request.scale)
            yield " ".join(sentences), hide_stop, gr.Column(visible=True), *views
        except UserError as error:
            yield controls.warn(error), hide_stop, *unchanged


def render_result(result: AttackResult, classifier: Classifier, scale: float) -> tuple[Any, ...]:
    """The values of `Results.pictures`: for both pictures the pixels, the top classes and the heatmap; then the
    difference and the defences.
    """
    columns = []
    for pixels, top in ((result.original, result.before), (result.attacked, result.after)):
        heatmap = explain(pixels, classifier, default_method(classifier)).heatmap
        probabilities = {prediction.label: prediction.probability for prediction in top}
        columns += [pixels, probabilities, shrink(overlay(pixels, heatmap), VIEW)]
    defences = list(run_defences(result, classifier)) if result.success else []
    return *columns, amplified_difference(result, scale), render_defences(defences)


def scale_difference(session: Session, scale: float) -> Any:
    """The difference, `scale` times as large."""
    result = session.state(StressState).result
    return amplified_difference(result, scale) if result else gr.skip()


def prepare_downloads(session: Session) -> list[gr.DownloadButton]:
    """The files behind the download buttons: the attacked picture as a PNG, which is lossless, and the facts."""
    state = session.state(StressState)
    if state.result is None:
        return controls.disable_downloads(2)
    stem = f"{Path(state.path).stem}.{state.result.method}"
    png, facts = session.file(f"{stem}.png"), session.file(f"{stem}.json")
    write_atomically(png, cv2.imencode(".png", state.result.attacked[..., ::-1])[1].tobytes())
    write_atomically(facts, json.dumps(state.result.to_dict(), indent=2).encode())
    return controls.offer_downloads([png, facts])


# --- Corruptions -------------------------------------------------------------


def run_corruptions(session: Session, path: str | None, model: str) -> Iterator[tuple[Any, ...]]:
    """Test the picture under every corruption, at increasing severity. A card appears as soon as its curve is complete."""
    state = session.state(StressState)
    hide_stop = gr.Button(visible=False)
    with state.runs.turn() as superseded:
        try:
            picture = screen.prepare_picture(session, path)
            yield f"Loading {controls.model_title(model)} ...", gr.Button(visible=True), ""
            classifier = stoppable(session.classifier(model), lambda: state.runs.stop_requested or superseded())
            pixels = shrink(picture.pixels, VIEW)
            curves: dict[str, CorruptionCurve] = {}
            cards: list[str] = []
            prefix = ""
            try:
                for curve in corruption_curves(pixels, classifier):
                    if curve.severities[-1] == 1:
                        curves[curve.name] = curve
                        cards.append(render_card(pixels, curve))
                        bar = controls.progress_bar(len(curves) / len(CORRUPTIONS))
                        yield f"{bar}{curve.name} ...", gr.skip(), render_cards(cards)
            except Stopped as stop:
                if superseded():
                    return
                prefix = f"{stop} "
            yield " ".join([prefix + describe_curves(curves), *picture.notes]), hide_stop, gr.skip()
        except UserError as error:
            yield controls.warn(error), hide_stop, gr.skip()
