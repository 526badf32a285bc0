"""The tank story of the Audit tab: a classifier learns a shortcut, and five steps show how to find it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import gradio as gr
import numpy as np

from audit.auditor import Auditor
from audit.planted import HELD_OUT_SCENES, TRAINING_SCENES, make_auditor, planted_scenes, train_on_scenes
from audit.report import picture_tile
from audit.run import measure_shards
from audit.summarise import summarise
from core.stopping import Stopped
from models import Classifier
from samples.shortcuts import Scene
from ui.runs import Runs
from ui.session import Session

STORY, MIXED = "Tank story", "Tank story (mixed grounds)"  # names of the two models
STEPS = ("Train", "Test", "Look at the heatmaps", "Exchange the backgrounds", "Train again")
TEXTS = (
    "This is an old story. An army trains a network to find tanks. It makes no mistakes in the tests, but it fails in use. "
    "The reason: all tanks were photographed on cloudy days, so the network learned the weather. The next five steps show "
    "how this happens and how to detect it.",
    "The training set has {0} pictures of tanks and {0} pictures of jeeps. All tanks stand in the woods, all jeeps in the "
    "desert. The network can use this shortcut. The trained network is in the list of models as “{1}”.",
    "The network has not seen these pictures, but they have the same shortcut. {0} are classified correctly. This test does "
    "not show the problem.",
    "The heatmaps show which regions support the class. {0} of the heat lies on the ground and {1} on the vehicle, which "
    "covers {2} of the picture. One heatmap alone does not show the problem. All heatmaps together do.",
    "Each vehicle now stands on a ground of the other class. {0} of these pictures are classified correctly. With another "
    "ground of the same class, {1} are. The network has learned the ground, not the vehicle.",
    "The new training set has tanks and jeeps on both grounds. {0} of the new test pictures are classified correctly. With a "
    "ground of the other class, {1} are. {2}",
)
"""The introduction, then the text of each step, with places for its figures."""

SHOWN = (*range(4), *range(HELD_OUT_SCENES, HELD_OUT_SCENES + 4))  # held-out scenes on the page, four of each class

Tiles = list[tuple[np.ndarray, str]]  # pictures with their captions
StepResult = tuple[tuple[object, ...], Tiles]  # the figures in the text of a step, and its pictures


@dataclass
class StoryState:
    """How far a visitor is in the story. `step`: 0 before the first one."""

    runs: Runs = field(default_factory=Runs)
    step: int = 0
    classifier: Classifier | None = None


def render_step(step: int, *figures: object) -> str:
    """The heading, the list of steps, and the text of one step (0 for the introduction)."""
    names = " → ".join(f"**{name}**" if number == step else name for number, name in enumerate(STEPS, 1))
    return f"### The tank story\n{names if step else ''}\n\n{TEXTS[step].format(*figures)}"


def show_opening(session: Session) -> Any:
    """Two pictures of each class, before the story starts."""
    return gr.skip() if session.state(StoryState).step else gr.Gallery(opening_tiles(), visible=True)


@cache
def opening_tiles() -> Tiles:
    """Rendered once for all visitors, because that takes half a second."""
    return [(scene.image, scene.vehicle) for scene in planted_scenes("ground", 1.0, 2, 0)]


def play_next_step(session: Session) -> Iterator[tuple[Any, ...]]:
    """The next step of the story: its text, its pictures, and the button of the step after it."""
    state = session.state(StoryState)
    with state.runs.turn() as superseded:
        step = state.step % len(STEPS) + 1
        yield f"### The tank story\n{STEPS[step - 1]} ...", gr.skip(), gr.Button(interactive=False)
        try:
            figures, tiles = run_step(session, step)
        except Stopped as stop:
            yield f"### The tank story\n{stop} Press the button again.", gr.skip(), gr.Button(interactive=True)
            return
        if superseded():
            return
        state.step = step
        next_step = "Start again" if step == len(STEPS) else f"Next: {STEPS[step].lower()}"
        yield render_step(step, *figures), gr.Gallery(tiles, visible=True), gr.Button(next_step, interactive=True)


def run_step(session: Session, step: int) -> StepResult:
    """The figures and the pictures of one step, from 1."""
    state = session.state(StoryState)
    if step == 1 or state.classifier is None:
        scenes = planted_scenes("ground", 1.0, TRAINING_SCENES, 0)
        state.classifier = session.models[STORY] = train_on_scenes(scenes, STORY)
    if step == len(STEPS):
        return train_again(session)
    actions = (show_training_set, measure_accuracy, show_heatmaps, exchange_backgrounds)
    return actions[step - 1](state.classifier)


def show_training_set(_: Classifier) -> StepResult:
    """Four pictures of each class."""
    scenes = planted_scenes("ground", 1.0, TRAINING_SCENES, 0)
    shown = [*scenes[:4], *scenes[TRAINING_SCENES : TRAINING_SCENES + 4]]
    return (TRAINING_SCENES, STORY), [(scene.image, scene.vehicle) for scene in shown]


def measure_accuracy(classifier: Classifier) -> StepResult:
    """The share of held-out pictures that are classified correctly."""
    scenes = held_out_scenes()
    predictions = predict_scenes(classifier, scenes)
    accuracy = np.mean([label == scene.vehicle for label, scene in zip(predictions, scenes, strict=True)])
    return (f"{accuracy:.0%}",), [(scenes[index].image, f"predicted: {predictions[index]}") for index in SHOWN]


def show_heatmaps(classifier: Classifier) -> StepResult:
    """The shares of the heat on the ground and on the vehicle, and the share of the picture that the vehicle covers."""
    scenes = held_out_scenes()
    auditor = make_auditor(classifier, scenes, 0)
    rows, _ = auditor.measure(range(len(scenes)))
    heat, area = (float(np.nanmean(rows[name][:, -1])) for name in ("share", "area"))
    tiles = [
        (picture_tile(auditor, index, rows["heat"][index]), f"heatmap of {scenes[index].vehicle}") for index in SHOWN
    ]
    return (f"{1 - heat:.0%}", f"{heat:.0%}", f"{area:.0%}"), tiles


def exchange_backgrounds(classifier: Classifier) -> StepResult:
    """The shares classified correctly on grounds of the other class, and on other grounds of the same class."""
    auditor = make_auditor(classifier, held_out_scenes())
    _, _, other, own = audit_backgrounds(auditor)
    return (f"{other:.0%}", f"{own:.0%}"), exchange_tiles(auditor)


def train_again(session: Session) -> StepResult:
    """The accuracy, the share classified correctly on grounds of the other class, and the verdict, after a training on
    scenes without the shortcut.
    """
    scenes = planted_scenes("ground", 0.5, TRAINING_SCENES, 2)
    classifier = session.models[MIXED] = train_on_scenes(scenes, MIXED)
    auditor = make_auditor(classifier, planted_scenes("ground", 0.5, HELD_OUT_SCENES, 3))
    accuracy, sentence, other, _ = audit_backgrounds(auditor)
    return (f"{accuracy:.0%}", f"{other:.0%}", sentence), exchange_tiles(auditor)


def audit_backgrounds(auditor: Auditor) -> tuple[float, str, float, float]:
    """Audit the pictures.

    Returns the accuracy, the verdict in a sentence, and the shares classified correctly with a background of the other
    class and with another background of the same class.
    """
    audit = summarise(auditor, measure_shards(auditor, size=8))
    backgrounds = [
        next(reliance for reliance in result.reliances if reliance.kind == "background") for result in audit.classes
    ]
    other = float(np.mean([reliance.accuracy_with_other_cue for reliance in backgrounds]))
    own = float(np.mean([reliance.accuracy_with_own_cue for reliance in backgrounds]))
    return audit.accuracy, audit.sentence, other, own


def exchange_tiles(auditor: Auditor) -> Tiles:
    """Two pictures of each class, before and after the exchange of their background."""
    tiles: Tiles = []
    for label in range(2):
        for index in auditor.pick_pictures(label, 2):
            example = auditor.example(index)
            tiles.append((example.before, f"predicted: {example.prediction_before[0]}"))
            tiles.append((example.after, f"predicted: {example.prediction_after[0]}"))
    return tiles


def held_out_scenes() -> list[Scene]:
    """New scenes with the same shortcut as the training set."""
    return planted_scenes("ground", 1.0, HELD_OUT_SCENES, 1)


def predict_scenes(classifier: Classifier, scenes: Sequence[Scene]) -> list[str]:
    """The predicted label of each scene. All scenes have one size."""
    place = classifier.geometry(scenes[0].image.shape[:2]).place
    logits = classifier.forward(np.stack([place(scene.image) for scene in scenes]))[1]
    return [classifier.labels[index] for index in logits.argmax(1)]
