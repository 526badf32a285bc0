"""A small network that can only know a thumbnail by its badge, so that it is known where it looks.

    python -m tests.explain.cue

trains it again, in about a minute: on rendered thumbnails where the badge has nothing to do with the channel, at places
that have nothing to do with the badge. Its weights, `cue.npz`, are a few tens of thousand float16 numbers.
"""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from models.classifier import Classifier

WEIGHTS = Path(__file__).with_name("cue.npz")
CHANNELS = ("orbit", "crumb", "bolt")
LABELS = (*CHANNELS, "none")  # else one channel would be what is left where no badge is seen, and have nothing to show
SIZE = (126, 224)
CELL = 8  # pixels a cell of its last features


def network() -> Any:
    """Four convolutions, global average pooling, one dense layer."""
    import keras

    pixels = keras.Input((*SIZE, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(pixels)
    for filters, kernel in ((16, 5), (32, 3), (48, 3)):
        x = keras.layers.Conv2D(filters, kernel, 2, "same", activation="relu")(x)
    sparse = keras.regularizers.L1(3e-6)  # nothing to say where there is no badge
    x = keras.layers.Conv2D(48, 3, 1, "same", activation="relu", activity_regularizer=sparse)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, keras.layers.Dense(len(LABELS), activation="softmax")(x))


@cache
def classifier() -> Classifier:
    """The trained one."""
    model = network()
    with np.load(WEIGHTS, allow_pickle=False) as arrays:
        model.set_weights([arrays[name].astype(np.float32) for name in arrays.files])
    return Classifier.from_keras(model, LABELS, name="cue")


def small(pixels: np.ndarray) -> np.ndarray:
    """A thumbnail at the network's size."""
    return cv2.resize(pixels, SIZE[::-1], interpolation=cv2.INTER_AREA)


def train(steps: int = 1600, scenes: int = 4, seed: int = 0) -> Any:
    """Each scene with each badge, moved about so that its corner gives nothing away."""
    import keras

    from samples.render import render

    pictures, labels = [], []
    for number, channel, cue in itertools.product(range(scenes), CHANNELS, CHANNELS):
        found = render(channel, 200 + number, cue=cue)
        picture, badge = small(found.image), small(found.mask.astype(np.uint8) * 255)
        pictures += [picture, cv2.inpaint(picture, badge, 3, cv2.INPAINT_TELEA)]
        labels += [LABELS.index(cue), LABELS.index("none")]
    keras.utils.set_random_seed(seed)
    model = network()
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(seed)
    for step in range(steps):
        chosen = rng.permutation(len(pictures))[:24]
        moved = [np.roll(pictures[i], (rng.integers(-30, 31), rng.integers(-60, 61)), (0, 1)) for i in chosen]
        loss, accuracy = model.train_on_batch(np.array(moved, np.float32), np.array(labels)[chosen])
        if step % 50 == 49:
            print(f"step {step + 1}: loss {loss:.3f}, accuracy {accuracy:.2f}", flush=True)
            model.reset_metrics()
    return model


if __name__ == "__main__":
    np.savez_compressed(WEIGHTS, *[weights.astype(np.float16) for weights in train().get_weights()])
