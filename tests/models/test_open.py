"""Model files that people have: the framework's own predictions, an independent gradient, and hostile files."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from core.errors import ModelError, UserError
from core.images import read
from explain import METHODS, explain
from models import Classifier, load, open_model
from models.head import HiddenHead, LinearHead
from models.trained_head import TrainedClassifier, export_keras
from tests.model_files import (
    LABELS,
    changed_config,
    colours,
    keras_2_h5,
    run_tflite,
    saved,
    small_cnn,
    teachable_machine,
    to_tflite,
    zipped,
)  # fmt: skip

NAMES = ["Red thing", "Green thing", "Blue thing"]


def answers(classifier: Classifier, batch: np.ndarray) -> np.ndarray:
    return classifier.probabilities(classifier.forward(batch)[1])


def grad_cam(model: keras.Model, features: Any, logits: Any, inputs: np.ndarray, target: int) -> np.ndarray:
    """Grad-CAM of one input with TensorFlow alone."""
    import tensorflow as tf

    network = keras.Model(model.inputs, [features, logits])
    with tf.GradientTape() as tape:
        activation, scores = network([inputs[None]], training=False)
        tape.watch(activation)
    with tf.GradientTape() as tape:
        tape.watch(activation)
        scores = keras.Model(features, logits)(activation, training=False)[0, target]
    gradient = np.asarray(tape.gradient(scores, activation))[0]
    return np.asarray((np.asarray(activation)[0] * gradient.mean((0, 1))).sum(-1))


def small_logits(model: keras.Model) -> Any:
    """The logits of `small_cnn`: its last layer without the activation."""
    dense = layers.Dense(model.output_shape[-1])
    logits = dense(model.layers[-1].input)
    dense.set_weights(model.layers[-1].get_weights())
    return logits


def same_cam(classifier: Classifier, truth: np.ndarray, picture: np.ndarray, target: int, tolerance: float) -> None:
    raw = explain(picture, classifier, "grad-cam", target).raw
    np.testing.assert_allclose(raw, truth, atol=tolerance * np.abs(truth).max())


# --- every kind of file: the framework's own predictions and an independent gradient


@pytest.mark.parametrize("kind", ["keras", "h5", "keras-2"])
def test_a_keras_file_gives_predictions_and_maps_of_keras(kind: str, tmp_path: Path) -> None:
    model = small_cnn()
    path = tmp_path / ("mine.keras" if kind == "keras" else "mine.h5")
    if kind == "keras-2":
        path.write_bytes(keras_2_h5(model))
    else:
        saved(model, path)
    path = path.rename(tmp_path / "mine.bin")  # by content, not by ending
    classifier = open_model(path, NAMES)
    pictures, _ = colours(6, 48)
    np.testing.assert_allclose(answers(classifier, pictures), np.asarray(model(pictures)), atol=1e-4)
    assert (classifier.name, classifier.fit, classifier.canvas) == ("mine", "squash", (48, 48))
    assert classifier.labels == tuple(NAMES)
    assert classifier.preprocessing == "inside"
    picture = pictures[1].astype(np.uint8)
    truth = grad_cam(model, model.get_layer("features").output, small_logits(model), picture.astype(np.float32), 1)
    same_cam(classifier, truth, picture, 1, 1e-4)


@pytest.mark.parametrize(
    ("kind", "tolerance"), [("float", 1e-4), ("float16", 5e-3), ("dynamic", 0.05), ("uint8", 0.05)]
)
def test_a_tflite_file_gives_predictions_and_maps_of_keras(kind: str, tolerance: float, tmp_path: Path) -> None:
    model = small_cnn()
    (tmp_path / "mine.tflite").write_bytes(to_tflite(model, kind))
    classifier = open_model(tmp_path / "mine.tflite", NAMES, None if kind == "uint8" else "0..255")
    pictures, _ = colours(6, 48)
    np.testing.assert_allclose(answers(classifier, pictures), np.asarray(model(pictures)), atol=tolerance)
    assert isinstance(classifier.head, LinearHead)
    picture = pictures[1].astype(np.uint8)
    truth = grad_cam(model, model.get_layer("features").output, small_logits(model), picture.astype(np.float32), 1)
    same_cam(classifier, truth, picture, 1, tolerance)


@pytest.fixture(scope="module")
def exported() -> dict[str, bytes]:
    """The three zip files that Teachable Machine exports."""
    model = teachable_machine()
    return {
        "keras": zipped(keras_model__h5=keras_2_h5(model), labels__txt=LABELS),
        "float": zipped(model_unquant__tflite=to_tflite(model), labels__txt=LABELS),
        "uint8": zipped(model__tflite=to_tflite(model, "uint8"), labels__txt=LABELS),
    }


# A step of 8 bits in the logits changes a probability by up to 0.05.
@pytest.mark.parametrize(("kind", "tolerance"), [("keras", 1e-4), ("float", 1e-4), ("uint8", 0.05)])
def test_teachable_machine_as_it_exports(kind: str, tolerance: float, exported: dict, tmp_path: Path) -> None:
    (tmp_path / "converted_keras.zip").write_bytes(exported[kind])
    classifier = open_model(tmp_path / "converted_keras.zip")
    pictures, classes = colours(6)
    truth = np.asarray(teachable_machine()(pictures / 127.5 - 1, training=False))
    assert (truth.argmax(1) == classes).all()  # the predictions mean something
    if kind == "uint8":  # LiteRT rounds the probabilities, too
        truth = run_tflite(to_tflite(teachable_machine(), "uint8"), pictures / 127.5 - 1)
    np.testing.assert_allclose(answers(classifier, pictures), truth, atol=tolerance)
    assert classifier.labels == tuple(NAMES)
    assert (classifier.fit, classifier.preprocessing, classifier.canvas) == ("crop", "-1..1", (224, 224))
    assert len(classifier.notes) == 1
    explanation = explain(pictures[1].astype(np.uint8), classifier)
    assert explanation.label == "Green thing"
    assert explanation.raw.shape == (7, 7)
    assert explanation.parameters["fit"] == "crop"
    if kind != "keras":
        assert isinstance(classifier.head, HiddenHead)
        assert classifier.capabilities == {"features", "feature-gradient"}


def test_teachable_machine_is_rebuilt_exactly_and_its_map_is_that_of_a_tape(exported: dict, tmp_path: Path) -> None:
    from models.keras_file import read_legacy_h5

    model = teachable_machine()
    rebuilt = read_legacy_h5(keras_2_h5(model), "keras_model.h5")
    pictures, _ = colours(6)
    inputs = pictures / 127.5 - 1
    assert np.abs(np.asarray(rebuilt(inputs, training=False)) - np.asarray(model(inputs, training=False))).max() == 0
    (tmp_path / "converted_keras.zip").write_bytes(exported["keras"])
    base, head = model.layers[0].layers[0], model.layers[1]
    pooled = layers.GlobalAveragePooling2D()(base.output)
    last = layers.Dense(3, use_bias=False)
    logits = last(head.layers[0](pooled))
    last.set_weights(head.layers[1].get_weights())
    picture = pictures[2].astype(np.uint8)
    truth = grad_cam(base, base.output, logits, picture.astype(np.float32) / 127.5 - 1, 2)
    same_cam(open_model(tmp_path / "converted_keras.zip"), truth, picture, 2, 1e-4)


def test_a_folder_of_teachable_machine_is_its_zip(exported: dict, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(exported["float"])) as archive:
        archive.extractall(tmp_path / "unzipped")
    assert open_model(tmp_path / "unzipped").labels == tuple(NAMES)


@pytest.mark.parametrize("shape", ["wide", "square"])
def test_our_own_export_gives_its_answer_and_its_map_again(shape: str, tmp_path: Path) -> None:
    head = load("practice_channels")
    assert isinstance(head, TrainedClassifier)
    head = TrainedClassifier(load(), head.layers, head.labels, shape, 320)  # type: ignore[arg-type]
    (tmp_path / "mine.keras").write_bytes(export_keras(head))
    again = open_model(tmp_path / "mine.keras")
    assert again.labels == head.labels
    assert (again.fit, again.canvas, again.side) == (head.fit, head.canvas, head.side if shape == "wide" else 224)
    for file in ("coffee", "rocket", "cat", "astronaut", "raccoon", "palace", "photographer"):
        pixels = read(f"samples/photos/{file}.jpg").pixels
        ours, theirs = explain(pixels, head), explain(pixels, again)
        assert theirs.label == ours.label
        assert theirs.probability == pytest.approx(ours.probability, abs=1e-5)
        np.testing.assert_allclose(theirs.heatmap, ours.heatmap, atol=1e-4)


def test_a_trained_head_is_opened_and_has_its_own_settings() -> None:
    file = "models/weights/practice_channels.npz"
    assert open_model(file).labels == load("practice_channels").labels
    with pytest.raises(ModelError, match="leave these options out"):
        open_model(file, fit="crop")


def test_a_sequential_with_augmentation_and_normalisation(tmp_path: Path) -> None:
    keras.utils.set_random_seed(2)
    model = keras.Sequential([
        keras.Input((40, 40, 3)), layers.RandomFlip(), layers.RandomRotation(0.1),
        layers.Normalization(mean=[120, 110, 100], variance=[60.0, 70, 80]), layers.Conv2D(6, 3, activation="swish"),
        layers.SeparableConv2D(8, 3), layers.LeakyReLU(0.2), layers.MaxPooling2D(), layers.Dropout(0.3), layers.Flatten(),
        layers.Dense(9, activation="relu"), layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    classifier = open_model(saved(model, tmp_path / "m.keras"), ["no", "yes"])
    pictures, _ = colours(4, 40)
    truth = np.asarray(model(pictures, training=False))
    np.testing.assert_allclose(answers(classifier, pictures)[:, 1:], truth, atol=1e-4)
    assert classifier.preprocessing == "inside"


def test_operations_of_keras_3_and_tensorflow_2(tmp_path: Path) -> None:
    keras.utils.set_random_seed(2)
    pixels = keras.Input((40, 40, 3))
    x = layers.Conv2D(4, 3, name="a")(pixels / 127.5 - 1)
    x = keras.ops.relu(x) + layers.Conv2D(4, 3, name="b")(pixels)
    model = keras.Model(pixels, layers.Dense(2, name="c")(keras.ops.mean(x, axis=(1, 2))))
    pictures, _ = colours(3, 40)
    for name in ("m.keras", "m.h5"):  # Keras itself cannot load the second
        classifier = open_model(saved(model, tmp_path / name))
        np.testing.assert_allclose(classifier.forward(pictures)[1], np.asarray(model(pictures)), rtol=1e-4, atol=1e-4)
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for node in config["config"]["layers"]:
            call = {"TrueDivide": ("math.truediv", 127.5), "Subtract": ("math.subtract", 1.0)}.get(node["class_name"])
            if call:
                before = node["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0]
                node["class_name"] = "TFOpLambda"
                node["config"] |= {"trainable": True, "function": call[0]}
                node["inbound_nodes"] = [[before, 0, 0, {"y": call[1], "name": None}]]
        file.attrs["model_config"] = json.dumps(config)
    classifier = open_model(tmp_path / "m.h5")
    np.testing.assert_allclose(classifier.forward(pictures)[1], np.asarray(model(pictures)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"attention_axes": 2}, {"use_gate": True}, {"use_causal_mask": True}], ids=str)
def test_attention_in_a_file(options: dict[str, Any], tmp_path: Path) -> None:
    """Its settings count, and so do the arguments of its call."""
    keras.utils.set_random_seed(2)
    call = {"use_causal_mask": True} if "use_causal_mask" in options else {}
    attention = layers.MultiHeadAttention(2, 6, **({} if call else options))
    pixels = keras.Input((40, 40, 3))
    x = layers.Conv2D(12, 8, 8, kernel_initializer="he_normal")(pixels / 50.0)
    x = x if "attention_axes" in options else layers.Reshape((25, 12))(x)
    x = layers.Flatten()(layers.Activation("tanh")(layers.Add()([x, attention(x, x, **call)])))
    model = keras.Model(pixels, layers.Dense(3)(x))
    pictures, _ = colours(3, 40)
    for name in ("m.keras", "m.h5"):
        classifier = open_model(saved(model, tmp_path / name), preprocess="0..255")
        np.testing.assert_allclose(classifier.forward(pictures)[1], np.asarray(model(pictures)), rtol=1e-4, atol=1e-4)


def test_names_with_a_slash_as_in_keras_2(tmp_path: Path) -> None:
    """DenseNet and MobileNetV3 of Keras 2 have layers such as "conv1/conv", which Keras 3 refuses."""
    model = small_cnn()
    path = tmp_path / "m.h5"
    path.write_bytes(keras_2_h5(model))
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = file.attrs["model_config"].replace('"features"', '"conv2/features"')
        group = file["model_weights"]
        group.create_group("conv2")
        group.move("features", "conv2/features")
        names = [layer.name for layer in model.layers]
        group.attrs["layer_names"] = [name.replace("features", "conv2/features") for name in names]
    pictures, _ = colours(3, 48)
    np.testing.assert_allclose(answers(open_model(path), pictures), np.asarray(model(pictures)), atol=1e-4)


def test_imagenet_labels_where_there_are_1000(tmp_path: Path) -> None:
    pixels = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, strides=4, activation="relu")(pixels / 255.0))
    path = saved(keras.Model(pixels, layers.Dense(1000)(x)), tmp_path / "m.keras")
    assert open_model(path).labels == load().labels
    with pytest.raises(ModelError, match="1000 classes and 2 labels"):
        open_model(path, ["a", "b"])


def test_settings_that_are_given_count(tmp_path: Path) -> None:
    model = small_cnn(scale=False)
    path = saved(model, tmp_path / "m.keras")
    classifier = open_model(path, preprocess="-1..1", fit="letterbox")
    pictures, _ = colours(4, 48)
    np.testing.assert_allclose(answers(classifier, pictures), np.asarray(model(pictures / 127.5 - 1)), atol=1e-4)
    assert (classifier.fit, classifier.preprocessing) == ("letterbox", "-1..1")
    assert "as chosen" in classifier.notes[0]
    unknown = open_model(path)
    assert len(unknown.notes) == 1
    assert "preprocess=" in unknown.notes[0] or "Preprocessing: " in unknown.notes[0]
    with pytest.raises(UserError, match="crop"):
        open_model(path, fit="crap")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"no preprocessing '0\.\.2'"):
        open_model(path, preprocess="0..2")


# --- a file that only runs forwards


@pytest.fixture
def forward_only(tmp_path: Path) -> Classifier:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((32, 32, 3))
    x = layers.Flatten()(layers.Conv2D(4, 3, strides=2, activation="relu")(pixels / 255.0))
    (tmp_path / "flat.tflite").write_bytes(to_tflite(keras.Model(pixels, layers.Dense(2, activation="softmax")(x))))
    return open_model(tmp_path / "flat.tflite", preprocess="0..255")


SHORT: dict[str, dict[str, Any]] = {
    "occlusion": {"patch": 16, "stride": 16}, "rise": {"samples": 16}, "lime": {"samples": 32}, "sobol": {"rows": 2},
    "bay-lime": {"samples": 16}, "kernel-shap": {"samples": 32}, "hsic": {"samples": 32}, "finite-differences": {"grid": 4},
}  # fmt: skip


def test_forward_passes_are_enough_for_perturbation_and_no_more(forward_only: Classifier, cat: Path) -> None:
    assert forward_only.capabilities == frozenset()
    for name in METHODS:
        if name in SHORT:
            assert np.isfinite(explain(cat, forward_only, name, **SHORT[name]).heatmap).all()
            continue
        if name == "consensus":
            continue  # it takes the methods that work
        with pytest.raises(ModelError, match=f"^{name.replace('+', '.')} needs ") as error:
            explain(cat, forward_only, name)
        assert all(method in str(error.value) for method in SHORT)


def test_a_tflite_file_with_a_map_has_every_cam_and_no_gradient(tmp_path: Path, cat: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(to_tflite(small_cnn()))
    classifier = open_model(tmp_path / "m.tflite", preprocess="0..255")
    for name, method in METHODS.items():
        if method.family == "cam":
            assert np.isfinite(explain(cat, classifier, name).raw).all()
        elif "gradient" in method.needs:
            with pytest.raises(ModelError, match=r"needs .*gradients.* choose grad-cam, "):
                explain(cat, classifier, name)
    with pytest.raises(ModelError, match="no layers to choose"):
        explain(cat, classifier, "layer-cam", layers="features")


# --- hostile and damaged files: one sentence, nothing executed, memory bounded


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def a_lambda(folder: Path) -> bytes:
    pixels = keras.Input((32, 32, 3))
    x = layers.Lambda(lambda batch: batch / 255)(pixels)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))
    return saved(keras.Model(pixels, layers.Dense(2)(x)), folder / "l.keras").read_bytes()


def changed(change: Callable[[Any], Any]) -> Callable[[Path], bytes]:
    return lambda folder: changed_config(saved(small_cnn(), folder / "c.keras"), change)


def layer_of(config: Any, kind: str) -> Any:
    return next(node for node in config["config"]["layers"] if node["class_name"] == kind)


def many_parameters(config: Any) -> None:
    layer_of(config, "Dense")["config"]["units"] = 100_000_000


def custom_object(config: Any) -> None:
    layer_of(config, "Dense").update(class_name="Popen", module="subprocess", registered_name="Popen")


def code_as_initializer(config: Any) -> None:
    node = {"class_name": "function", "config": "os.system", "module": "builtins"}
    layer_of(config, "Dense")["config"]["activation"] = node


def huge_input(config: Any) -> None:
    layer_of(config, "InputLayer")["config"]["batch_shape"] = [None, 100_000, 100_000, 3]


def deep(config: Any) -> None:
    for _ in range(12):
        config["config"] = {"name": "m", "layers": [{"class_name": "Sequential", "config": config["config"]}]}
    config["class_name"] = "Sequential"


def not_finite(folder: Path) -> bytes:
    model = small_cnn()
    model.layers[-1].set_weights([np.full_like(weights, np.nan) for weights in model.layers[-1].get_weights()])
    return saved(model, folder / "nan.keras").read_bytes()


def external_link(folder: Path) -> bytes:
    path = folder / "link.h5"
    path.write_bytes(keras_2_h5(small_cnn()))
    with h5py.File(path, "r+") as file:
        file["model_weights/secret"] = h5py.ExternalLink("/etc/passwd", "/")
    return path.read_bytes()


def external_storage(folder: Path) -> bytes:
    path = folder / "storage.h5"
    path.write_bytes(keras_2_h5(small_cnn()))
    with h5py.File(path, "r+") as file:
        file.create_dataset("model_weights/secret", (10,), "u1", external=[("/etc/passwd", 0, 10)])
    return path.read_bytes()


def h5_bomb(folder: Path) -> bytes:
    path = folder / "bomb.h5"
    path.write_bytes(keras_2_h5(small_cnn()))
    with h5py.File(path, "r+") as file:
        file.create_dataset("model_weights/zeros", (40_000, 40_000), "f4", chunks=(1000, 1000), compression="gzip")
    return path.read_bytes()


def zip_bomb(_: Path) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("keras_model.h5", bytes(200_000_000))
    return file.getvalue()


def missing_weights(folder: Path) -> bytes:
    path = saved(small_cnn(), folder / "m.keras")
    other = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(saved(other, folder / "o.keras")) as small:
        return zipped(config__json=archive.read("config.json"), **{
            "metadata.json": archive.read("metadata.json"), "model.weights.h5": small.read("model.weights.h5"),
        })  # fmt: skip


def two_outputs(folder: Path) -> bytes:
    model = small_cnn()
    return saved(keras.Model(model.inputs, [model.output, model.output]), folder / "two.keras").read_bytes()


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


HOSTILE: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "a Lambda": (a_lambda, "Lambda layer in a file is code"),
    "a pickle": (lambda folder: pickle.dumps(Bomb(folder / "ran")), "pickle"),
    "a PyTorch file": (lambda folder: zipped(**{"m/data.pkl": pickle.dumps(Bomb(folder / "ran"))}), "PyTorch"),
    "10^8 parameters": (changed(many_parameters), "more parameters than it holds|more than"),
    "a custom object": (changed(custom_object), "'Popen' is not one"),
    "code as an activation": (changed(code_as_initializer), "activation 'os.system'"),
    "a huge input": (changed(huge_input), "more than 50000000 values"),
    "nested models": (changed(deep), "nested too deeply"),
    "no layers": (changed(lambda config: config.update(config={})), "do not fit together"),
    "no JSON object": (lambda _: zipped(config__json=b"[" * 100_000, **{"model.weights.h5": b""}), "damaged"),
    "weights that are not finite": (not_finite, "not all finite"),
    "a link to another file": (external_link, "refers to other files"),
    "an array in another file": (external_storage, "refers to other files"),
    "an array that grows": (h5_bomb, "more numbers than it holds"),
    "a zip file that grows": (zip_bomb, "larger than any model"),
    "weights of another model": (missing_weights, "more parameters than it holds"),
    "two outputs": (two_outputs, "2 outputs"),
    "weights only": (lambda folder: _weights_only(folder), "model.save"),
    "a zip with a path": (lambda _: zipped(**{"../../evil.txt": b"x"}), "no model in"),
    "half a .keras file": (lambda folder: truncated(saved(small_cnn(), folder / "m.keras").read_bytes()), "damaged"),
    "half an .h5 file": (lambda _: truncated(keras_2_h5(small_cnn())), "damaged"),
    "half a .tflite file": (lambda _: truncated(to_tflite(small_cnn())), "damaged"),
    "a .tflite file of noise": (
        lambda _: b"\0\0\0\0TFL3" + np.random.default_rng(0).bytes(5000),
        "damaged|cannot be used",
    ),
    "an empty file": (lambda _: b"", "empty"),
    "a text": (lambda _: b"hello, this is no model", "no model that can be opened"),
    "wrong labels": (lambda folder: _wrong_labels(folder), "3 classes and 2 labels"),
}


def _weights_only(folder: Path) -> bytes:
    small_cnn().save_weights(folder / "m.weights.h5")
    return (folder / "m.weights.h5").read_bytes()


def _wrong_labels(folder: Path) -> bytes:
    model = saved(small_cnn(), folder / "w.keras").read_bytes()
    return zipped(**{"model.keras": model, "labels.txt": b"a\nb\n"})


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_one_sentence(case: str, tmp_path: Path) -> None:
    make, reason = HOSTILE[case]
    (tmp_path / "theirs.bin").write_bytes(make(tmp_path))
    with pytest.raises(ModelError, match=reason) as error:
        open_model(tmp_path / "theirs.bin")
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")
    assert len(str(error.value)) < 500
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_and_a_saved_model_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="check the path"):
        open_model(tmp_path / "none.keras")
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ModelError, match=r"cannot be used: it is damaged.*"):
        open_model(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="no model in 'empty'"):
        open_model(tmp_path / "empty")


def test_load_takes_names_and_files(tmp_path: Path) -> None:
    path = saved(small_cnn(), tmp_path / "mine.keras")
    (tmp_path / "labels.txt").write_bytes(LABELS)
    classifier = load(path, labels=tmp_path / "labels.txt", fit="crop")
    assert (classifier.labels, classifier.fit) == (tuple(NAMES), "crop")
    with pytest.raises(ModelError, match="for model files"):
        load("mobilenet_v2", fit="crop")
    with pytest.raises(ModelError, match="a model file holds its own"):
        load(path, weights="w.h5")
    with pytest.raises(ModelError, match="check the path"):
        load("nowhere.tflite")
