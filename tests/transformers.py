"""Small vision transformers, and pictures with planted discs."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import keras
import numpy as np
from keras import layers, ops
from keras.src.applications.convnext import ConvNeXt  # that of keras.applications with sizes of one's own

from models.classifier import Classifier
from models.from_keras import from_keras

SIDE, PATCH, WIDTH = 64, 8, 48
GRID = SIDE // PATCH
DISC_COLOURS = ((200, 60, 60), (60, 60, 200))  # of the two classes


class Position(layers.Layer):
    """Adds a learned vector to each token."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.position = self.add_weight(shape=(1, *shape[1:]), initializer="random_normal", name="position")

    def call(self, tokens: Any) -> Any:
        return tokens + self.position


class ClassToken(layers.Layer):
    """Puts a learned token before the others."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="random_normal", name="token")

    def call(self, tokens: Any) -> Any:
        return ops.concatenate([ops.repeat(self.token, ops.shape(tokens)[0], 0), tokens], 1)


class Patches(layers.Layer):
    """Cuts the picture into patches, as in the example of Keras."""

    def call(self, pixels: Any) -> Any:
        patches = ops.image.extract_patches(pixels, PATCH)
        return ops.reshape(patches, (-1, GRID * GRID, PATCH * PATCH * 3))


class Encoder(layers.Layer):
    """All blocks in one layer, as in Keras Hub."""

    def __init__(self, blocks: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self.blocks = blocks  # of five layers

    def call(self, tokens: Any) -> Any:
        for first, attention, second, up, down in self.blocks:
            normalised = first(tokens)
            tokens = tokens + attention(normalised, normalised)
            tokens = tokens + down(up(second(tokens)))
        return tokens


class Subclassed(keras.Model):
    """The layers of a `vit` with patches by convolution, called in a method of its own."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        embedding = ("embedding", "position", "token")
        self.scaling, self.last, self.dense = model.layers[1], model.get_layer("last"), model.layers[-1]
        self.parts = [layer for layer in model.layers if layer.name in embedding]
        self.encoder = Encoder(blocks_of(model))
        self.has_token = len(self.parts) == 3

    def call(self, pixels: Any) -> Any:
        embedding, *parts = self.parts
        tokens = ops.reshape(embedding(self.scaling(pixels)), (-1, GRID * GRID, WIDTH))
        for part in parts:
            tokens = part(tokens)
        tokens = self.last(self.encoder(tokens))
        return self.dense(tokens[:, 0] if self.has_token else ops.mean(tokens, 1))


def blocks_of(model: Any) -> list[tuple[Any, ...]]:
    """The five layers of each block of a `vit`."""
    kinds = (layers.LayerNormalization, layers.MultiHeadAttention, layers.Dense)
    found = [
        layer for layer in model.layers if isinstance(layer, kinds) and layer.name not in ("projection", "last", "head")
    ]
    return [tuple(found[start : start + 5]) for start in range(0, len(found), 5)]


def vit(
    class_token: bool = False,
    patches: bool = False,
    blocks: int = 3,
    classes: int = 2,
    seed: int = 0,
    pool_all: bool = False,
    dropout: float = 0.0,
) -> Any:
    """A vision transformer with normalisation before attention, as in the examples of Keras.

    `pool_all`: it ends with the mean of all tokens, also with a class token.
    """
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 127.5, -1)(pixels)
    if patches:
        x = layers.Dense(WIDTH, name="projection")(Patches()(x))
    else:
        x = layers.Reshape((GRID * GRID, WIDTH))(layers.Conv2D(WIDTH, PATCH, PATCH, name="embedding")(x))
    x = Position(name="position")(ClassToken(name="token")(x) if class_token else x)
    for block in range(blocks):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, WIDTH // 4, dropout=dropout)(y, y)])
        y = layers.Dense(2 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add(name=f"block{block}")([x, layers.Dense(WIDTH)(y)])
    x = layers.LayerNormalization(name="last")(x)
    x = x[:, 0] if class_token and not pool_all else layers.GlobalAveragePooling1D()(x)
    return keras.Model(pixels, layers.Dense(classes, activation="softmax", name="head")(x), name="vit")


@cache
def transformer() -> Classifier:
    """A `vit` as a classifier."""
    return from_keras(vit(blocks=2))


def in_windows(x: Any, side: int, shift: int = 0) -> Any:
    """Attention inside windows of side * side cells, as in Swin. Maps (N, h, w, C) -> maps of the same shape.

    With a shift, some windows hold cells from two edges of the map, which do not see each other.
    """
    _, height, width, channels = x.shape
    rows, columns = height // side, width // side
    edges = np.add.outer(2 * (np.arange(height) >= height - shift), 1 * (np.arange(width) >= width - shift))
    edges = edges.reshape(rows, side, columns, side).transpose(0, 2, 1, 3).reshape(1, rows * columns, side * side)
    y = ops.roll(layers.LayerNormalization()(x), (-shift, -shift), (1, 2))
    y = ops.transpose(ops.reshape(y, (-1, rows, side, columns, side, channels)), (0, 1, 3, 2, 4, 5))
    y = ops.reshape(y, (-1, rows * columns, side * side, channels))
    attention = layers.MultiHeadAttention(2, channels // 2, attention_axes=2)
    y = attention(y, y, attention_mask=edges[..., None] == edges[..., None, :])
    y = ops.transpose(ops.reshape(y, (-1, rows, columns, side, side, channels)), (0, 1, 3, 2, 4, 5))
    x = x + ops.roll(ops.reshape(y, (-1, height, width, channels)), (shift, shift), (1, 2))
    return x + layers.Dense(channels)(layers.Dense(2 * channels, "gelu")(layers.LayerNormalization()(x)))


def across_patches(x: Any, side: int = 2) -> Any:
    """A block of MobileViT: convolution, attention between the cells at one place of all patches, convolution."""
    _, height, width, channels = x.shape
    rows, columns = height // side, width // side
    y = layers.Conv2D(channels, 3, padding="same", activation="swish", kernel_initializer="he_normal")(x)
    y = ops.transpose(ops.reshape(y, (-1, rows, side, columns, side, channels)), (0, 2, 4, 1, 3, 5))
    y = ops.reshape(y, (-1, side * side, rows * columns, channels))
    normalised = layers.LayerNormalization()(y)
    y = y + layers.MultiHeadAttention(2, channels // 2, attention_axes=2)(normalised, normalised)
    y = ops.transpose(ops.reshape(y, (-1, side, side, rows, columns, channels)), (0, 3, 1, 4, 2, 5))
    y = layers.Concatenate()([x, ops.reshape(y, (-1, height, width, channels))])
    return layers.Conv2D(channels, 3, padding="same", activation="swish", name="fusion")(y)


def hierarchical(kind: str) -> Any:
    """A small network (64, 64, 3) -> 3 classes whose maps get coarser: "swin", "mobilevit" or "convnext"."""
    keras.utils.set_random_seed(0)
    if kind == "convnext":
        return ConvNeXt(
            depths=(1, 1, 2, 1), projection_dims=(8, 16, 24, 32), default_size=SIDE, name="convnext", weights=None,
            input_shape=(SIDE, SIDE, 3), classes=3,
        )  # fmt: skip
    pixels = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 127.5, -1)(pixels)
    if kind == "swin":
        x = layers.Conv2D(16, 4, 4)(x)
        x = in_windows(in_windows(x, 4), 4, shift=2)
        x = layers.Conv2D(32, 2, 2)(x)
        x = layers.LayerNormalization(name="last")(in_windows(in_windows(x, 4), 4, shift=2))
    else:
        x = layers.Conv2D(16, 3, 4, "same", activation="swish", kernel_initializer="he_normal")(x)
        x = layers.Conv2D(24, 3, 2, "same", activation="swish", kernel_initializer="he_normal")(x)
        x = layers.Conv2D(32, 1, activation="swish", name="last")(across_patches(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, layers.Dense(3, activation="softmax")(x), name=kind)


def discs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """Red or blue discs among grey ones: pixels, classes, and centres (x, y)."""
    rng = np.random.default_rng(seed)
    pixels, classes, centres = np.empty((count, SIDE, SIDE, 3), np.uint8), rng.integers(0, 2, count), []
    for index in range(count):
        coarse = rng.integers(60, 200, (8, 8, 1)).repeat(3, 2).astype(np.uint8)
        picture = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        for _ in range(4):
            x, y = (int(place) for place in rng.integers(6, 58, 2))
            cv2.circle(picture, (x, y), 6, (int(rng.integers(60, 200)),) * 3, -1)
        x, y = (int(place) for place in rng.integers(8, 56, 2))
        cv2.circle(picture, (x, y), 6, DISC_COLOURS[classes[index]], -1)
        pixels[index] = picture
        centres.append((x, y))
    return pixels, classes, centres


def add_other_discs(pixels: np.ndarray, classes: np.ndarray, centres: list[tuple[int, int]]) -> np.ndarray:
    """Copies of the pictures of `discs`, each with a disc of the other class away from its own disc."""
    rng, both = np.random.default_rng(0), pixels.copy()
    for picture, class_index, centre in zip(both, classes, centres, strict=True):
        places = rng.integers(8, SIDE - 8, (100, 2))
        x, y = next(place for place in places if np.abs(place - centre).max() >= 20)
        cv2.circle(picture, (int(x), int(y)), 6, DISC_COLOURS[1 - class_index], -1)
    return both


def train(model: Any) -> Any:
    """The model after it has learned the classes of `discs`."""
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    pixels, classes, _ = discs(1000, 1)
    model.fit(pixels.astype(np.float32), classes, batch_size=32, epochs=3, verbose=0)
    return model
