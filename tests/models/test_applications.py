"""keras.applications: the right layer and preprocessing, weights from a file or a server, and no request to the world."""

from __future__ import annotations

import hashlib
import http.server
import logging
import os
import re
import socket
import threading
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from core.errors import ModelError
from models import applications, load
from models.applications import APPLICATIONS, Application, fetch
from models.engine import TensorFlowEngine
from models.from_keras import split_model
from models.head import LinearHead, NetworkHead
from models.litert import LiteRTEngine


@pytest.fixture(autouse=True)
def _only_this_machine(monkeypatch, tmp_path):
    """A cache of the test's own, and an error for whoever looks further than 127.0.0.1."""
    connect = socket.socket.connect

    def guarded(self, address):
        assert self.family == socket.AF_UNIX or address[0] == "127.0.0.1", f"reached for {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)


def sentence(caught):
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


# --- the networks

EXPECTED = {
    "mobilenet_v2_keras": ("out_relu", (7, 7, 1280), LinearHead),
    "efficientnet_v2b0": ("top_activation", (7, 7, 1280), LinearHead),
    "resnet50": ("conv5_block3_out", (7, 7, 2048), LinearHead),
    "vgg16": ("block5_conv3", (14, 14, 512), NetworkHead),
}
PREPROCESS = {
    "mobilenet_v2_keras": keras.applications.mobilenet_v2.preprocess_input,
    "efficientnet_v2b0": keras.applications.efficientnet_v2.preprocess_input,
    "resnet50": keras.applications.resnet50.preprocess_input,
    "vgg16": keras.applications.vgg16.preprocess_input,
}


def pictures(count=2):
    coarse = np.random.default_rng(0).uniform(0, 255, (count, 14, 14, 3))
    return coarse.repeat(16, 1).repeat(16, 2).astype(np.float32)


def off(found, truth):
    return np.abs(found - np.asarray(truth)).max() / np.asarray(truth).std()


def random_network(name):
    """As `build` makes it, with its preprocessing; its BatchNorms have seen a batch, or signals would fade on their way."""
    keras.utils.set_random_seed(3)
    network, preprocess = applications.build_network(APPLICATIONS[name])
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(preprocess(pictures(4)), training=True)
    return network, preprocess


@pytest.fixture(scope="module")
def network():
    """The smallest of them with random weights."""
    return random_network("mobilenet_v2_keras")[0]


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mine.weights.h5"
    network.save_weights(path)
    return path


def check(name, network, flat, head, forward):
    """`flat` in form, its head and what `forward` gives of it are those of `network`, preprocessed as Keras does it."""
    layer, shape, kind = EXPECTED[name]
    assert flat.outputs[0]._keras_history.operation.name == layer
    assert flat.output_shape == [(None, *shape), (None, 1000)]
    assert isinstance(head, kind)
    batch = pictures()
    features, logits = (np.asarray(part) for part in forward(batch))
    truth = np.asarray(network(PREPROCESS[name](batch.copy())))
    assert truth.std() > 1e-2
    assert off(logits, truth) < 1e-3
    assert off(head.logits(features), truth) < 1e-3


def test_weights_written_and_read_back(tmp_path, monkeypatch):
    """Of a network that normalises inside. Converting is another test's business: it takes a minute for the larger ones."""
    name = "efficientnet_v2b0"
    monkeypatch.setattr(applications, "_cached_engine", lambda *_: lambda network, canvas: TensorFlowEngine(network))
    original, _ = random_network(name)
    path = tmp_path / f"{name}.weights.h5"
    original.save_weights(path)
    keras.utils.set_random_seed(4)  # other random weights than those that were written
    classifier = load(name, weights=path)
    assert classifier.name == name
    assert classifier.labels[566] == "French horn"
    assert classifier.canvas == (224, 224)
    check(name, original, classifier._build_network(), classifier.head, classifier.forward)


@pytest.mark.parametrize("name", ["resnet50", "vgg16"])
def test_large_networks(name):
    """Up to half a gigabyte: taken apart once, not written, read and converted."""
    network, preprocess = random_network(name)
    flat, head, activation = split_model(network, preprocess)
    check(name, network, flat, head, flat)
    assert activation == "softmax"


@pytest.mark.parametrize("name", EXPECTED)
def test_preprocessing_is_that_of_keras(name):
    module = applications.import_module(f"keras.applications.{APPLICATIONS[name].module}")
    batch = pictures()
    assert np.array_equal(module.preprocess_input(batch.copy()), PREPROCESS[name](batch.copy()))
    assert set(APPLICATIONS) == set(EXPECTED)


def test_mobilenet_is_converted_once_and_kept(network, weights, tmp_path, monkeypatch, capfd):
    first = load("mobilenet_v2_keras", weights=str(weights))
    assert isinstance(first.engine, LiteRTEngine)
    check("mobilenet_v2_keras", network, first._build_network(), first.head, first.forward)
    (kept,) = (tmp_path / "keras" / "models").iterdir()
    assert re.fullmatch(r"thumbscope-mobilenet_v2_keras-[0-9a-f]{16}\.tflite", kept.name)
    monkeypatch.setattr("models.litert.convert", lambda *_: pytest.fail("converted again"))
    second = load("mobilenet_v2_keras", weights=weights)
    assert isinstance(second.engine, LiteRTEngine)
    assert np.array_equal(first.forward(pictures())[1], second.forward(pictures())[1])
    assert capfd.readouterr().out == ""


def test_weights_in_the_published_format(network, tmp_path, monkeypatch):
    """The published files are in Keras' older format, by layer order."""
    from keras.src.legacy.saving import legacy_h5_format

    h5py = pytest.importorskip("h5py")
    path = tmp_path / "published.h5"
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    monkeypatch.setattr(applications, "_cached_engine", lambda *_: lambda network, canvas: TensorFlowEngine(network))
    classifier = load("mobilenet_v2_keras", weights=path)
    assert off(classifier.forward(pictures())[1], network(PREPROCESS["mobilenet_v2_keras"](pictures()))) < 1e-3


# --- weights files that do not do


@pytest.mark.parametrize("name", ["efficientnet_v2b0", "resnet50"])
def test_weights_of_another_architecture(name, weights):
    with pytest.raises(ModelError, match=rf"^'mine\.weights\.h5' does not hold weights for {name} \(") as caught:
        load(name, weights=weights)
    sentence(caught)


def test_weights_for_other_classes(tmp_path):
    pixels = keras.Input((224, 224, 3))
    other = keras.applications.MobileNetV2(weights=None, classes=7, input_tensor=pixels)
    other.save_weights(tmp_path / "seven.weights.h5")
    with pytest.raises(
        ModelError, match=r"'seven\.weights\.h5' does not hold weights for mobilenet_v2_keras"
    ) as caught:
        load("mobilenet_v2_keras", weights=tmp_path / "seven.weights.h5")
    sentence(caught)


@pytest.mark.parametrize("content", [b"Buy milk.", b"", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_a_file_that_is_no_hdf5(tmp_path, content):
    path = tmp_path / "notes.h5"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"'notes\.h5' does not hold weights for mobilenet_v2_keras") as caught:
        load("mobilenet_v2_keras", weights=path)
    sentence(caught)


def test_missing_file_folder_and_other_suffix(tmp_path):
    for path, said in (
        (tmp_path / "gone.h5", "There is no weights file"),
        (tmp_path, "There is no weights file"),
        (tmp_path / "model.keras", "is not an .h5 file; save weights with"),
    ):
        if path.suffix == ".keras":
            path.touch()
        with pytest.raises(ModelError, match=said) as caught:
            load("vgg16", weights=path)
        sentence(caught)


# --- downloads

CONTENT = b"weights " * 5000


@pytest.fixture
def server():
    """A server on this machine: `answer` is (status, Content-Length, body), `requests` the paths that were asked for."""
    state = SimpleNamespace(answer=(200, len(CONTENT), CONTENT), requests=[])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.requests.append(self.path)
            status, length, body = state.answer
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        state.host = f"http://127.0.0.1:{httpd.server_port}/somewhere"
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield state
        httpd.shutdown()
        thread.join()


HASHED = Application("m", "M", "family/file.h5", hashlib.md5(CONTENT).hexdigest())
UNHASHED = Application("m", "M", "family/file.h5", None)


def files():
    folder = applications.cache_folder()
    return [path.name for path in folder.iterdir()] if folder.exists() else []


@pytest.mark.parametrize("application", [HASHED, UNHASHED])
def test_download_once(server, application, capfd):
    first = fetch(application, host=server.host)
    assert first.read_bytes() == CONTENT
    assert first == applications.cache_folder() / "file.h5"
    assert str(first).startswith(os.environ["KERAS_HOME"])
    assert server.requests == ["/somewhere/family/file.h5"]
    assert fetch(application, host=server.host) == first
    assert len(server.requests) == 1
    assert capfd.readouterr().out == ""  # standard output belongs to whoever asked for JSON


def refusal(application, host):
    with pytest.raises(ModelError) as caught:
        fetch(application, host=host)
    text = sentence(caught)
    assert files() == []
    return text


@pytest.mark.parametrize("application", [HASHED, UNHASHED])
def test_truncated_download(server, application, capfd):
    server.answer = (200, len(CONTENT), CONTENT[: len(CONTENT) // 2])
    text = refusal(application, server.host)
    assert "file.h5 could not be downloaded; check the internet connection and try again" in text
    assert "https://storage.googleapis.com/tensorflow/keras-applications/family/file.h5" in text
    assert 'load(..., weights="file.h5")' in text
    assert capfd.readouterr().out == ""
    server.answer = (200, len(CONTENT), CONTENT)
    assert fetch(application, host=server.host).read_bytes() == CONTENT


def test_wrong_hash(server):
    server.answer = (200, len(CONTENT), CONTENT[:-1] + b"!")
    assert "is damaged (wrong hash); try again" in refusal(HASHED, server.host)
    server.answer = (200, len(CONTENT), CONTENT)
    assert fetch(HASHED, host=server.host).read_bytes() == CONTENT


def test_a_damaged_file_in_the_cache_is_fetched_anew(server):
    applications.cache_folder().mkdir(parents=True)
    (applications.cache_folder() / "file.h5").write_bytes(CONTENT[:100])
    assert fetch(HASHED, host=server.host).read_bytes() == CONTENT


def test_refused_connection():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = refusal(HASHED, f"http://127.0.0.1:{port}")
    assert "could not be downloaded; check the internet connection" in text


@pytest.mark.parametrize("status", [404, 503])
def test_refused_by_the_server(server, status):
    server.answer = (status, 9, b"Not here.")
    assert f"could not be downloaded (the server answered {status}); download https://" in refusal(
        UNHASHED, server.host
    )


def test_no_room_for_the_download(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    with pytest.raises(
        ModelError, match=r"file\.h5 could not be saved in .*; free disk space or set KERAS_HOME"
    ) as caught:
        fetch(HASHED, host=server.host)
    sentence(caught)


def test_load_downloads_where_no_file_is_given(server, monkeypatch, caplog):
    """And says which file to delete where the server has sent something else without a hash to tell."""
    monkeypatch.setattr(applications, "fetch", lambda application: fetch(application, host=server.host))
    with caplog.at_level(logging.INFO), pytest.raises(ModelError) as caught:
        load("mobilenet_v2_keras")
    assert server.requests == ["/somewhere/" + APPLICATIONS["mobilenet_v2_keras"].file]
    text = sentence(caught)
    assert "does not hold weights for mobilenet_v2_keras" in text
    assert f"delete {applications.cache_folder()}" in text


def test_published_files_are_named_as_keras_names_them():
    """The hashes are Keras' own, from its sources."""
    from keras.src.applications import efficientnet_v2, resnet, vgg16

    assert APPLICATIONS["resnet50"].md5 == resnet.WEIGHTS_HASHES["resnet50"][0]
    assert APPLICATIONS["efficientnet_v2b0"].md5 == efficientnet_v2.WEIGHTS_HASHES["b0"][0]
    assert f"{applications.HOST}/{APPLICATIONS['vgg16'].file}" == vgg16.WEIGHTS_PATH
    assert f"{applications.HOST}/efficientnet_v2/" == efficientnet_v2.BASE_WEIGHTS_PATH
    assert f"{applications.HOST}/resnet/" == resnet.BASE_WEIGHTS_PATH
