"""Transformers: the tokens of the last block that the logits depend on become the map that the CAM family explains."""

from __future__ import annotations

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from explain import explain
from explain.registry import default_method
from models.classifier import Classifier
from models.from_keras import from_keras
from models.randomised import randomised
from models.tokens import TokenGrid, possible_grids

SIDE, PATCH, WIDTH = 64, 8, 48
GRID = SIDE // PATCH


class Position(layers.Layer):
    """Adds a learned vector to each token."""

    def build(self, shape):
        self.position = self.add_weight(shape=(1, *shape[1:]), initializer="random_normal", name="position")

    def call(self, tokens):
        return tokens + self.position


class ClassToken(layers.Layer):
    """Puts a learned token before the others."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="random_normal", name="token")

    def call(self, tokens):
        return ops.concatenate([ops.repeat(self.token, ops.shape(tokens)[0], 0), tokens], 1)


class Patches(layers.Layer):
    """Cuts the picture into patches, as in the example of Keras."""

    def call(self, pixels):
        patches = ops.image.extract_patches(pixels, PATCH)
        return ops.reshape(patches, (-1, GRID * GRID, PATCH * PATCH * 3))


def vit(class_token=False, patches=False, blocks=3, classes=2, seed=0):
    """A vision transformer with normalisation before attention, as in the examples of Keras."""
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 127.5, -1)(pixels)
    if patches:
        x = layers.Dense(WIDTH)(Patches()(x))
    else:
        x = layers.Reshape((GRID * GRID, WIDTH))(layers.Conv2D(WIDTH, PATCH, PATCH, name="embedding")(x))
    x = Position()(ClassToken()(x) if class_token else x)
    for block in range(blocks):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, WIDTH // 4)(y, y)])
        y = layers.Dense(2 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add(name=f"block{block}")([x, layers.Dense(WIDTH)(y)])
    x = layers.LayerNormalization(name="last")(x)
    x = x[:, 0] if class_token else layers.GlobalAveragePooling1D()(x)
    return keras.Model(pixels, layers.Dense(classes, activation="softmax")(x), name="vit")


def discs(count, seed):
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
        cv2.circle(picture, (x, y), 6, [(200, 60, 60), (60, 60, 200)][classes[index]], -1)
        pixels[index] = picture
        centres.append((x, y))
    return pixels, classes, centres


def by_tape(model, layer, pixels, class_index):
    """Tokens of a layer and the gradient of the logit, by Keras alone."""
    dense = model.layers[-1]
    inner = keras.Model(model.input, [model.get_layer(layer).output, dense.input])
    with tf.GradientTape() as tape:
        tokens, pooled = inner(pixels[None].astype(np.float32), training=False)
        score = (pooled @ dense.kernel + dense.bias)[0, class_index]
    return tokens[0].numpy(), tape.gradient(score, tokens)[0].numpy()


@pytest.mark.parametrize(
    ("options", "layer", "extra"),
    [({}, "last", 0), ({"patches": True}, "last", 0), ({"class_token": True}, "block1", 1)],
)
def test_the_tokens_are_found_and_explained(options, layer, extra):
    model = vit(**options)
    classifier = from_keras(model)
    assert classifier.features_layer == f"{layer}_map"
    pixels = discs(1, 5)[0][0]
    truth = np.asarray(model(pixels[None].astype(np.float32), training=False))
    np.testing.assert_allclose(classifier.probabilities(classifier.logits(pixels))[None], truth, atol=1e-5)
    tokens, gradient = (values[extra:] for values in by_tape(model, layer, pixels, 1))
    expected = {"grad-cam": tokens @ gradient.mean(0), "hires-cam": (tokens * gradient).sum(-1)}
    for method, values in expected.items():
        found = explain(pixels, classifier, method, 1)
        np.testing.assert_allclose(found.raw, values.reshape(GRID, GRID), atol=1e-4)
        assert found.parameters["layer"] == f"{layer}_map"
    for method in ("layer-cam", "eigen-cam", "ablation-cam", "recipro-cam"):
        assert explain(pixels, classifier, method, 1).raw.shape == (GRID, GRID)


def test_the_default_method_finds_planted_discs():
    """In at least 55 of 60 pictures: the hottest pixel is on the disc."""
    model = vit(blocks=2)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    pixels, classes, _ = discs(1000, 1)
    model.fit(pixels.astype(np.float32), classes, batch_size=32, epochs=3, verbose=0)
    classifier = from_keras(model)
    assert default_method(classifier) == "occlusion"
    hits = 0
    for picture, class_index, (x, y) in zip(*discs(60, 2), strict=True):
        explanation = explain(picture, classifier)
        assert (explanation.method, explanation.class_index) == ("occlusion", class_index)
        row, column = np.unravel_index(explanation.heatmap.argmax(), explanation.heatmap.shape)
        hits += bool(abs(column - x) <= 8 and abs(row - y) <= 8)
    assert hits >= 55


def test_the_sanity_check_randomises_a_transformer():
    classifier = from_keras(vit(class_token=True))
    copy = randomised(classifier)
    pixels = discs(1, 5)[0][0]
    with copy.randomise_down_to(len(copy.stages) - 1) as shuffled:
        assert isinstance(shuffled, Classifier)
        assert not np.allclose(
            explain(pixels, shuffled, target=1).raw, explain(pixels, classifier, target=1).raw, atol=1e-4
        )


def test_a_grid_with_other_tokens_is_undone_exactly():
    for grid in (TokenGrid(3, 4), TokenGrid(3, 4, 1), TokenGrid(2, 3, 5), TokenGrid(2, 2, 4)):
        tokens = np.random.default_rng(0).normal(size=(2, grid.extra + grid.rows * grid.columns, 7)).astype(np.float32)
        maps = np.asarray(grid.to_map(tokens))
        assert np.array_equal(maps[:, : grid.rows], grid.cells(tokens))
        assert maps.shape[1] == grid.rows + grid.hidden_rows
        assert np.array_equal(np.asarray(grid.to_tokens(maps)), tokens)


def test_which_grids_tokens_may_have():
    def grids(*arguments):
        return [(grid.rows, grid.columns, grid.extra) for grid in possible_grids(*arguments)]

    assert grids(64, (64, 64), set())[0] == (8, 8, 0)
    assert grids(197, (224, 224), set()) == [(14, 14, 1)]
    assert grids(198, (224, 224), {(14, 14)}) == [(14, 14, 2)]
    assert grids(72, (64, 128), set())[0] == (6, 12, 0)
    assert grids(2, (64, 64), set()) == []
