"""Ways to scale pixels, and which of them a model wants."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from core.errors import UnknownNameError
from models import preprocessing
from models.keras_clues import find_clues
from models.preprocessing import WAYS
from tests.model_files import small_cnn

RNG = np.random.default_rng(0)
BATCH = RNG.uniform(0, 255, (2, 5, 4, 3)).astype(np.float32)


def test_the_ways_are_those_of_keras() -> None:
    from keras.src.applications.imagenet_utils import preprocess_input

    for name, mode in (("-1..1", "tf"), ("imagenet", "torch"), ("caffe", "caffe")):
        np.testing.assert_allclose(WAYS[name](BATCH), preprocess_input(BATCH.copy(), mode=mode), atol=1e-4)
    np.testing.assert_allclose(WAYS["0..1"](BATCH), BATCH / 255, atol=1e-7)
    np.testing.assert_array_equal(WAYS["0..255"](BATCH), BATCH)


def test_a_way_is_also_a_function_of_tensors() -> None:
    pixels = keras.Input((5, 4, 3))
    for way in WAYS.values():
        np.testing.assert_allclose(keras.Model(pixels, keras.layers.Lambda(way)(pixels))(BATCH), way(BATCH), atol=1e-4)


def test_unknown_names_are_suggested() -> None:
    with pytest.raises(UnknownNameError, match="'imagenet'"):
        preprocessing.find_preprocessing("image-net")


def test_the_range_of_a_quantised_input_tells() -> None:
    ranges = [(0, 255), (0, 1), (-1, 1), (-1, 0.992), (-5, 5)]
    ways = [preprocessing.from_range(*bounds) for bounds in ranges]
    assert [way and way.name for way in ways] == ["0..255", "0..1", "-1..1", "-1..1", None]


def test_the_family_tells() -> None:
    names = ["model", "resnet50v2"], ["resnet50"], ["mobilenetv2_0.35_224"], ["EfficientNet-B0"], ["my_cnn"]
    ways = [preprocessing.from_family(group) for group in names]
    assert [way and way.name for way in ways] == ["-1..1", "caffe", "-1..1", "0..255", None]


@pytest.mark.parametrize("name", WAYS)
def test_the_statistics_of_batch_normalisation_tell(name: str) -> None:
    """A network normalised on photographs that were scaled in one way is recognised on the same and on other photographs."""
    model = small_cnn(scale=False)
    clues = find_clues(model)
    assert not clues.inside
    assert clues.statistics is None  # means of 0 and variances of 1: never trained
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    photographs = np.stack([
        keras.ops.image.resize(pixels, (48, 48)) for pixels in preprocessing.sample_photographs()
    ])  # fmt: skip
    before = keras.Model(model.input, layer.input)
    values = np.asarray(before(WAYS[name](photographs[::2])))
    gamma, beta, _, _ = layer.get_weights()
    layer.set_weights([gamma, beta, values.mean((0, 1, 2)), values.var((0, 1, 2))])
    statistics = find_clues(model).statistics
    assert statistics is not None
    for some in (photographs, photographs[1::2]):
        way = preprocessing.choose_by_statistics(
            statistics.means, statistics.variances, lambda way, some=some: statistics.observe(way(some))
        )
        assert way is not None
        assert way.name == name


def test_layers_inside_count() -> None:
    clues = find_clues(small_cnn())
    assert clues.inside
    assert clues.canvas == (48, 48)


def test_saturated_and_flat_logits_are_implausible() -> None:
    logits = RNG.normal(size=(6, 3))
    factors = {"0..255": 1e5, "caffe": 1e5, "0..1": 1e-4, "imagenet": 1e-4, "-1..1": 1.0}
    way, certain = preprocessing.choose_by_logits(lambda way: logits * factors[way.name])
    assert (way.name, certain) == ("-1..1", True)
    way, certain = preprocessing.choose_by_logits(lambda _: logits)
    assert (way.name, certain) == ("0..1", False)
    assert "0..1 is assumed" in preprocessing.describe_choice(way, "")
    assert preprocessing.describe_choice(way, "as chosen").startswith("Preprocessing: 0..1 (")
