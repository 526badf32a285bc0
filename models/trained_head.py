"""Classifiers whose head was trained here: a small head on an embedded backbone.

`save` writes the head as one `.npz` file, and `export_keras` makes a complete `.keras` file. The `.npz` file holds arrays only
and is read without pickle. It holds the name of the backbone, not its network.
"""

from __future__ import annotations

import io
import json
import lzma
import math
import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from core.errors import ModelError
from core.files import write_atomically
from core.keras_settings import use_keras
from models import embedded
from models.classifier import Classifier, check_labels
from models.engine import Engine
from models.head import HiddenHead, LinearHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

CanvasShape = Literal["wide", "square"]
Layers = list[tuple[np.ndarray, np.ndarray]]  # (weights, bias) of each dense layer; the last layer gives the logits

FORMAT = 1
SIDE = 320  # 448 x 256 for 16:9: two points more accurate on thumbnails than 224 (288 x 160), for 7 ms more per picture
PREPROCESSING = "RGB in [0, 255]; normalised inside the backbone; global average pooling"
MAX_BYTES = 20_000_000
EXPORT = "thumbscope.json"  # in a `.keras` file: the canvas on which the classifier was trained
MAX_CLASSES, MAX_LABEL = 1000, 100  # classes, and letters of a class name
MAX_WEIGHT = 1e6  # two layers of such weights still give finite logits


class TrainedClassifier(Classifier):
    """A classifier whose head was trained here.

    Args:
        backbone: The embedded classifier that gives the features. The attribute `backbone` is its name.
        layers: Weights and bias of the one or two dense layers of the head.
        labels: One label per class.
        canvas_shape: "wide" for a canvas that follows the picture; "square" for side x side pixels with bars.
        side: A wide canvas has about side * side pixels.
        name: Name of the classifier.
        figures: Facts about the training, as JSON can hold them.
    """

    def __init__(
        self,
        backbone: Classifier,
        layers: Layers,
        labels: Sequence[str],
        canvas_shape: CanvasShape = "wide",
        side: int = SIDE,
        name: str = "my model",
        figures: dict[str, Any] | None = None,
    ) -> None:
        head = LinearHead(*layers[0]) if len(layers) == 1 else HiddenHead(*layers)
        super().__init__(
            name=name,
            labels=check_labels(labels, layers[-1][1].size),
            engine=_HeadEngine(backbone.engine, head),
            head=head,
            build_network=lambda: build_network(backbone.name, layers),
            canvas=None if canvas_shape == "wide" else (side, side),
            backward=backbone.backward,
        )
        self.side = side
        self.backbone = backbone.name
        self.canvas_shape = canvas_shape
        self.layers = layers
        self.figures = figures or {}


class _HeadEngine:
    """The features of the backbone, and the logits of the head instead of those of the backbone."""

    def __init__(self, backbone: Engine, head: LinearHead | HiddenHead) -> None:
        self._backbone, self._head = backbone, head

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Engine`."""
        features, _ = self._backbone.forward(batch)
        return features, self._head.logits(features)


def build_network(backbone: str, layers: Layers) -> keras.Model:
    """The Keras network (pixels -> features, logits) of a head with these `layers` on an embedded backbone."""
    use_keras()
    import keras

    backbone_network = embedded.load_network(backbone)
    x = keras.layers.GlobalAveragePooling2D()(backbone_network.outputs[0])
    for index, (weights, bias) in enumerate(layers):
        dense = keras.layers.Dense(bias.size, "relu" if index < len(layers) - 1 else None, name=f"dense{index}")
        x = dense(x)
        dense.set_weights([weights, bias])
    return keras.Model(backbone_network.inputs[0], [backbone_network.outputs[0], x])


def to_bytes(trained: TrainedClassifier) -> bytes:
    """The content of the `.npz` file."""
    arrays: dict[str, Any] = {
        "format": np.array(FORMAT),
        "backbone": np.array(trained.backbone),
        "canvas": np.array(trained.canvas_shape),
        "side": np.array(trained.side),
        "preprocessing": np.array(PREPROCESSING),
        "labels": np.array(trained.labels),
        "figures": np.array(json.dumps(trained.figures)),
    }
    for index, (weights, bias) in enumerate(trained.layers):
        arrays[f"weights{index}"], arrays[f"bias{index}"] = weights.astype(np.float32), bias.astype(np.float32)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def save(trained: TrainedClassifier, path: str | os.PathLike[str]) -> None:
    """Write a trained classifier to one `.npz` file, atomically. Raises OSError."""
    write_atomically(Path(path), to_bytes(trained))


def load(path: str | os.PathLike[str], name: str = "") -> TrainedClassifier:
    """Read a trained classifier from an `.npz` file that `save` wrote. `name`: by default the name of the file.

    The file may come from anyone: nothing in it is executed or unpickled, and sizes are checked before memory is allocated.
    Raises ModelError for any other file.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"'{path.name}' is larger than {MAX_BYTES // 1_000_000} MB; it is not a trained head.")
        arrays = _arrays(path.read_bytes())
        if int(arrays["format"]) != FORMAT:
            raise ModelError(f"'{path.name}' has format {int(arrays['format'])}, which this version cannot read.")
        backbone, canvas_shape = str(arrays["backbone"]), str(arrays["canvas"])
        side = int(arrays["side"])
        labels = [str(label) for label in arrays["labels"]]
        figures = json.loads(str(arrays["figures"]))
        count = sum(key.startswith("weights") for key in arrays)
        layers = [(arrays[f"weights{index}"], arrays[f"bias{index}"]) for index in range(count)]
    except ModelError:
        raise
    except (
        OSError,
        KeyError,
        ValueError,
        TypeError,
        IndexError,
        RecursionError,
        OverflowError,
        EOFError,
        RuntimeError,
        MemoryError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        NotImplementedError,
    ) as error:
        if isinstance(error, OSError) and error.strerror:  # bz2 raises OSError without it for a damaged stream
            raise ModelError(f"'{path}' cannot be read ({error.strerror}).") from error
        raise ModelError(
            f"'{path.name}' is not a trained head, or it is damaged; train or download it again."
        ) from error
    _check(path.name, backbone, canvas_shape, side, labels, layers, figures)
    canvas: CanvasShape = "wide" if canvas_shape == "wide" else "square"
    return TrainedClassifier(embedded.load(backbone), layers, labels, canvas, side, name or path.stem, figures)


def _check(
    name: str, backbone: str, canvas_shape: str, side: int, labels: list[str], layers: Layers, figures: Any
) -> None:
    """Raise ModelError unless the parts of a file fit together; for the parts see `TrainedClassifier`."""
    problem = ""
    if backbone not in embedded.ARCHITECTURES:
        problem = f"its backbone '{backbone[:40]}' is not one of {', '.join(embedded.ARCHITECTURES)}"
    elif canvas_shape not in get_args(CanvasShape):
        problem = f"its canvas '{canvas_shape[:40]}' is neither wide nor square"
    elif side % 32 or not 32 <= side <= 1024:
        problem = f"the side of its canvas is {side}, but must be 32 to 1024 in steps of 32"
    elif problem_of_labels(labels):
        problem = problem_of_labels(labels)
    elif not isinstance(figures, dict):
        problem = "its figures are not a JSON object"
    elif len(layers) not in (1, 2):
        problem = f"its head has {len(layers)} layers, but must have 1 or 2"
    else:
        width = embedded.FEATURE_CHANNELS
        for weights, bias in layers:
            if weights.dtype.kind != "f" or bias.dtype.kind != "f" or weights.shape != (width, *bias.shape):
                problem = "its layers do not fit together"
                break
            if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
                problem = "its weights are not all finite"
                break
            if max(np.abs(weights).max(initial=0), np.abs(bias).max(initial=0)) > MAX_WEIGHT:
                problem = f"it has weights over {MAX_WEIGHT:,.0f}, which no training gives"
                break
            width = bias.size
        else:
            if width != len(labels):
                problem = f"it has {len(labels)} labels for {width} outputs"
    if problem:
        raise ModelError(f"'{name}' cannot be used: {problem}.")


def problem_of_labels(labels: Sequence[str]) -> str:
    """Why a head with these class names could not be loaded again, as a part of a sentence; empty if it could."""
    if not 2 <= len(labels) <= MAX_CLASSES:
        return f"it must have 2 to {MAX_CLASSES} classes, not {len(labels)}"
    wrong = next((label for label in labels if not 0 < len(label) <= MAX_LABEL), None)
    return "" if wrong is None else f"the class name '{wrong[:30]}...' must have 1 to {MAX_LABEL} letters"


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file. Raises ValueError if a header states another size than its entry has."""
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if len(entries) > 16 or sum(entry.file_size for entry in entries) > MAX_BYTES:
            raise ValueError("the archive is too large")
        for entry in entries:
            with archive.open(entry) as member:
                file = io.BytesIO(member.read(MAX_BYTES))
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[np.lib.format.read_magic(file)]
            shape, _, dtype = read_header(file)
            if dtype.kind not in "fiU" or math.prod(shape) * dtype.itemsize != file.getbuffer().nbytes - file.tell():
                raise ValueError("an array has another size or type than its header states")
            file.seek(0)
            arrays[entry.filename.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays


def export_keras(trained: TrainedClassifier) -> bytes:
    """The content of a complete `.keras` file, which Keras alone can load: `keras.models.load_model(path)`.

    The model maps RGB in [0, 255] (N, h, w, 3), with sides that are multiples of 32, to probabilities (N, classes). Keras has
    no place for labels and for the canvas, so the file also holds `labels.json` and `thumbscope.json`.
    """
    use_keras()
    import keras

    network = build_network(trained.backbone, trained.layers)
    model = keras.Model(
        network.inputs[0], keras.layers.Softmax(name="probabilities")(network.outputs[1]), name="thumbscope"
    )
    with tempfile.TemporaryDirectory(prefix="thumbscope-") as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("labels.json", json.dumps(trained.labels))
            archive.writestr(EXPORT, json.dumps({"canvas": trained.canvas_shape, "side": trained.side}))
        return path.read_bytes()
