"""A small network that recognises a thumbnail by its badge only. It is therefore known where its evidence is.

    python -m tests.cue_network

trains it again in about a minute, on rendered thumbnails. There the badge is independent of the channel, and its position
is independent of the badge. The weights, `cue_network.npz`, are a few tens of thousands of float16 numbers.
"""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from models.classifier import Classifier
from models.from_keras import from_keras

WEIGHTS = Path(__file__).with_name("cue_network.npz")
CHANNELS = ("orbit", "crumb", "bolt")
LABELS = (*CHANNELS, "none")  # without "none", one channel would mean "no badge", without evidence
SIZE = (126, 224)
CELL = 8  # pixels per cell of its last features, per side


def network() -> Any:
    """Four convolutions, global average pooling, one dense layer."""
    import keras

    pixels = keras.Input((*SIZE, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(pixels)
    for filters, kernel in ((16, 5), (32, 3), (48, 3)):
        x = keras.layers.Conv2D(filters, kernel, 2, "same", activation="relu")(x)
    sparse = keras.regularizers.L1(3e-6)  # keeps the features at zero where there is no badge
    x = keras.layers.Conv2D(48, 3, 1, "same", activation="relu", activity_regularizer=sparse)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, keras.layers.Dense(len(LABELS), activation="softmax")(x))


@cache
def classifier() -> Classifier:
    """The trained network as a classifier."""
    model = network()
    with np.load(WEIGHTS, allow_pickle=False) as arrays:
        model.set_weights([arrays[name].astype(np.float32) for name in arrays.files])
    return from_keras(model, LABELS, name="cue")


def to_network_size(pixels: np.ndarray) -> np.ndarray:
    """A thumbnail, resized to the input of the network."""
    return cv2.resize(pixels, SIZE[::-1], interpolation=cv2.INTER_AREA)


def train(steps: int = 1600, scenes: int = 4, seed: int = 0) -> Any:
    """Train on each scene with each badge, shifted at random so that the corner tells nothing about the channel."""
    import keras

    from samples.render import render

    pictures, labels = [], []
    for number, channel, cue in itertools.product(range(scenes), CHANNELS, CHANNELS):
        thumbnail = render(channel, 200 + number, cue=cue)
        picture, badge = to_network_size(thumbnail.image), to_network_size(thumbnail.mask.astype(np.uint8) * 255)
        pictures += [picture, cv2.inpaint(picture, badge, 3, cv2.INPAINT_TELEA)]
        labels += [LABELS.index(cue), LABELS.index("none")]
    keras.utils.set_random_seed(seed)
    model = network()
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(seed)
    for step in range(steps):
        chosen = rng.permutation(len(pictures))[:24]
        shifted = [np.roll(pictures[i], (rng.integers(-30, 31), rng.integers(-60, 61)), (0, 1)) for i in chosen]
        loss, accuracy = model.train_on_batch(np.array(shifted, np.float32), np.array(labels)[chosen])
        if step % 50 == 49:
            print(f"step {step + 1}: loss {loss:.3f}, accuracy {accuracy:.2f}", flush=True)
            model.reset_metrics()
    return model


if __name__ == "__main__":
    np.savez_compressed(WEIGHTS, *[weights.astype(np.float16) for weights in train().get_weights()])
