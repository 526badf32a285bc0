"""Transformers: the tokens of the last block that the logits depend on become the map that the CAM family explains."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from explain import explain
from explain.registry import default_method
from models.classifier import Classifier
from models.from_keras import from_keras
from models.randomised import randomised
from models.tokens import TokenGrid, possible_grids
from tests.transformers import GRID, add_other_discs, discs, train, vit


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


@pytest.fixture(scope="module")
def trained():
    """A classifier of planted discs. Its seed is none of those in benchmarks/attention.py."""
    return from_keras(train(vit(blocks=2)))


def count_hits(classifier, method=None, both=False):
    """On how many of 60 pictures the hottest pixel of a map is on the disc of the class. `both`: there is another one too."""
    hits, (pixels, classes, centres) = 0, discs(60, 2)
    pictures = add_other_discs(pixels, classes, centres) if both else pixels
    for picture, class_index, (x, y) in zip(pictures, classes, centres, strict=True):
        explanation = explain(picture, classifier, method, int(class_index) if both else None)
        assert explanation.class_index == class_index
        row, column = np.unravel_index(explanation.heatmap.argmax(), explanation.heatmap.shape)
        hits += bool(abs(column - x) <= 8 and abs(row - y) <= 8)
    return hits


def test_the_default_method_finds_planted_discs(trained):
    assert default_method(trained) == "occlusion"
    assert explain(discs(1, 2)[0][0], trained).method == "occlusion"
    assert count_hits(trained) >= 55


def test_methods_by_attention_find_planted_discs(trained):
    """The bounds were chosen on other networks, see benchmarks/attention.py. Rollout cannot tell two discs apart."""
    assert count_hits(trained, "attention-rollout") >= 50
    assert count_hits(trained, "gradient-attention") >= 35
    assert count_hits(trained, "gradient-attention", both=True) >= 50
    assert count_hits(trained, "attention-rollout", both=True) <= 45


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
