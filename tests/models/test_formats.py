"""Models of other frameworks: ONNX, SavedModel, PyTorch, and plain functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from core.errors import ModelError, UserError
from explain import METHODS, explain
from models import Classifier, open_model
from models.from_function import from_function
from models.from_torch import from_torch
from models.head import HiddenHead, LinearHead
from tests.model_files import colours, saved, small_cnn
from tests.models.test_from_keras import SHORT
from tests.models.test_open import answers, grad_cam, small_logits

NAMES = ["red", "green", "blue"]


# --- ONNX


def to_onnx(
    model: keras.Model, *, layout: str = "NCHW", end: str = "Gemm", kind: Any = None, change: Any = None
) -> bytes:
    """`small_cnn` as an ONNX file, as PyTorch writes it (NCHW) or as tf2onnx does (NHWC)."""
    from onnx import TensorProto, checker, helper, numpy_helper

    tensors, nodes = [], []

    def constant(name: str, values: Any, dtype: Any = np.float32) -> str:
        tensors.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(op: str, *inputs: str, **settings: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [f"t{len(nodes)}"], **settings))
        return f"t{len(nodes) - 1}"

    x = "picture"
    if kind is not None:
        x = node("Cast", x, to=TensorProto.FLOAT)
    if layout == "NHWC":
        x = node("Transpose", x, perm=[0, 3, 1, 2])
    for layer in model.layers:
        if isinstance(layer, layers.Rescaling):
            x = node("Add", node("Mul", x, constant("scale", layer.scale)), constant("offset", layer.offset))
        if isinstance(layer, layers.Conv2D):
            kernel, bias = layer.get_weights()
            weights = constant(f"{layer.name}_w", kernel.transpose(3, 2, 0, 1))
            x = node("Relu", node("Conv", x, weights, constant(f"{layer.name}_b", bias), strides=layer.strides))
        if isinstance(layer, layers.BatchNormalization):
            names = [constant(f"bn_{i}", w) for i, w in enumerate(layer.get_weights())]
            x = node("BatchNormalization", x, *names, epsilon=layer.epsilon)
    x = node("Flatten", node("GlobalAveragePool", x))
    kernel, bias = model.layers[-1].get_weights()
    if end == "Gemm":
        x = node("Gemm", x, constant("w", kernel.T), constant("b", bias), transB=1)
    else:
        x = node("Add", node("MatMul", x, constant("w", kernel)), constant("b", bias))
    x = node("Softmax", x, axis=-1)
    side = model.input_shape[1]
    shape = ["N", 3, side, side] if layout == "NCHW" else ["N", side, side, 3]
    source = helper.make_tensor_value_info("picture", kind or TensorProto.FLOAT, shape)
    graph = helper.make_graph(
        nodes, "g", [source], [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["N", 3])], tensors
    )
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(file)
    if change:
        change(file)
    return bytes(file.SerializeToString())


@pytest.mark.parametrize(("layout", "end"), [("NCHW", "Gemm"), ("NHWC", "MatMul")])
def test_an_onnx_file_gives_predictions_and_maps_of_its_framework(layout: str, end: str, tmp_path: Path) -> None:
    model = small_cnn()
    (tmp_path / "mine.bin").write_bytes(to_onnx(model, layout=layout, end=end))  # by content, not by ending
    classifier = open_model(tmp_path / "mine.bin", NAMES)
    pictures, _ = colours(6, 48)
    np.testing.assert_allclose(answers(classifier, pictures), np.asarray(model(pictures)), atol=1e-4)
    assert isinstance(classifier.head, LinearHead)
    assert classifier.capabilities == {"features", "feature-gradient", "linear"}
    assert (classifier.labels, classifier.canvas, classifier.fit) == (tuple(NAMES), (48, 48), "squash")
    picture = pictures[1].astype(np.uint8)
    truth = grad_cam(model, model.get_layer("features").output, small_logits(model), picture.astype(np.float32), 1)
    raw = explain(picture, classifier, "grad-cam", 1).raw
    np.testing.assert_allclose(raw, truth, atol=1e-4 * np.abs(truth).max())
    with pytest.raises(ModelError, match=r"saliency needs gradients .* choose grad-cam, "):
        explain(picture, classifier, "saliency")
    with pytest.raises(ModelError, match="no layers to choose"):
        explain(picture, classifier, "layer-cam", layers="features")


def test_an_onnx_file_that_takes_bytes_or_unscaled_pixels(tmp_path: Path) -> None:
    from onnx import TensorProto

    pictures, _ = colours(6, 48)
    (tmp_path / "bytes.onnx").write_bytes(to_onnx(small_cnn(), kind=TensorProto.UINT8))
    truth = np.asarray(small_cnn()(np.rint(pictures)))
    classifier = open_model(tmp_path / "bytes.onnx", preprocess="0..255")
    np.testing.assert_allclose(answers(classifier, pictures), truth, atol=1e-4)
    model = small_cnn(scale=False)
    (tmp_path / "floats.onnx").write_bytes(to_onnx(model))
    classifier = open_model(tmp_path / "floats.onnx", preprocess="imagenet")
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    truth = np.asarray(model(((pictures / 255 - mean) / deviation).astype(np.float32)))
    np.testing.assert_allclose(answers(classifier, pictures), truth, atol=1e-4)
    assert classifier.preprocessing == "imagenet, channels first"
    assert "preprocess=" in open_model(tmp_path / "floats.onnx").notes[0]


def externally(location: str) -> Any:
    """Moves the weights of the last layer into another file."""

    def change(file: Any) -> None:
        from onnx.external_data_helper import set_external_data

        tensor = next(tensor for tensor in file.graph.initializer if tensor.name == "w")
        set_external_data(tensor, location, 0, len(tensor.raw_data))
        tensor.ClearField("raw_data")

    return change


def test_weights_beside_an_onnx_file_are_read_and_no_other_file(tmp_path: Path) -> None:
    model = small_cnn()
    weights = model.layers[-1].get_weights()[0].T.astype(np.float32).tobytes()
    (tmp_path / "mine.onnx.data").write_bytes(weights)
    (tmp_path / "mine.onnx").write_bytes(to_onnx(model, change=externally("mine.onnx.data")))
    pictures, _ = colours(3, 48)
    np.testing.assert_allclose(
        answers(open_model(tmp_path / "mine.onnx"), pictures), np.asarray(model(pictures)), atol=1e-4
    )
    (tmp_path / "link").symlink_to("/etc/passwd")
    for location in ("../mine.onnx.data", "/etc/passwd", "missing", "link", ".."):
        (tmp_path / "theirs.onnx").write_bytes(to_onnx(model, change=externally(location)))
        with pytest.raises(ModelError, match="in another file"):
            open_model(tmp_path / "theirs.onnx")


def huge(file: Any) -> None:
    """A tensor of 10^12 values that the file describes and does not hold."""
    from onnx import TensorProto, helper, numpy_helper

    graph = file.graph
    graph.initializer.append(numpy_helper.from_array(np.array([10**6, 10**6], np.int64), "shape"))
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [0.0])
    graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["big"], value=value))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: to_onnx(small_cnn())[:-300], "damaged"),
        (lambda: b"\x08\x08\x12\x07pytorch" + np.random.default_rng(0).bytes(500), "damaged"),
        (lambda: to_onnx(small_cnn(), change=huge), "more than 200000000 values"),
    ],
)
def test_a_hostile_onnx_file_is_one_sentence(content: Any, reason: str, tmp_path: Path) -> None:
    (tmp_path / "theirs.onnx").write_bytes(content())
    with pytest.raises(ModelError, match=reason) as error:
        open_model(tmp_path / "theirs.onnx")
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


# --- SavedModel


def test_a_saved_model_gives_predictions_and_gradients_of_keras(tmp_path: Path) -> None:
    import tensorflow as tf

    model = small_cnn()
    model.export(tmp_path / "mine", verbose=False)
    classifier = open_model(tmp_path / "mine", NAMES)
    pictures, _ = colours(6, 48)
    truth = np.asarray(model(pictures))
    np.testing.assert_allclose(answers(classifier, pictures), truth, atol=1e-4)
    assert classifier.preprocessing == "0..255"
    assert classifier.capabilities == {"gradient"}
    batch = tf.constant(pictures[:2])
    with tf.GradientTape() as tape:
        tape.watch(batch)
        score = tf.math.log(model(batch, training=False)[:, 2])
    gradient = classifier.gradient(pictures[:2], np.float32([0, 0, 1]))
    np.testing.assert_allclose(gradient, np.asarray(tape.gradient(score, batch)), rtol=1e-3, atol=1e-7)
    with pytest.raises(ModelError, match=r"grad-cam needs a spatial map of features.* choose saliency, "):
        explain(pictures[0].astype(np.uint8), classifier, "grad-cam")


def test_the_gradient_of_a_saved_model_goes_through_the_preprocessing(tmp_path: Path) -> None:
    import tensorflow as tf

    pixels = keras.Input((24, 24, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, activation="relu")(pixels))
    model = keras.Model(pixels, layers.Dense(1, activation="sigmoid")(x))
    model.layers[-1].set_weights([0.02 * weights for weights in model.layers[-1].get_weights()])  # not saturated
    model.export(tmp_path / "mine", verbose=False)
    classifier = open_model(tmp_path / "mine", preprocess="caffe")
    pictures = colours(2, 24)[0]
    scaled = tf.constant(pictures[..., ::-1] - np.float32([103.939, 116.779, 123.68]))
    with tf.GradientTape() as tape:
        tape.watch(scaled)
        p = model(scaled, training=False)[:, 0]
        score = tf.math.log(p / (1 - p)) / 2
    gradient = classifier.gradient(pictures, np.float32([0, 1]))
    expected = np.asarray(tape.gradient(score, scaled))[..., ::-1]
    np.testing.assert_allclose(gradient, expected, rtol=1e-2, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(answers(classifier, pictures)[:, 1], np.asarray(model(scaled))[:, 0], atol=1e-5)


def test_a_saved_model_that_reads_files_or_is_damaged(tmp_path: Path) -> None:
    import tensorflow as tf

    class Reader(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.float32)])
        def __call__(self, x: Any) -> Any:
            secret = tf.strings.length(tf.io.read_file("/etc/passwd"))
            return tf.reduce_mean(x, (1, 2)) * tf.cast(secret, tf.float32)

    tf.saved_model.save(Reader(), str(tmp_path / "reader"))
    with pytest.raises(ModelError, match="the operation ReadFile, which a classifier never needs"):
        open_model(tmp_path / "reader")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError, match="damaged"):
        open_model(tmp_path / "damaged")


# --- functions


def test_a_function_has_the_methods_by_perturbation(cat: Path) -> None:
    def function(pixels: np.ndarray) -> np.ndarray:
        assert pixels.dtype == np.float32
        assert pixels.shape[1:] == (40, 60, 3)
        return pixels.mean((1, 2)) / 50

    classifier = from_function(function, NAMES, (40, 60))
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, :, 1] = 200
    np.testing.assert_allclose(classifier.logits(np.full_like(picture, 100)), [2, 2, 2], atol=1e-6)
    for name in METHODS:
        if name in ("occlusion", "rise", "kernel-shap"):
            assert np.isfinite(explain(cat, classifier, name, **SHORT[name]).heatmap).all()
    raw = explain(picture, classifier, "occlusion", 1, patch=20, stride=20, fill="black").raw
    assert raw[:20].min() > 0.3
    assert np.abs(raw[20:]).max() < 1e-6
    with pytest.raises(ModelError, match=r"grad-cam needs .* choose finite-differences, occlusion, "):
        explain(cat, classifier, "grad-cam")


def test_functions_that_are_no_classifiers() -> None:
    def fails(_: np.ndarray) -> np.ndarray:
        raise KeyError("quota")

    with pytest.raises(ModelError, match=r"failed: .*quota"):
        from_function(fails, NAMES, (40, 60))
    with pytest.raises(ModelError, match=r"one row of scores per picture"):
        from_function(lambda pixels: pixels.mean((1, 2, 3)), NAMES, (40, 60))
    with pytest.raises(ModelError, match="not finite"):
        from_function(lambda pixels: np.full((len(pixels), 3), np.nan), NAMES, (40, 60))
    with pytest.raises(ModelError, match="3 classes and 2 labels"):
        from_function(lambda pixels: pixels.mean((1, 2)), ["a", "b"], (40, 60))
    with pytest.raises(ModelError, match="The size must be"):
        from_function(lambda pixels: pixels.mean((1, 2)), NAMES, (2, 60))


# --- PyTorch


def test_a_torch_module_has_all_methods_but_guided_ones(cat: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, 2), torch.nn.BatchNorm2d(16), torch.nn.ReLU(), torch.nn.Conv2d(16, 32, 3, 2),
        torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(32, 3),
    ).eval()  # fmt: skip
    classifier = from_torch(net, NAMES, (48, 48), preprocess="0..1")
    pictures = np.rint(colours(4, 48)[0])
    inputs = torch.from_numpy(pictures.transpose(0, 3, 1, 2) / 255)
    with torch.no_grad():
        truth = net(inputs).numpy()
    np.testing.assert_allclose(classifier.forward(pictures)[1], truth, atol=1e-5)
    assert classifier.forward(pictures)[0].shape == (4, 11, 11, 32)  # before the last pooling
    leaf = inputs[:1].clone().requires_grad_()
    net(leaf)[0, 2].backward()
    expected = leaf.grad.numpy().transpose(0, 2, 3, 1) / 255
    np.testing.assert_allclose(classifier.gradient(pictures[:1], np.float32([0, 0, 1])), expected, atol=1e-8)
    features = net[:5](inputs[:1]).detach().requires_grad_()
    net[5:](features)[0, 2].backward()
    weights = features.grad.mean((2, 3), keepdim=True)
    cam = (features * weights).sum(1)[0].detach().numpy()
    raw = explain(pictures[0].astype(np.uint8), classifier, "grad-cam", 2).raw
    np.testing.assert_allclose(raw, cam, atol=1e-4 * np.abs(cam).max())
    refused = []
    for name, method in METHODS.items():
        try:
            options = SHORT.get(name, {}) if name != "consensus" else {"methods": "grad-cam,saliency"}
            assert np.isfinite(explain(cat, classifier, name, **options).heatmap).all()
        except UserError:
            refused.append(name)
            assert not method.needs <= classifier.capabilities
    assert refused == [
        "cam",
        "full-grad",
        "guided-backprop",
        "guided-grad-cam",
        "attention-rollout",
        "gradient-attention",
    ]
    assert not any(module._forward_hooks for module in net.modules())


def test_a_torch_module_that_ends_with_pooling_and_one_layer(cat: Path) -> None:
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(8, 1), torch.nn.Sigmoid(),
    )  # fmt: skip
    classifier = from_torch(net, ["no", "yes"], (48, 48), preprocess="-1..1")
    pictures, _ = colours(4, 48)
    with torch.no_grad():
        truth = net.eval()(torch.from_numpy(pictures.transpose(0, 3, 1, 2) / 127.5 - 1)).numpy()[:, 0]
    np.testing.assert_allclose(answers(classifier, pictures)[:, 1], truth, atol=1e-5)
    assert np.isfinite(explain(cat, classifier).raw).all()
    raw = explain(cat, from_torch(net[:5], None, (48, 48), preprocess="-1..1"), "cam", 1).raw
    assert raw.shape == (23, 23)
    with pytest.raises(ModelError, match=r"torch\.nn\.Module is needed, not int"):
        from_torch(3)
    with pytest.raises(UserError, match="layer with a spatial map"):
        from_torch(net, None, (48, 48), layer="9")


def test_without_torch_or_onnxruntime_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sys

    (tmp_path / "mine.onnx").write_bytes(to_onnx(small_cnn()))
    for name in ("torch", "onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModelError, match="pip install torch"):
        from_torch(object())
    with pytest.raises(ModelError, match=r"pip install -r requirements-onnx\.txt"):
        open_model(tmp_path / "mine.onnx")


def test_a_model_of_tf_keras_is_made_anew() -> None:
    tf_keras = pytest.importorskip("tf_keras")
    from models.from_keras import from_keras

    model = tf_keras.Sequential([
        tf_keras.layers.Conv2D(6, 3, activation="relu", input_shape=(32, 32, 3)), tf_keras.layers.DepthwiseConv2D(3),
        tf_keras.layers.ReLU(), tf_keras.layers.GlobalAveragePooling2D(), tf_keras.layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    classifier = from_keras(model, NAMES)
    pictures, _ = colours(4, 32)
    np.testing.assert_allclose(answers(classifier, pictures), model(pictures).numpy(), atol=1e-5)


def test_the_loss_in_a_file_decides(tmp_path: Path) -> None:
    """Multi-label from logits: saved with its loss, it is read as sigmoid in both formats of Keras."""
    model = small_cnn(last="linear")
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    pictures, _ = colours(3, 48)
    truth = np.asarray(keras.ops.sigmoid(model(pictures)))
    for name in ("m.keras", "m.h5"):
        classifier = open_model(saved(model, tmp_path / name))
        assert isinstance(classifier, Classifier)
        np.testing.assert_allclose(answers(classifier, pictures), truth, atol=1e-4)
    model.compile("adam", "mse")
    with pytest.raises(ModelError, match="was trained as a regression"):
        open_model(saved(model, tmp_path / "r.keras"))
    assert open_model(tmp_path / "r.keras", activation="softmax").activation == "softmax"


def test_hidden_layers_of_onnx(tmp_path: Path) -> None:
    """Pooling and two dense layers: the head has a closed form, too."""
    from onnx import helper, numpy_helper

    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(12, 5)).astype(np.float32), rng.normal(size=(5, 3)).astype(np.float32)

    def change(file: Any) -> None:
        graph = file.graph
        pooled = next(node for node in graph.node if node.op_type == "Flatten").output[0]
        del graph.node[-2:]
        graph.initializer.extend([numpy_helper.from_array(first, "w1"), numpy_helper.from_array(second, "w2")])
        graph.node.extend([
            helper.make_node("MatMul", [pooled, "w1"], ["h"]), helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("MatMul", ["r", "w2"], [graph.output[0].name]),
        ])  # fmt: skip

    (tmp_path / "m.onnx").write_bytes(to_onnx(small_cnn(), change=change))
    classifier = open_model(tmp_path / "m.onnx")
    assert isinstance(classifier.head, HiddenHead)
    pictures, _ = colours(3, 48)
    features, logits = classifier.forward(pictures)
    np.testing.assert_allclose(classifier.head.logits(features), logits, rtol=1e-4, atol=1e-4)
