"""`open_model`: a classifier from any model file that people have, recognised by its content and not by its ending.

In this package `open` is a module, and the built-in `open` keeps its meaning. The function is therefore called `open_model`.

A file may come from anyone. Nothing in it is executed or unpickled, and sizes are checked before memory is allocated.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import ModelError, describe_error
from models import embedded, keras_file, preprocessing, trained_head
from models.classifier import Activation, Classifier, check_fit, check_labels
from models.forward_engine import ForwardEngine, settle
from models.from_function import no_network
from models.geometry import Fit
from models.head import MissingHead, head_capabilities
from models.labels import parse_labels, read_labels
from models.onnx_file import read_onnx
from models.outputs import find_activation
from models.preprocessing import DEFAULT_ORDER, WAYS, Preprocessing
from models.saved_model import read_saved_model
from models.tflite_file import read_tflite

if TYPE_CHECKING:
    import keras

    from models.keras_clues import Clues

MAX_BYTES = 2_000_000_000
KINDS = ".keras, .h5, .tflite, .onnx, a SavedModel folder, a trained head (.npz), or a zip file of Teachable Machine"
SAFE_KINDS = ".keras, .h5 or .tflite, or the zip file of Teachable Machine"
_TEACHABLE = "as in every model of Teachable Machine"
_INSIDE = "because layers inside the model scale them"
_NO_CODE = "it can run code when it is loaded, so it is not opened; give"


@dataclass(frozen=True)
class _Request:
    """A file with what is known about it. The options are None where the file or a default decides."""

    name: str
    stem: str
    content: bytes = b""
    labels: list[str] | None = None
    way: Preprocessing | None = None
    fit: Fit | None = None
    output: int | str | None = None
    activation: Activation | None = None
    public: bool = False
    teachable: bool = False  # its labels and structure are those of Teachable Machine
    folder: Path | None = None  # where a file that belongs to it may lie


def open_model(
    path: str | os.PathLike[str],
    labels: Sequence[str] | str | os.PathLike[str] | None = None,
    preprocess: str | None = None,
    fit: Fit | None = None,
    output: int | str | None = None,
    activation: str | None = None,
    public: bool = False,
) -> Classifier:
    """Open a model file, a SavedModel folder, or the folder or zip file that Teachable Machine exports.

    Args:
        path: A `.keras` file; an `.h5` file of Keras 2, Keras 3 or Teachable Machine; a `.tflite` file, float or quantised; an
            `.onnx` file; a SavedModel folder; a head that was trained here (`.npz`); a zip file or a folder with one of them
            and `labels.txt`.
        labels: One label per class, or a file with them, see `models.labels`. By default those in the file, those beside it in
            a zip file, those of ImageNet for 1000 classes, or "class 0", "class 1", ...
        preprocess: How pixels are scaled: "0..255", "0..1", "-1..1", "imagenet" or "caffe". By default layers inside the model
            count, then the file's own hints, then a comparison on photographs; `classifier.notes` has the result.
        fit: As for `models.from_keras.from_keras`. By default what the file says, or "squash".
        output: Index or name of the output with the classes, for a model with several.
        activation: "softmax" or "sigmoid", for a model that gives logits. By default the file decides.
        public: Whether a stranger gives the file. ONNX files and folders are then refused; see also `models.isolated`.

    Returns:
        The classifier.

    Raises:
        ModelError: In one sentence that says what to do, if the file cannot be used.
        UnknownNameError: If there is no such preprocessing, fit, output or activation.

    >>> open_model("models/weights/practice_channels.npz").labels[0]
    'Bolt Squad'
    """
    path = Path(path)
    request = _Request(
        name=path.name,
        stem=path.stem,
        labels=None if labels is None else read_labels(labels),
        way=None if preprocess is None else preprocessing.find_preprocessing(preprocess),
        fit=fit,
        output=output,
        activation=find_activation(activation),
        public=public,
    )
    try:
        if path.is_dir() and not public:
            return _open_folder(path, request)
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"'{path.name}' is larger than {MAX_BYTES // 1_000_000} MB; give a smaller model.")
        request = replace(request, content=path.read_bytes(), folder=path.parent)
    except OSError as error:
        raise ModelError(
            f"The model '{path}' cannot be read ({error.strerror or describe_error(error)}); check the path."
        ) from error
    if request.content[:2] == b"PK" and zipfile.is_zipfile(path) and _holds(request.content, "format.npy"):
        if (request.labels, request.way, fit, output, activation) != (None,) * 5:
            raise ModelError(f"'{path.name}' holds its labels, preprocessing and fit itself; leave these options out.")
        return trained_head.load(path)
    return _open(request)


def _holds(content: bytes, member: str) -> bool:
    """Whether a zip archive has a member of that name."""
    return member.encode() in content[:1_000_000] or member.encode() in content[-1_000_000:]


def _open_folder(path: Path, request: _Request) -> Classifier:
    """The model in a folder: a SavedModel, or what was a zip file of Teachable Machine."""
    saved = [folder for folder in (path, path / "model.savedmodel") if (folder / "saved_model.pb").is_file()]
    files = {file.name: file for file in path.iterdir() if file.is_file() and file.stat().st_size <= MAX_BYTES}
    if saved:
        if request.labels is None and "labels.txt" in files:
            request = replace(request, labels=parse_labels(files["labels.txt"].read_bytes(), "labels.txt"))
        return _from_saved_model(saved[0], replace(request, teachable=saved[0] != path))
    return _open_members({name: file.read_bytes for name, file in files.items()}, replace(request, folder=path))


def _open_members(files: dict[str, Callable[[], bytes]], request: _Request) -> Classifier:
    """The model among several files. `files`: a function that reads each, by its name without folders."""
    models = [
        file
        for ending in (".keras", ".h5", ".tflite", ".onnx")
        for file in sorted(files)
        if file.lower().endswith(ending)
    ]
    models.sort(key=lambda file: "unquant" not in file and file.lower().endswith(".tflite"))
    if not models:
        if "saved_model.pb" in files:
            raise ModelError(f"'{request.name}' holds a SavedModel; unpack it and give the folder.")
        raise ModelError(f"There is no model in '{request.name}'; give {KINDS}.")
    texts = [file for file in sorted(files) if file.lower() in ("labels.txt", "labels.json")]
    teachable = bool(texts) and models[0] in ("keras_model.h5", "model_unquant.tflite", "model.tflite")
    labels = request.labels
    if labels is None and texts:
        labels = parse_labels(files[texts[0]](), texts[0])
    return _open(replace(request, name=models[0], content=files[models[0]](), labels=labels, teachable=teachable))


def _open(request: _Request) -> Classifier:
    """The classifier in a file, by its first bytes."""
    content, name = request.content, request.name
    if content[4:8] == b"TFL3":
        return _from_tflite(request)
    if content[:8] == b"\x89HDF\r\n\x1a\n":
        return _from_keras(request, keras_file.read_legacy_h5(content, name), {})
    if content[:2] == b"PK":
        with keras_file.open_zip(content, name) as archive:
            members = [entry for entry in archive.infolist() if not entry.is_dir()]
            inside = {entry.filename for entry in members}
            if any(member.endswith("data.pkl") for member in inside):
                raise ModelError(f"'{name}' is a PyTorch file: {_NO_CODE} {KINDS}.")
            if {"config.json", "model.weights.h5"} <= inside:
                return _from_keras(request, *keras_file.read_keras_zip(content, name))
            files = {Path(entry.filename).name: _reader(archive, entry, name) for entry in members}
            return _open_members(files, replace(request, folder=None))
    if content[:1] == b"\x80" or name.lower().endswith((".pkl", ".pickle", ".joblib", ".pt", ".pth")):
        raise ModelError(f"'{name}' is a pickle: {_NO_CODE} {KINDS}.")
    if not content:
        raise ModelError(f"'{name}' is empty; save or download it again.")
    if name.lower().endswith(".onnx") or _is_onnx(content):
        return _from_onnx(request)
    raise ModelError(f"'{name}' is no model that can be opened here, or it is damaged; give {KINDS}.")


def _is_onnx(content: bytes) -> bool:
    """Whether a file begins like an ONNX model: a version from 3 to 20, then the name of the program that wrote it."""
    return len(content) > 100 and content[0] == 8 and 3 <= content[1] <= 20 and content[2] in (0x12, 0x1A, 0x22, 0x3A)


def _reader(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return archive.read(entry)
        except Exception as error:  # zipfile and zlib raise many types for damaged files
            raise ModelError(f"'{name}' cannot be used: {keras_file.DAMAGED}.") from error

    return read


def _choose_labels(request: _Request, classes: int, own: Any) -> tuple[str, ...]:
    """The labels that were given, those of the file, those of ImageNet, or numbers."""
    labels = request.labels
    if labels is None and isinstance(own, list) and all(isinstance(label, str) for label in own):
        labels = own
    if labels is None and classes == 1000:
        return embedded.imagenet_labels()
    if labels is None and classes == 1001:
        return ("background", *embedded.imagenet_labels())
    return check_labels(labels, classes)


def _from_tflite(request: _Request) -> Classifier:
    model = read_tflite(request.content, request.name)
    own = None if model.labels is None else parse_labels(model.labels, request.name)
    fit = check_fit(request.name, request.fit or ("crop" if request.teachable else "squash"), model.canvas)

    def build() -> keras.Model:
        raise ModelError(
            f"'{request.name}' is a .tflite file, which has no layers to choose and no gradients; "
            "open the .keras or .h5 file instead."
        )

    classifier = Classifier(
        name=request.stem,
        labels=_choose_labels(request, model.classes, own),
        engine=model.engine,
        head=model.head or MissingHead(request.name),
        build_network=build,
        canvas=model.canvas,
        activation=model.activation,
        fit=fit,
        capabilities=head_capabilities(model.head),
    )
    classifier.features_layer = ""

    def predict(way: Preprocessing) -> np.ndarray:
        model.engine.preprocessing = way
        return classifier.forward(photographs)[1]

    way, reason = request.way, "as chosen"
    if way is None and model.inside:
        way, reason = WAYS["0..255"], _INSIDE
    if way is None and model.quantised:
        way, reason = model.quantised, "the range of the quantised input"
    if way is None and request.teachable:
        way, reason = WAYS["-1..1"], _TEACHABLE
    photographs = preprocessing.photographs(model.canvas, fit)
    if way is None:
        way, certain = preprocessing.choose_by_logits(predict)
        reason = preprocessing.ONLY if certain else ""
    model.engine.preprocessing = way
    classifier.preprocessing = "inside" if reason == _INSIDE else way.name
    classifier.notes = (preprocessing.describe_choice(way, reason),)
    return classifier


def _from_keras(request: _Request, model: keras.Model, extras: dict[str, Any]) -> Classifier:
    from models.from_keras import from_keras
    from models.keras_clues import find_clues

    export = extras.get(trained_head.EXPORT) or {}
    side, fit = None, request.fit
    if isinstance(export, dict) and isinstance(export.get("side"), int) and 32 <= export["side"] <= 1024:
        side, fit = export["side"], fit or ("follow" if export.get("canvas") == "wide" else "letterbox")
    teachable = request.teachable or _is_teachable(model)
    fit = fit or ("crop" if teachable else None)
    clues = find_clues(model, request.output, request.activation)
    way, reason = request.way, "as chosen"
    if way is None and clues.inside:
        way, reason = WAYS["0..255"], _INSIDE
    if way is None and teachable:
        way, reason = WAYS["-1..1"], _TEACHABLE
    if way is None:
        way, reason = _compare(clues, preprocessing.photographs(clues.canvas, fit or "squash"))
    inside = way.name == "0..255"
    classifier = from_keras(
        model, preprocess=None if inside else way, fit=fit, side=side, name=request.stem, output=request.output,
        activation=request.activation,
    )  # fmt: skip
    classifier.labels = _choose_labels(request, len(classifier.labels), extras.get("labels.json"))
    if inside and not clues.inside:
        classifier.preprocessing = classifier.preprocessing.replace("inside", way.name)
    classifier.notes = (preprocessing.describe_choice(way, reason), *classifier.notes)
    return classifier


def _from_onnx(request: _Request) -> Classifier:
    if request.public:
        raise ModelError(
            f"'{request.name}' is an ONNX file, which is opened on your own machine only; give {SAFE_KINDS}."
        )
    model = read_onnx(request.content, request.name, request.folder, request.output)
    canvas = (model.layout.height or Classifier.side, model.layout.width or Classifier.side)
    way, reason = request.way, "as chosen"
    if way is None and model.inside:
        way, reason = WAYS["0..255"], _INSIDE
    order = ("imagenet", "0..1", "-1..1", "0..255", "caffe") if model.layout.channels_first else DEFAULT_ORDER
    return settle(
        request.stem, ForwardEngine(model.run, model.layout, model.most), canvas,
        lambda classes: _choose_labels(request, classes, None), lambda: no_network(request.name), head=model.head, way=way,
        reason=reason, fit=request.fit, activation=request.activation, linear=model.linear, final=model.final,
        layout=model.layout, order=order,
    )  # fmt: skip


def _from_saved_model(folder: Path, request: _Request) -> Classifier:
    model = read_saved_model(folder, request.output)
    canvas = (model.layout.height or Classifier.side, model.layout.width or Classifier.side)
    way, reason = request.way, "as chosen"
    if way is None and model.inside:
        way, reason = WAYS["0..255"], _INSIDE
    if way is None and request.teachable:
        way, reason = WAYS["-1..1"], _TEACHABLE
    return settle(
        request.stem, ForwardEngine(model.run, model.layout, model.most), canvas,
        lambda classes: _choose_labels(request, classes, None), lambda: no_network(request.name), way=way, reason=reason,
        fit=request.fit or ("crop" if request.teachable else None), activation=request.activation, layout=model.layout,
        input_gradient=model.input_gradient,
    )  # fmt: skip


def _compare(clues: Clues, photographs: np.ndarray) -> tuple[Preprocessing, str]:
    """The preprocessing of a Keras model by its statistics, its family or its logits, and the reason; empty without one."""
    statistics = clues.statistics
    if statistics is not None:
        way = preprocessing.choose_by_statistics(
            statistics.means, statistics.variances, lambda way: statistics.observe(way(photographs))
        )
        if way is not None:
            return way, "which fits the statistics of the first batch normalisation on photographs"
    if family := preprocessing.from_family(clues.families):
        return family, "as usual for this family of models"
    way, certain = preprocessing.choose_by_logits(lambda way: clues.predict(way(photographs)))
    return way, preprocessing.ONLY if certain else ""


def _is_teachable(model: keras.Model) -> bool:
    """Whether a model has the structure of Teachable Machine: a backbone with pooling, then two dense layers."""
    parts = [layer for layer in model.layers if hasattr(layer, "layers")]
    if len(parts) != 2 or len(model.layers) != 2 or model.input_shape[1:] != (224, 224, 3):
        return False
    backbone, head = ([type(layer).__name__ for layer in part.layers] for part in parts)
    return backbone == ["Functional", "GlobalAveragePooling2D"] and head == ["Dense", "Dense"]
