"""Attention rollout and gradient attention, against attention and gradients from Keras' layers called one by one."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from core.errors import ModelError
from explain import METHODS, explain
from models import load
from models.capabilities import lacks
from models.from_keras import from_keras
from models.isolated import open_isolated
from models.open import open_model
from models.randomised import randomised
from tests.transformers import GRID, SIDE, WIDTH, Subclassed, blocks_of, discs, in_windows, vit
from ui.controls import method_choices

NAMES = [name for name, method in METHODS.items() if method.family == "attention"]
ONE, ALL = slice(1), slice(None)  # tokens that the last layers use
VITS = {
    "mean": ({}, ALL),
    "patches": ({"patches": True, "dropout": 0.1}, ALL),
    "class token": ({"class_token": True, "dropout": 0.1}, ONE),
    "mean with a class token": ({"class_token": True, "pool_all": True}, ALL),
}
every_vit = pytest.mark.parametrize("kind", VITS)


@cache
def make(kind):
    """A model, its classifier, and the tokens that its last layers use."""
    options, used = VITS[kind]
    model = vit(**options, blocks=2)
    return model, from_keras(model), used


def by_hand(model, pixels, used, class_index):
    """Attention of each layer (heads, tokens, tokens), and the gradient of the logit, by Keras alone."""
    dense, attention = model.get_layer("head"), []
    with tf.GradientTape() as tape:
        x = keras.Model(model.input, model.get_layer("position").output)(pixels[None].astype(np.float32))
        for first, attend, second, up, down in blocks_of(model):
            y = first(x)
            mixed, scores = attend(y, y, return_attention_scores=True)
            attention.append(scores)
            x = x + mixed
            x = x + down(up(second(x)))
        pooled = tf.reduce_mean(model.get_layer("last")(x)[:, used], 1)
        score = (pooled @ dense.kernel + dense.bias)[0, class_index]
    gradients = tape.gradient(score, attention)
    return np.array(attention)[:, 0], np.array(gradients)[:, 0]


def cells(flow, used):
    """The rows of the tokens that are used, as a map."""
    return flow[used].mean(0)[-GRID * GRID :].reshape(GRID, GRID)


@every_vit
def test_rollout_is_the_product_over_the_layers(kind):
    (model, classifier, used), pixels = make(kind), discs(1, 5)[0][0]
    attention, _ = by_hand(model, pixels, used, 0)
    flow = np.eye(attention.shape[-1])
    for layer in attention:
        mixed = layer.mean(0) + np.eye(len(flow))
        flow = mixed / mixed.sum(1, keepdims=True) @ flow
    np.testing.assert_allclose(flow.sum(1), 1, atol=1e-5)
    read, _, is_used = classifier.attention(pixels, classifier.objective(0))
    np.testing.assert_allclose(read, attention.mean(1), atol=1e-6)
    np.testing.assert_allclose(read.sum(2), 1, atol=1e-5)
    assert np.flatnonzero(is_used).tolist() == list(range(len(flow)))[used]
    for target in (0, 1):  # the class has no effect
        found = explain(pixels, classifier, "attention-rollout", target)
        np.testing.assert_allclose(found.raw, cells(flow, used), rtol=1e-4)
    assert (found.forward_passes, found.backward_passes) == (1, 1)


@every_vit
def test_gradient_attention_is_that_of_a_tape(kind):
    (model, classifier, used), pixels, maps = make(kind), discs(1, 5)[0][0], []
    for target in (0, 1):
        attention, gradients = by_hand(model, pixels, used, target)
        relevance = np.eye(attention.shape[-1])
        for layer, gradient in zip(attention, gradients, strict=True):
            relevance = relevance + np.clip(layer * gradient, 0, None).mean(0) @ relevance
        maps.append(cells(relevance - np.eye(len(relevance)), used))
        found = explain(pixels, classifier, "gradient-attention", target).raw
        np.testing.assert_allclose(found, maps[-1], rtol=1e-4, atol=1e-4 * maps[-1].max())
    assert np.abs(maps[0] - maps[1]).max() > 0.1 * maps[0].max()


@pytest.mark.parametrize("kind", ["mean", "class token"])
def test_layers_inside_layers_are_read(kind):
    """A subclassed model whose blocks are one layer, and the functional model of the same layers."""
    (functional, expected, _), pixels = make(kind), discs(1, 5)[0][0]
    subclassed = Subclassed(functional)
    subclassed(pixels[None])
    classifier = from_keras(subclassed)
    for method in NAMES:
        found, truth = (explain(pixels, one, method, 1).raw for one in (classifier, expected))
        np.testing.assert_allclose(found, truth, rtol=1e-3, atol=1e-4 * truth.max())
    own = [layer for layer in functional.layers if isinstance(layer, layers.MultiHeadAttention)]
    assert len(own) == 2
    assert not any("call" in vars(layer) for layer in own), "the user's layers stay as they are"


@pytest.mark.parametrize("method", NAMES)
def test_the_map_depends_on_the_weights(method):
    classifier, pixels = make("class token")[1], discs(1, 5)[0][0]
    copy = randomised(classifier)
    with copy.randomise_down_to(len(copy.stages) - 1) as shuffled:
        before, after = (explain(pixels, one, method, 1).raw.ravel() for one in (classifier, shuffled))
    assert abs(np.corrcoef(before, after)[0, 1]) < 0.5


def plain_transformer():
    """A transformer that a file can hold: without layers of its own."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(WIDTH, 8, 8)(layers.Rescaling(1 / 127.5, -1)(pixels))
    x = layers.Reshape((GRID * GRID, WIDTH))(x)
    x = layers.Add()([x, layers.MultiHeadAttention(4, 12, dropout=0.1)(*[layers.LayerNormalization()(x)] * 2)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(pixels, layers.Dense(3, activation="softmax")(x), name="plain")


def test_the_attention_of_a_model_in_a_process_of_its_own(tmp_path):
    path, pixels = tmp_path / "plain.keras", discs(1, 5)[0][0]
    plain_transformer().save(path)
    apart, here = open_isolated(path), open_model(path)
    assert apart.capabilities == here.capabilities >= {"attention"}
    for method in NAMES:
        found, truth = (explain(pixels, one, method, 1).raw for one in (apart, here))
        np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-5 * truth.max())


def dense(pixels):
    return layers.Dense(8, activation="relu")(layers.Flatten()(pixels))


def convolution(pixels):
    return layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(pixels))


def windows(pixels):
    return layers.GlobalAveragePooling2D()(in_windows(layers.Conv2D(16, 8, 8)(pixels), 4))


def in_rows(pixels):
    """Attention between 16 of the 64 tokens at a time."""
    x = layers.Reshape((64, 16))(layers.Conv2D(16, 8, 8)(pixels))
    y = ops.reshape(x, (-1, 16, 16))
    return layers.GlobalAveragePooling1D()(x + ops.reshape(layers.MultiHeadAttention(2, 8)(y, y), (-1, 64, 16)))


def merged(pixels):
    """Half as many tokens from the second layer of attention on."""
    x = layers.Reshape((64, 16))(layers.Conv2D(16, 8, 8)(pixels))
    x = layers.AveragePooling1D(2)(x + layers.MultiHeadAttention(2, 8)(x, x))
    return layers.GlobalAveragePooling1D()(x + layers.MultiHeadAttention(2, 8)(x, x))


def one_query(pixels):
    """The last attention has one row: a class token that looks at all others."""
    x = layers.Reshape((64, 16))(layers.Conv2D(16, 8, 8)(pixels))
    x = x + layers.MultiHeadAttention(2, 8)(x, x)
    return layers.Flatten()(layers.MultiHeadAttention(2, 8)(ops.mean(x, 1, keepdims=True), x))


class Hidden(layers.Layer):
    """Attention in a traced function of its own, which cannot be read from outside."""

    def __init__(self):
        super().__init__()
        self.attention = layers.MultiHeadAttention(2, 8)
        self.run = tf.function(lambda tokens: self.attention(tokens, tokens))

    def build(self, shape):
        self.attention.build(shape, shape)

    def call(self, tokens):
        return self.run(tokens)

    def compute_output_shape(self, shape):
        return shape


def hidden(pixels):
    x = layers.Reshape((64, 16))(layers.Conv2D(16, 8, 8)(pixels))
    return layers.GlobalAveragePooling1D()(x + Hidden()(x))


@pytest.mark.parametrize("end", [dense, convolution, windows, in_rows, merged, one_query, hidden])
def test_a_model_without_readable_attention_says_so(end):
    keras.utils.set_random_seed(0)
    pixels = keras.Input((SIDE, SIDE, 3))
    check_refusal(from_keras(keras.Model(pixels, layers.Dense(2)(end(pixels / 255.0)))))


def test_mobilenet_says_so():
    check_refusal(load("mobilenet_v2"))


def check_refusal(classifier):
    """One sentence, which names methods that work; grey on the page."""
    picture = discs(1, 5)[0][0]
    for method in NAMES:
        with pytest.raises(ModelError) as error:
            explain(picture, classifier, method)
        reason = "a transformer of Keras with attention between all of its tokens"
        start, able = str(error.value).rstrip(".").split("; choose ")
        assert start == f"{method} needs {reason}, which '{classifier.name}' does not have"
        assert {"saliency", "occlusion"} <= set(able.split(", ")) <= set(METHODS) - set(NAMES)
        assert not any(lacks(classifier, METHODS[name].needs) for name in able.split(", "))
        titles = {name: title for title, name in method_choices(classifier)}
        assert titles[method] == f"{METHODS[method].title} (needs {reason})"
