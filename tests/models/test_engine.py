"""The fast forward pass gives the network's own answers, in any batch and on any thread, or steps aside."""

import logging
import threading

import numpy as np
import pytest

keras = pytest.importorskip("keras")
from keras import layers  # noqa: E402

from models import embedded, engine  # noqa: E402
from models.embedded import ARCHITECTURES, WEIGHTS  # noqa: E402
from models.engine import Function, LiteRT, agree, compile_network, convert, write_atomically  # noqa: E402

CANVAS = (32, 48)


@pytest.fixture(scope="module")
def network():
    """Two convolutions and a dense layer, with features and logits as outputs."""
    keras.utils.set_random_seed(1)
    pixels = keras.Input((*CANVAS, 3))
    x = layers.Conv2D(6, 3, strides=2, activation="relu")(layers.Rescaling(1 / 127.5, -1)(pixels))
    features = layers.Conv2D(9, 3, activation="relu")(x)
    logits = layers.Dense(4)(layers.GlobalAveragePooling2D()(features))
    return keras.Model(pixels, [features, logits], name="tiny")


@pytest.fixture(scope="module")
def converted(network):
    return convert(network, CANVAS)


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(0).uniform(0, 255, (5, *CANVAS, 3)).astype(np.float32)


def off(found, truth):
    """The largest gap, relative to the largest value."""
    return np.abs(found - np.asarray(truth)).max() / np.abs(np.asarray(truth)).max()


# --- the embedded networks


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def pair(request):
    """LiteRT and Keras of one embedded network."""
    with np.load(WEIGHTS / f"{request.param}.npz") as file:
        weights = {key: file[key].astype(np.float32) for key in file.files}
    return embedded.load(request.param).engine, Function(embedded.build(ARCHITECTURES[request.param], weights))


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
        assert off(found[0], features[:count]) < 1e-4
        assert off(found[1], logits[:count]) < 1e-4


def test_a_batch_is_its_pictures_one_by_one(pair):
    litert = pair[0]
    pictures = np.random.default_rng(4).uniform(0, 255, (18, 96, 64, 3)).astype(np.float32)  # more than one chunk
    features, logits = litert.forward(pictures)
    for index in (0, 9, 15, 16, 17):
        single = litert.forward(pictures[index : index + 1])
        assert off(features[index], single[0][0]) < 1e-5
        assert off(logits[index], single[1][0]) < 1e-5


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
    litert = LiteRT(converted)
    truth = litert.forward(batch)
    with pytest.raises((ValueError, RuntimeError)):
        litert.forward(np.zeros((1, *CANVAS, 4), np.float32))
    assert all(np.array_equal(a, b) for a, b in zip(litert.forward(batch), truth, strict=True))


# --- compiling


def test_compiles_to_litert(network, batch):
    compiled = compile_network(network, CANVAS)
    assert isinstance(compiled, LiteRT)
    for found, truth in zip(compiled.forward(batch), network(batch), strict=True):
        assert off(found, truth) < 1e-5


def test_function_gives_what_keras_gives(network):
    many = np.random.default_rng(6).uniform(0, 255, (35, *CANVAS, 3)).astype(np.float32)
    for found, truth in zip(Function(network).forward(many), network(many), strict=True):
        assert found.shape == truth.shape
        assert off(found, truth) < 1e-5


@pytest.mark.parametrize("error", [RuntimeError("no such operation: Frobnicate\nand much more"), ValueError()])
def test_falls_back_where_the_converter_fails(network, batch, monkeypatch, caplog, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(engine, "convert", fail)
    with caplog.at_level(logging.WARNING, logger="models.engine"):
        compiled = compile_network(network, CANVAS)
    assert isinstance(compiled, Function)
    assert off(compiled.forward(batch)[1], network(batch)[1]) < 1e-5
    (record,) = caplog.records
    said = record.getMessage()
    assert "tiny runs through TensorFlow" in said
    assert ("no such operation: Frobnicate" if str(error) else "ValueError") in said
    assert "\n" not in said


def other(network):
    """The same architecture with other weights."""
    copy = keras.models.clone_model(network)
    copy.set_weights([weight + 0.05 for weight in network.get_weights()])
    return copy


def test_falls_back_where_litert_disagrees(network, monkeypatch, caplog):
    monkeypatch.setattr(engine, "convert", lambda *_: convert(other(network), CANVAS))
    with caplog.at_level(logging.WARNING, logger="models.engine"):
        assert isinstance(compile_network(network, CANVAS), Function)
    assert "standard deviations from those of Keras" in caplog.text


def test_agree_tells_small_from_large_and_nan(network, batch):
    class Off:
        def __init__(self, error):
            self.error = error

        def forward(self, batch):
            features, logits = (np.array(part) for part in network(batch))
            logits[0, 0] += self.error * logits.std()
            return features, logits

    agree(Off(1e-4), network, batch)
    for error in (1e-2, np.nan):
        with pytest.raises(ArithmeticError, match="logits"):
            agree(Off(error), network, batch)


# --- kept files


def test_a_kept_network_is_used_the_second_time(network, batch, tmp_path, monkeypatch):
    keep = tmp_path / "deep" / "tiny.tflite"
    first = compile_network(network, CANVAS, keep)
    assert keep.read_bytes() == first.model
    monkeypatch.setattr(engine, "convert", lambda *_: pytest.fail("converted again"))
    second = compile_network(network, CANVAS, keep)
    assert isinstance(second, LiteRT)
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
    monkeypatch.setattr(engine, "convert", lambda *_: converted)
    with caplog.at_level(logging.WARNING, logger="models.engine"):
        assert isinstance(compile_network(network, CANVAS, keep), LiteRT)
    assert keep.read_bytes() == converted
    assert "is made anew" in caplog.text


def test_where_nothing_can_be_kept_the_network_still_runs(network, converted, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(engine, "convert", lambda *_: converted)
    with caplog.at_level(logging.WARNING, logger="models.engine"):
        compiled = compile_network(network, CANVAS, tmp_path / "file" / "tiny.tflite")
    assert isinstance(compiled, LiteRT)
    assert "cannot be kept" in caplog.text


def test_write_atomically_replaces_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "new" / "a.bin"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_write_atomically_keeps_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(type(path), "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
