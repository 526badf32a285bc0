"""Model files as people have them, made in the tests: Teachable Machine's, those of Keras 2, hostile ones."""

from __future__ import annotations

import io
import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras import layers

LABELS = b"0 Red thing\n1 Green thing\n2 Blue thing\n"


def as_keras_2(node: Any) -> Any:
    """The JSON of a Keras 3 model as Keras 2.4 wrote it."""
    if isinstance(node, list):
        return [as_keras_2(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("class_name") == "DTypePolicy":
        return node["config"]["name"]
    ignored = {"module", "registered_name", "build_config", "compile_config", "quantization_config", "shared_object_id"}
    ignored |= {"renorm", "renorm_clipping", "renorm_momentum", "synchronized", "optional"}
    old = {key: as_keras_2(value) for key, value in node.items() if key not in ignored}
    if "inbound_nodes" in node:
        old["inbound_nodes"] = [
            [[*_history(tensor), {}] for tensor in keras.tree.flatten(call["args"]) if _history(tensor)]
            for call in _calls(node["inbound_nodes"])
        ]
    if "input_layers" in old:
        for end in ("input_layers", "output_layers"):
            old[end] = [old[end]] if isinstance(old[end][0], str) else old[end]
    if "batch_shape" in old:
        old["batch_input_shape"] = old.pop("batch_shape")
    if node.get("class_name") == "DepthwiseConv2D":
        old["config"]["groups"] = 1  # Keras 3 refuses it
    if node.get("class_name") == "BatchNormalization":
        old["config"]["axis"] = [3]
    return old


def _calls(nodes: list[Any]) -> list[dict[str, Any]]:
    """The calls of a layer, with each tensor as one leaf."""

    def leaf(value: Any) -> Any:
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            return _Tensor(value["config"]["keras_history"])
        return [leaf(item) for item in value] if isinstance(value, list) else value

    return [{"args": leaf(call["args"])} for call in nodes]


class _Tensor:
    def __init__(self, history: list[Any]) -> None:
        self.history = history


def _history(tensor: Any) -> list[Any]:
    return tensor.history if isinstance(tensor, _Tensor) else []


def keras_2_h5(model: keras.Model) -> bytes:
    """The bytes of a whole model as Keras 2.4 saved it."""
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        config = {"class_name": type(model).__name__, "config": model.get_config()}
        h5.attrs["model_config"] = json.dumps(as_keras_2(json.loads(json.dumps(config))))
        h5.attrs["keras_version"], h5.attrs["backend"] = "2.4.0", "tensorflow"
        group = h5.create_group("model_weights")
        group.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            part = group.create_group(layer.name)
            names = []
            for variable in [*layer.trainable_weights, *layer.non_trainable_weights]:
                owner, name = variable.path.split("/")[-2:]
                name = "depthwise_kernel" if "depthwise" in owner and name == "kernel" else name
                names.append(f"{owner}/{name}:0".encode())
                part[names[-1].decode()] = np.asarray(variable)
            part.attrs["weight_names"] = names
    return file.getvalue()


def colours(count: int = 30, side: int = 224) -> tuple[np.ndarray, np.ndarray]:
    """Noisy pictures in which one of three channels is strongest, and its index."""
    rng = np.random.default_rng(0)
    classes = np.arange(count) % 3
    pictures = rng.uniform(0, 120, (count, side, side, 3))
    pictures[np.arange(count), side // 4 : side // 2, side // 4 : side // 2, classes] += 130
    return pictures.astype(np.float32), classes


@cache
def teachable_machine() -> keras.Model:
    """The structure of Teachable Machine: MobileNetV2 and pooling, then two dense layers, which are trained here."""
    keras.utils.set_random_seed(3)
    base = keras.applications.MobileNetV2(input_shape=(224, 224, 3), alpha=0.35, include_top=False, weights=None)
    for layer in base.layers:  # statistics as if trained
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    pictures, classes = colours()
    inputs = pictures / 127.5 - 1
    base(inputs, training=True)
    features = keras.Sequential(
        [keras.Input((224, 224, 3)), base, layers.GlobalAveragePooling2D()], name="sequential_1"
    )
    head = keras.Sequential(
        [
            keras.Input((1280,)),
            layers.Dense(100, activation="relu", name="dense_Dense1"),
            layers.Dense(3, activation="softmax", use_bias=False, name="dense_Dense2"),
        ],
        name="sequential_3",
    )
    head.compile("adam", "sparse_categorical_crossentropy")
    head.fit(features.predict(inputs, verbose=0), classes, epochs=40, verbose=0)
    return keras.Sequential([keras.Input((224, 224, 3)), features, head], name="sequential_4")


def small_cnn(last: str = "softmax", scale: bool = True, side: int = 48) -> keras.Model:
    """Two convolutions, batch normalisation, pooling and one dense layer; seeded, with lively weights."""
    keras.utils.set_random_seed(1)
    pixels = keras.Input((side, side, 3))
    x = layers.Rescaling(1 / 127.5, -1)(pixels) if scale else pixels
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2D(12, 3, strides=2, activation="relu", name="features")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(pixels, layers.Dense(3, activation=last, kernel_initializer="he_normal")(x), name="small")
    model.layers[-1].set_weights([5 * weights for weights in model.layers[-1].get_weights()])
    return model


def saved(model: keras.Model, path: Path) -> Path:
    model.save(path)
    return path


def zipped(**files: bytes) -> bytes:
    """A zip file; "__" in a name stands for a dot."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return file.getvalue()


def changed_config(path: Path, change: Any) -> bytes:
    """A .keras file with another configuration."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    change(config)
    files["config.json"] = json.dumps(config).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


@cache
def to_tflite(model: keras.Model, kind: str = "float") -> bytes:
    """A model as a .tflite file: "float", "float16", "dynamic", or "uint8" with whole numbers throughout."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    spec = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    traced = tf.function(lambda batch: model(batch, training=False)).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(traced)])
    if kind != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "uint8":
        pictures, _ = colours(12, model.input_shape[1])
        pictures = pictures if model.name == "small" else pictures / 127.5 - 1
        converter.representative_dataset = lambda: ([picture[None].astype(np.float32)] for picture in pictures)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    return bytes(converter.convert())


def run_tflite(content: bytes, inputs: np.ndarray) -> np.ndarray:
    """The outputs of a .tflite file as LiteRT itself gives them, as real numbers."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    results = []
    for values in inputs:
        scale, zero = source["quantization"]
        values = np.clip(np.rint(values / scale) + zero, 0, 255).astype(np.uint8) if scale else values
        interpreter.set_tensor(source["index"], values[None])
        interpreter.invoke()
        result, (scale, zero) = interpreter.get_tensor(target["index"])[0], target["quantization"]
        results.append((result.astype(np.float32) - zero) * scale if scale else result)
    return np.array(results)
