"""Data sets with a planted shortcut, and classifiers trained on them."""

from __future__ import annotations

from functools import cache

import numpy as np

from audit.auditor import Auditor, AuditSettings
from models import DEFAULT, Classifier, load
from models.trained_head import TrainedClassifier
from samples.shortcuts import VEHICLES, Scene, render_scenes
from training.embeddings import embed

SIDE = 224  # the canvas has about SIDE * SIDE pixels
TRAINING_SCENES, HELD_OUT_SCENES = 40, 10  # scenes per class
SAMPLED_SCENES = 10  # scenes per class whose cues are exchanged


def train_on_scenes(scenes: list[Scene], name: str) -> Classifier:
    """A classifier of tanks and jeeps: logistic regression on the embeddings of the default network, without TensorFlow."""
    from sklearn.linear_model import LogisticRegression

    labels = [VEHICLES.index(scene.vehicle) for scene in scenes]
    embeddings = embed(load(DEFAULT), (scene.image for scene in scenes), side=SIDE)
    regression = LogisticRegression(max_iter=500).fit(embeddings, labels)
    weights, bias = (  # half of the single logit for one class, minus half of it for the other
        np.stack([-values, values], -1).astype(np.float32) / 2
        for values in (regression.coef_[0], regression.intercept_[0])
    )
    return TrainedClassifier(load(DEFAULT), [(weights, bias)], VEHICLES, side=SIDE, name=name)


def make_auditor(classifier: Classifier, scenes: list[Scene], sample: int = SAMPLED_SCENES) -> Auditor:
    """An auditor of scenes, with their masks.

    Args:
        classifier: The classifier under test.
        scenes: What it is tested on; best not what it was trained on.
        sample: The number of scenes per class whose cues are exchanged.
    """
    return Auditor(
        classifier,
        [scene.image for scene in scenes],
        [scene.vehicle for scene in scenes],
        subjects=[scene.subject for scene in scenes],
        settings=AuditSettings(sample=sample),
    )


@cache
def planted_scenes(cue: str, correlation: float, count: int, seed: int) -> list[Scene]:
    """Scenes with a planted shortcut, see `samples.shortcuts.render_scenes`. They are rendered once and then kept."""
    return render_scenes(cue, correlation=correlation, count=count, seed=seed)
