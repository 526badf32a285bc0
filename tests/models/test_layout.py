"""A map of features is used for heatmaps only if its cells lie where the pixels lie that change them."""

from __future__ import annotations

import cv2
import keras
import numpy as np
import pytest
from keras import layers, ops

from models.from_keras import split_model, take_apart
from models.layout import is_map_of_picture

CANVAS = (32, 48)


def cells(batch, height=8, width=12):
    """The mean colour of each cell."""
    return np.stack([cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA) for canvas in batch])


def flattened(batch):
    return cells(batch).reshape(len(batch), -1)


MIXER = np.random.default_rng(3).normal(size=(8 * 12 * 3, 8 * 12 * 3)).astype(np.float32)
IN_PLACE = {
    "cells": cells,
    "two by two": lambda batch: cells(batch, 2, 2),
    "pixels": lambda batch: batch,
    "the whole picture in every cell": lambda batch: cells(batch) + 5 * batch.mean((1, 2), keepdims=True),
    "wide fields": lambda batch: np.stack([cv2.GaussianBlur(canvas, (0, 0), 8) for canvas in batch])[:, 2::4, 2::4],
    "no padding": lambda batch: np.stack([cv2.blur(canvas, (7, 7)) for canvas in batch])[:, 3:-3:2, 3:-3:2],
    "reacts to bright red only": lambda batch: np.maximum(cells(batch)[..., :1] - 180, 0),
    "reacts to nothing": lambda batch: cells(batch) * 0,
}
OUT_OF_PLACE = {
    "axes exchanged": lambda batch: cells(batch).transpose(0, 2, 1, 3),
    "mirrored": lambda batch: cells(batch)[:, :, ::-1],
    "channels first": lambda batch: cells(batch).transpose(0, 3, 1, 2),
    "rows folded": lambda batch: cells(batch).reshape(len(batch), 4, 24, 3),
    "rows cut": lambda batch: cells(batch).reshape(len(batch), 16, 6, 3),
    "the centre": lambda batch: cells(batch[:, 6:26, 8:40]),
    "the upper half": lambda batch: cells(batch[:, :16]),
    "with bars": lambda batch: np.pad(cells(batch), ((0, 0), (0, 0), (6, 6), (0, 0))),
    "heads and tokens": lambda batch: cells(batch).reshape(len(batch), 1, 96, 3).repeat(4, 1),
    "behind a dense layer": lambda batch: (flattened(batch) @ MIXER).reshape(len(batch), 8, 12, 3),
    "one token behind": lambda batch: np.roll(flattened(batch), 3, 1).reshape(len(batch), 8, 12, 3),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_map_of_the_picture(name):
    assert is_map_of_picture(IN_PLACE[name], CANVAS)


@pytest.mark.parametrize("name", OUT_OF_PLACE)
def test_not_a_map_of_the_picture(name):
    assert not is_map_of_picture(OUT_OF_PLACE[name], CANVAS)


def conv(filters, strides, name):
    return layers.Conv2D(filters, 3, strides, "same", activation="relu", kernel_initializer="he_normal", name=name)


def attention(x):
    """Attention without a path around it: every token is a mixture of all others. (N, heads, tokens, 8) looks like a map."""
    tokens = layers.Reshape((64, 16))(x)
    query, key, value = (
        ops.transpose(ops.reshape(layers.Dense(16)(tokens), (-1, 64, 2, 8)), (0, 2, 1, 3)) for _ in range(3)
    )
    mixed = ops.matmul(ops.softmax(ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))), value)
    return layers.GlobalAveragePooling1D()(layers.Reshape((64, 16))(ops.transpose(mixed, (0, 2, 1, 3))))


def behind_dense(x):
    x = layers.Reshape((4, 4, 8))(layers.Dense(128, activation="relu")(layers.Flatten()(x)))
    return layers.Flatten()(conv(8, 1, "late")(x))


def folded(x):
    return layers.GlobalAveragePooling2D()(conv(8, 1, "late")(layers.Reshape((4, 16, 16))(x)))


def exchanged(x):
    return layers.GlobalAveragePooling2D()(layers.Permute((2, 1, 3))(x))


@pytest.mark.parametrize("head", [exchanged, behind_dense, folded, attention])
def test_the_layer_before_is_taken(head):
    keras.utils.set_random_seed(3)
    pixels = keras.Input((32, 32, 3))
    network, _, _ = split_model(keras.Model(pixels, layers.Dense(3)(head(conv(16, 4, "map")(pixels / 255.0)))))
    assert network.outputs[0]._keras_history.operation.name == "map"


@pytest.mark.parametrize("inside", [
    layers.CenterCrop(16, 32), layers.Resizing(32, 32, crop_to_aspect_ratio=True),
    layers.Resizing(32, 32, pad_to_aspect_ratio=True), layers.Permute((2, 1, 3)),
])  # fmt: skip
def test_a_map_of_something_else_is_refused(inside):
    keras.utils.set_random_seed(3)
    pixels = keras.Input((32, 64, 3))
    x = layers.GlobalAveragePooling2D()(conv(8, 2, "last")(conv(8, 2, "first")(inside(pixels))))
    parts = take_apart(keras.Model(pixels, layers.Dense(3)(x)))
    assert parts.capabilities == {"gradient", "guided"}
    assert "not laid out like the picture" in parts.notes[0]
