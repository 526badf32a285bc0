"""LiteRT gives the outputs of the Keras network, in any batch and on any thread, or TensorFlow takes over."""

from __future__ import annotations

import logging
import threading

import keras
import numpy as np
import pytest

from models import embedded, litert
from models.embedded import ARCHITECTURES, WEIGHTS
from models.engine import TensorFlowEngine
from models.litert import LiteRTEngine, check_agreement, compile_network, convert
from tests.networks import relative_gap, two_outputs

CANVAS = (32, 48)


@pytest.fixture(scope="module")
def network():
    return two_outputs(CANVAS)


@pytest.fixture(scope="module")
def converted(network):
    return convert(network, CANVAS)


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(0).uniform(0, 255, (5, *CANVAS, 3)).astype(np.float32)


# --- the embedded networks


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def pair(request):
    """LiteRT and Keras of one embedded network."""
    with np.load(WEIGHTS / f"{request.param}.npz") as file:
        weights = {key: file[key].astype(np.float32) for key in file.files}
    return embedded.load(request.param).engine, TensorFlowEngine(
        embedded.build_network(ARCHITECTURES[request.param], weights)
    )


@pytest.mark.parametrize(
    ("canvas", "counts"), [((224, 224), (33, 1, 7)), ((160, 288), (33, 1, 7)), ((448, 448), (7, 1))]
)
def test_litert_gives_what_keras_gives(pair, canvas, counts):
    litert, truth = pair
    draw = np.random.default_rng(3)
    # Smooth noise of many contrasts: more like pictures than white noise is.
    coarse = draw.uniform(0, 255, (counts[0], canvas[0] // 16, canvas[1] // 16, 3))
    pictures = coarse.repeat(16, 1).repeat(16, 2).astype(np.float32)
    features, logits = truth.forward(pictures)
    assert features.shape == (counts[0], canvas[0] // 32, canvas[1] // 32, 1280)
    for count in counts:
        found = litert.forward(pictures[:count])
        assert found[0].shape == (count, *features.shape[1:])
        assert found[1].shape == (count, 1000)
        assert relative_gap(found[0], features[:count]) < 1e-4
        assert relative_gap(found[1], logits[:count]) < 1e-4


def test_a_batch_is_its_pictures_one_by_one(pair):
    litert = pair[0]
    pictures = np.random.default_rng(4).uniform(0, 255, (18, 96, 64, 3)).astype(np.float32)  # more than one chunk
    features, logits = litert.forward(pictures)
    for index in (0, 9, 15, 16, 17):
        single = litert.forward(pictures[index : index + 1])
        assert relative_gap(features[index], single[0][0]) < 1e-5
        assert relative_gap(logits[index], single[1][0]) < 1e-5


def test_threads_give_the_sequential_answers(pair):
    """Two canvases at once, so that one interpreter is sized to and fro under the threads."""
    litert = pair[0]
    draw = np.random.default_rng(5)
    batches = [draw.uniform(0, 255, shape).astype(np.float32) for shape in ((2, 64, 96, 3), (3, 96, 64, 3))]
    truth = [litert.forward(batch) for batch in batches]
    right = []

    def work(index):
        for _ in range(12):
            found = litert.forward(batches[index])
            right.append(all(np.array_equal(a, b) for a, b in zip(found, truth[index], strict=True)))

    threads = [threading.Thread(target=work, args=(index,)) for index in (0, 1, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 48  # fewer, where a thread has failed


def test_answers_are_not_overwritten_by_the_next(pair):
    litert = pair[0]
    first = litert.forward(np.full((1, 64, 64, 3), 20, np.float32))
    kept = [part.copy() for part in first]
    litert.forward(np.full((1, 64, 64, 3), 220, np.float32))
    assert all(np.array_equal(a, b) for a, b in zip(first, kept, strict=True))


def test_a_refused_canvas_does_not_spoil_the_next(converted, batch):
    litert = LiteRTEngine(converted)
    truth = litert.forward(batch)
    with pytest.raises((ValueError, RuntimeError)):
        litert.forward(np.zeros((1, *CANVAS, 4), np.float32))
    assert all(np.array_equal(a, b) for a, b in zip(litert.forward(batch), truth, strict=True))


# --- compiling


def test_compiles_to_litert(network, batch):
    compiled = compile_network(network, CANVAS)
    assert isinstance(compiled, LiteRTEngine)
    for found, truth in zip(compiled.forward(batch), network(batch), strict=True):
        assert relative_gap(found, truth) < 1e-5


@pytest.mark.parametrize("error", [RuntimeError("no such operation: Frobnicate\nand much more"), ValueError()])
def test_falls_back_where_the_converter_fails(network, batch, monkeypatch, caplog, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(litert, "convert", fail)
    with caplog.at_level(logging.WARNING, logger="models.litert"):
        compiled = compile_network(network, CANVAS)
    assert isinstance(compiled, TensorFlowEngine)
    assert relative_gap(compiled.forward(batch)[1], network(batch)[1]) < 1e-5
    (record,) = caplog.records
    said = record.getMessage()
    assert "tiny runs in TensorFlow" in said
    assert ("no such operation: Frobnicate" if str(error) else "ValueError") in said
    assert "\n" not in said


def test_a_reshape_in_the_network_takes_any_batch(batch):
    """As in the heads and the channel weights of many models; a file for one canvas would keep its number."""
    pixels = keras.Input((*CANVAS, 3))
    features = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(pixels)
    weights = keras.layers.Reshape((1, 1, 4))(keras.layers.GlobalAveragePooling2D()(features))
    features = keras.layers.Multiply()([features, keras.layers.Dense(4, activation="sigmoid")(weights)])
    network = keras.Model(pixels, [features, keras.layers.Dense(2)(keras.layers.Flatten()(features))], name="reshapes")
    compiled = compile_network(network, CANVAS)
    assert isinstance(compiled, LiteRTEngine)
    for count in (5, 1, 3):
        for found, truth in zip(compiled.forward(batch[:count]), network(batch[:count]), strict=True):
            assert relative_gap(found, truth) < 1e-5


def test_a_large_network_is_not_converted(network, batch, monkeypatch, caplog):
    """The conversion of VGG16 took 13 GB of memory."""
    monkeypatch.setattr(litert, "MAX_CONVERTED", 4 * network.count_params() - 1)
    monkeypatch.setattr(litert, "convert", lambda *_: pytest.fail("it was converted"))
    compiled = compile_network(network, CANVAS)
    assert isinstance(compiled, TensorFlowEngine)
    assert relative_gap(compiled.forward(batch)[1], network(batch)[1]) < 1e-5
    assert [record for record in caplog.records if record.name == "models.litert"] == []


def other(network):
    """The same architecture with other weights."""
    copy = keras.models.clone_model(network)
    copy.set_weights([weight + 0.05 for weight in network.get_weights()])
    return copy


def test_falls_back_where_litert_disagrees(network, monkeypatch, caplog):
    monkeypatch.setattr(litert, "convert", lambda *_: convert(other(network), CANVAS))
    with caplog.at_level(logging.WARNING, logger="models.litert"):
        assert isinstance(compile_network(network, CANVAS), TensorFlowEngine)
    assert "standard deviations from those of Keras" in caplog.text


def test_agree_tells_small_from_large_and_nan(network, batch):
    class Off:
        def __init__(self, error):
            self.error = error

        def forward(self, batch):
            features, logits = (np.array(part) for part in network(batch))
            logits[0, 0] += self.error * logits.std()
            return features, logits

    check_agreement(Off(1e-4), network, batch)
    for error in (1e-2, np.nan):
        with pytest.raises(ArithmeticError, match="logits"):
            check_agreement(Off(error), network, batch)


# --- kept files


def test_a_kept_network_is_used_the_second_time(network, batch, tmp_path, monkeypatch):
    keep = tmp_path / "deep" / "tiny.tflite"
    first = compile_network(network, CANVAS, keep)
    assert keep.read_bytes() == first.model
    monkeypatch.setattr(litert, "convert", lambda *_: pytest.fail("converted again"))
    second = compile_network(network, CANVAS, keep)
    assert isinstance(second, LiteRTEngine)
    assert np.array_equal(first.forward(batch)[1], second.forward(batch)[1])


@pytest.mark.parametrize("damage", ["half", "empty", "text", "flipped", "foreign"])
def test_a_damaged_kept_network_is_made_anew(network, converted, tmp_path, monkeypatch, caplog, damage):
    keep = tmp_path / "tiny.tflite"
    flipped = bytearray(converted)
    flipped[100:140] = bytes(255 - value for value in flipped[100:140])
    content = {
        "half": converted[: len(converted) // 2],
        "empty": b"",
        "text": b"not a network",
        "flipped": bytes(flipped),
        "foreign": convert(other(network), CANVAS) if damage == "foreign" else b"",
    }[damage]
    keep.write_bytes(content)
    monkeypatch.setattr(litert, "convert", lambda *_: converted)
    with caplog.at_level(logging.WARNING, logger="models.litert"):
        assert isinstance(compile_network(network, CANVAS, keep), LiteRTEngine)
    assert keep.read_bytes() == converted
    assert "it is converted again" in caplog.text


def test_where_nothing_can_be_kept_the_network_still_runs(network, converted, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(litert, "convert", lambda *_: converted)
    with caplog.at_level(logging.WARNING, logger="models.litert"):
        compiled = compile_network(network, CANVAS, tmp_path / "file" / "tiny.tflite")
    assert isinstance(compiled, LiteRTEngine)
    assert "cannot be kept" in caplog.text
