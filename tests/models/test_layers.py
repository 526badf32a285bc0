"""Class activation maps of any layer: the layer's own gradient, the head behind it, and the table of layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.errors import ModelError, UnknownNameError
from explain import METHODS, explain
from explain.cli import main
from models.from_keras import from_keras
from models.head import LinearHead
from models.layers import head_at, layer_table, list_layers
from tests.networks import keras_net, logits_of, picture, small_classifier

CAMS = [name for name, method in METHODS.items() if "layer" in method.options]


def by_tape(layer: str, class_index: int) -> tuple[np.ndarray, np.ndarray]:
    """Activation and gradient of a layer of the "flat" network, by Keras alone."""
    model = logits_of(keras_net("flat"))
    inner = keras.Model(model.input, [model.get_layer(layer).output, model.output])
    with tf.GradientTape() as tape:
        activation, logits = inner(picture()[None].astype(np.float32), training=False)
        score = logits[0, class_index]
    return activation[0].numpy(), tape.gradient(score, activation)[0].numpy()


def test_every_cam_takes_a_layer() -> None:
    assert {name for name, method in METHODS.items() if method.family == "cam"} <= set(CAMS)
    assert "guided-grad-cam" in CAMS


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("grad-cam", lambda a, g: a @ g.mean((0, 1))),
        ("hires-cam", lambda a, g: (a * g).sum(-1)),
        ("layer-cam", lambda a, g: (a * np.maximum(g, 0)).sum(-1)),
        ("xgrad-cam", lambda a, g: a @ ((a * g).sum((0, 1)) / a.sum((0, 1)))),
    ],
)
def test_the_map_of_an_earlier_layer(method, expected) -> None:
    found = explain(picture(), small_classifier("flat"), method, 1, layer="act0")
    assert found.parameters["layer"] == "act0"
    np.testing.assert_allclose(found.raw, expected(*by_tape("act0", 1)), atol=1e-4)


def test_ablation_runs_the_network_behind_the_layer() -> None:
    activation, _ = by_tape("act0", 1)
    model = logits_of(keras_net("flat"))
    behind = keras.Model(model.get_layer("act0").output, model.output)
    score = float(behind(activation[None])[0, 1])
    without = [float(behind((activation * (np.arange(6) != channel))[None])[0, 1]) for channel in range(6)]
    expected = activation @ ((score - np.array(without)) / abs(score))
    found = explain(picture(), small_classifier("flat"), "ablation-cam", 1, layer="act0")
    np.testing.assert_allclose(found.raw, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", CAMS)
def test_the_last_layer_by_its_name_is_the_default(method) -> None:
    classifier = small_classifier("gap")
    options = {"channels": 4} if method == "score-cam" else {}
    default = explain(picture(), classifier, method, **options)
    assert default.parameters["layer"] == classifier.features_layer == "act1"
    assert np.array_equal(explain(picture(), classifier, method, layer="act1", **options).raw, default.raw)


def test_paths_around_a_layer() -> None:
    """Its gradient is there; a score from the layer alone is not."""
    pixels = keras.Input((16, 16, 3))
    first = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(pixels / 255.0)
    second = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="second")(first)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add(name="sum")([first, second]))
    classifier = from_keras(keras.Model(pixels, keras.layers.Dense(2)(x)))
    assert classifier.features_layer == "sum"
    assert isinstance(head_at(classifier, "sum", np.zeros((16, 16, 4))), LinearHead)
    assert explain(picture(), classifier, "grad-cam", layer="second").raw.shape == (16, 16)
    with pytest.raises(ModelError, match="Other paths lead around the layer 'second'"):
        explain(picture(), classifier, "ablation-cam", layer="second")


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(UnknownNameError, match="act0, act1"):
        explain(picture(), small_classifier("flat"), layer="conv9")


def test_the_table_of_layers(capsys) -> None:
    assert list_layers(small_classifier("gap")) == [("act0", (16, 16), 6), ("act1", (16, 16), 8)]
    assert [line.split() for line in layer_table(small_classifier("gap")).splitlines()] == [
        ["layer", "cells", "channels"], ["act0", "16x16", "6"], ["act1", "*", "16x16", "8"],
    ]  # fmt: skip
    assert main(["--layers"]) == 0
    assert "features * 7x7 1280" in " ".join(capsys.readouterr().out.split())


def test_few_cells_are_called_coarse() -> None:
    pixels = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, 8, padding="same", activation="relu", name="coarse")(pixels / 255.0)
    classifier = from_keras(keras.Model(pixels, keras.layers.Dense(2)(keras.layers.Flatten()(x))))
    assert any("only 2x2 cells" in note for note in explain(picture(), classifier).notes)
    assert not any("cells" in note for note in explain(picture(), small_classifier("gap")).notes)
