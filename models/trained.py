"""A trained classifier: a small head on a backbone of this repository. Kept as one `.npz`, exported as a complete `.keras`.

The file holds arrays only and is read without unpickling. It never brings a network: the backbone is named, and is one of
those in `weights/`.
"""

from __future__ import annotations

import io
import json
import math
import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

import models
from models import embedded
from models.classifier import Classifier, check_labels
from models.engine import Engine, write_atomically
from models.errors import ModelError, reason
from models.head import HiddenHead, LinearHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

Canvas = Literal["wide", "square"]
Layers = list[tuple[np.ndarray, np.ndarray]]  # (weights, bias) of each dense layer, the last one gives the logits

FORMAT = 1
SIDE = 320  # 448 x 256 for 16:9: two points more accurate on thumbnails than 224 (288 x 160), for 7 ms more a picture
PREPROCESSING = "RGB in [0, 255]; normalised inside the backbone; global average pooling"
MAX_BYTES = 20_000_000
MAX_CLASSES = 1000


class Trained(Classifier):
    """A classifier whose head was trained here. `backbone`: the name of the embedded network below it.

    `spread`: "wide" lets the canvas follow the picture, at about side * side pixels; "square" is side x side with bars.
    `figures`: what is known about its training, as JSON can hold it. `layers`: the head's arrays.
    """

    def __init__(
        self,
        backbone: Classifier,
        layers: Layers,
        labels: Sequence[str],
        spread: Canvas = "wide",
        side: int = SIDE,
        name: str = "my model",
        figures: dict[str, Any] | None = None,
    ) -> None:
        head = LinearHead(*layers[0]) if len(layers) == 1 else HiddenHead(*layers)
        super().__init__(
            name=name,
            labels=check_labels(labels, layers[-1][1].size),
            engine=_Engine(backbone.engine, head),
            head=head,
            network=lambda: network(backbone.name, layers),
            canvas=None if spread == "wide" else (side, side),
            backward=backbone.backward,
        )
        self.side = side
        self.backbone = backbone.name
        self.spread = spread
        self.layers = layers
        self.figures = figures or {}


class _Engine:
    """The backbone's features, and the head's logits in place of its own."""

    def __init__(self, backbone: Engine, head: LinearHead | HiddenHead) -> None:
        self._backbone, self._head = backbone, head

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Engine`."""
        features, _ = self._backbone.forward(batch)
        return features, self._head.logits(features)


def network(backbone: str, layers: Layers) -> keras.Model:
    """The Keras network, pixels -> features, logits, of a head's `layers` on an embedded backbone."""
    import keras

    below = embedded.network(backbone)
    x = keras.layers.GlobalAveragePooling2D()(below.outputs[0])
    for index, (weights, bias) in enumerate(layers):
        dense = keras.layers.Dense(bias.size, "relu" if index < len(layers) - 1 else None, name=f"dense{index}")
        x = dense(x)
        dense.set_weights([weights, bias])
    return keras.Model(below.inputs[0], [below.outputs[0], x])


def pack(trained: Trained) -> bytes:
    """The bytes of its `.npz` file."""
    arrays: dict[str, Any] = {
        "format": np.array(FORMAT),
        "backbone": np.array(trained.backbone),
        "canvas": np.array(trained.spread),
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


def save(trained: Trained, path: str | os.PathLike[str]) -> None:
    """Write it as one `.npz`, whole or not at all."""
    write_atomically(Path(path), pack(trained))


def load(path: str | os.PathLike[str], name: str = "") -> Trained:
    """The classifier in an `.npz` that `save` wrote; `name` is by default the file's.

    Raises ModelError, in a sentence, for anything else: nothing in the file is run or unpickled, and its sizes are checked
    before they are allocated.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"'{path.name}' is larger than {MAX_BYTES // 1_000_000} MB; it is no trained head.")
        arrays = _arrays(path.read_bytes())
        if int(arrays["format"]) != FORMAT:
            raise ModelError(f"'{path.name}' is of format {int(arrays['format'])}, which this version does not know.")
        backbone, spread = str(arrays["backbone"]), str(arrays["canvas"])
        side = int(arrays["side"])
        labels = [str(label) for label in arrays["labels"]]
        figures = json.loads(str(arrays["figures"]))
        count = sum(key.startswith("weights") for key in arrays)
        layers = [(arrays[f"weights{index}"], arrays[f"bias{index}"]) for index in range(count)]
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"'{path}' cannot be read ({error.strerror or reason(error)}).") from error
    except (
        KeyError,
        ValueError,
        TypeError,
        IndexError,
        RecursionError,
        zipfile.BadZipFile,
        NotImplementedError,
    ) as error:
        raise ModelError(
            f"'{path.name}' is not a head trained here, or is damaged; train or download it again."
        ) from error
    _check(path.name, backbone, spread, side, labels, layers, figures)
    canvas: Canvas = "wide" if spread == "wide" else "square"
    return Trained(models.load(backbone), layers, labels, canvas, side, name or path.stem, figures)


def _check(name: str, backbone: str, spread: str, side: int, labels: list[str], layers: Layers, figures: Any) -> None:
    """Raise ModelError unless all parts of a file fit together."""
    wrong = ""
    if backbone not in embedded.ARCHITECTURES:
        wrong = f"its backbone '{backbone[:40]}' is not one of {', '.join(embedded.ARCHITECTURES)}"
    elif spread not in get_args(Canvas):
        wrong = f"its canvas '{spread[:40]}' is neither wide nor square"
    elif side % 32 or not 32 <= side <= 1024:
        wrong = f"its canvas has a side of {side} and not of 32 to 1024 in steps of 32"
    elif not 2 <= len(labels) <= MAX_CLASSES or not all(0 < len(label) <= 100 for label in labels):
        wrong = f"it needs 2 to {MAX_CLASSES} classes with names of 1 to 100 letters"
    elif not isinstance(figures, dict):
        wrong = "its figures are no table"
    elif len(layers) not in (1, 2):
        wrong = f"its head has {len(layers)} layers and not 1 or 2"
    else:
        below = embedded.TOP
        for weights, bias in layers:
            if weights.dtype.kind != "f" or bias.dtype.kind != "f" or weights.shape != (below, *bias.shape):
                wrong = "its layers do not fit together"
                break
            if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
                wrong = "its weights are not all finite"
                break
            below = bias.size
        else:
            if below != len(labels):
                wrong = f"it has {len(labels)} labels for {below} outputs"
    if wrong:
        raise ModelError(f"'{name}' cannot be used: {wrong}.")


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an `.npz`, where every header tells the size that its entry really has."""
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if len(entries) > 16 or sum(entry.file_size for entry in entries) > MAX_BYTES:
            raise ValueError("too much in it")
        for entry in entries:
            with archive.open(entry) as member:
                file = io.BytesIO(member.read(MAX_BYTES))
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[np.lib.format.read_magic(file)]
            shape, _, dtype = read_header(file)
            if dtype.kind not in "fiU" or math.prod(shape) * dtype.itemsize != file.getbuffer().nbytes - file.tell():
                raise ValueError("an array of another size or kind than it says")
            file.seek(0)
            arrays[entry.filename.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays


def export(trained: Trained) -> bytes:
    """A complete `.keras` file that plain Keras loads: `keras.models.load_model(path)`.

    RGB in [0, 255] (N, h, w, 3), sides in whole cells of 32 -> probabilities (N, classes). Keras has no place for labels:
    they lie beside its own files in the archive, as `labels.json`.
    """
    import keras

    whole = network(trained.backbone, trained.layers)
    model = keras.Model(
        whole.inputs[0], keras.layers.Softmax(name="probabilities")(whole.outputs[1]), name="thumbscope"
    )
    with tempfile.TemporaryDirectory(prefix="thumbscope-") as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("labels.json", json.dumps(trained.labels))
        return path.read_bytes()
