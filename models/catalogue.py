"""The catalogue of models: their names, facts and licences, and `load`, which makes a classifier from a name.

>>> load("mobilenet_v2")
Classifier('mobilenet_v2', 1000 classes)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import ModelError, unknown
from models import applications, embedded, trained_head
from models.classifier import Classifier
from models.geometry import Fit
from models.open import open_model


@dataclass(frozen=True)
class Model:
    """The facts that help to choose a model.

    Args:
        title: Name of the architecture.
        input: Size of the canvas in pixels.
        parameters: Number of parameters. 0 for a model of the user, see `add`.
        weights: Origin of the weights.
        licence: Licence of the weights.
        top1: Top-1 accuracy on ImageNet in per cent, as published. 0 for a model with a trained head.
        top5: The same for top-5 accuracy.
        embedded: Whether the weights are in this repository.
        head: Measured score of a head that was trained here, stored as `weights/NAME.npz`; empty for an ImageNet model.
    """

    title: str
    input: str
    parameters: int
    weights: str
    licence: str
    top1: float = 0
    top5: float = 0
    embedded: bool = False
    head: str = ""

    @property
    def is_file(self) -> bool:
        """Whether it is a model of the user, which only this process has, see `add`."""
        return not self.parameters

    @property
    def score(self) -> str:
        """Its accuracy in a phrase."""
        return self.head or f"{self.top1:.1f} % top-1 on ImageNet"


_KERAS = "downloaded by keras.applications"
MODELS = {
    "mobilenet_v2": Model(
        "MobileNetV2", "about 224 x 224, any aspect", 3_504_872, "in this repository, from torchvision", "BSD-3-Clause",
        71.9, 90.3, embedded=True,
    ),
    "efficientnet_lite0": Model(
        "EfficientNet-Lite0", "about 224 x 224, any aspect", 4_652_008, "in this repository, from Google's tensorflow/tpu",
        "Apache-2.0", 75.1, 92.5, embedded=True,
    ),
    "tech_channels": Model(
        "Tech channels", "about 320 x 320, any aspect", 2_352_275, "in this repository, trained here", "Apache-2.0",
        embedded=True, head="macro F1 0.961 on held-out thumbnails",
    ),
    "practice_channels": Model(
        "Practice channels", "about 320 x 320, any aspect", 2_227_715, "in this repository, trained here", "Apache-2.0",
        embedded=True, head="macro F1 1.000 on held-out thumbnails",
    ),
    "vgg16": Model("VGG16", "224 x 224", 138_357_544, _KERAS, "CC BY 4.0 (Oxford VGG)", 71.3, 90.1),
    "resnet50": Model("ResNet50", "224 x 224", 25_636_712, _KERAS, "MIT (Microsoft, He et al.)", 74.9, 92.1),
    "efficientnet_v2b0": Model("EfficientNetV2-B0", "224 x 224", 7_200_312, _KERAS, "Apache-2.0 (Google)", 78.7, 94.3),
    "mobilenet_v2_keras": Model("MobileNetV2 (Keras)", "224 x 224", 3_538_984, _KERAS, "Apache-2.0 (Google)", 71.3, 90.1),
}  # fmt: skip
DEFAULT = "mobilenet_v2"
SUFFIXES = {".npz", ".keras", ".h5", ".hdf5", ".tflite", ".onnx", ".zip"}  # a name with one of them is a path

_loaded: dict[str, Classifier] = {}
_locks = {name: threading.Lock() for name in MODELS}  # one lock per model: a download does not block other models


def load(
    name: str | os.PathLike[str] = DEFAULT,
    weights: str | os.PathLike[str] | None = None,
    labels: Sequence[str] | str | os.PathLike[str] | None = None,
    preprocess: str | None = None,
    fit: Fit | None = None,
    output: int | str | None = None,
    activation: str | None = None,
) -> Classifier:
    """Load a classifier by its name, or from a model file.

    A classifier with a name is loaded once and shared. A file is read at every call.

    Args:
        name: A key of MODELS, or the path of a model file, see `models.open.open_model`.
        weights: A weights file (.h5) to use instead of the published one, for models of keras.applications only.
        labels, preprocess, fit, output, activation: Only for a model file, see `models.open.open_model`.

    Returns:
        The classifier.

    Raises:
        UnknownNameError: If MODELS has no such name, and there is no such file.
        ModelError: If the weights cannot be read or downloaded, or do not fit the model.

    >>> classifier = load("mobilenet_v2")
    >>> classifier.labels[classifier.index("Tabby")]
    'tabby'
    """
    if name not in MODELS:
        if not _is_path(name):
            raise unknown("model", name, MODELS)
        if weights is not None:
            raise ModelError("Weights files are for the models of keras.applications; a model file holds its own.")
        return open_model(name, labels, preprocess, fit, output, activation)
    if (labels, preprocess, fit, output, activation) != (None,) * 5:
        raise ModelError(f"{name} has its own labels, preprocessing and fit; these options are for model files.")
    name = str(name)
    if MODELS[name].embedded:
        if weights is not None:
            raise ModelError(
                f"{name} has its weights built in; a weights file works only for the models of keras.applications."
            )
        with _locks[name]:  # the backbone of a head has another lock
            if name not in _loaded:
                file = embedded.WEIGHTS / f"{name}.npz"
                _loaded[name] = trained_head.load(file) if MODELS[name].head else embedded.load(name)
            return _loaded[name]
    if weights is not None:
        return applications.load(name, weights)
    with _locks[name]:
        if name not in _loaded:
            _loaded[name] = applications.load(name)
        return _loaded[name]


def is_loaded(name: str) -> bool:
    """Whether `load` returns the model with this name at once: it is in memory."""
    return name in _loaded


def add(name: str, classifier: Classifier, input_size: str) -> None:
    """Add a classifier of the user to the list of models. `input_size`: of its input, in words."""
    MODELS[name] = Model(name, input_size, 0, "a file on this machine", "yours", embedded=True, head="your own model")
    _locks[name] = threading.Lock()
    _loaded[name] = classifier


def _is_path(name: str | os.PathLike[str]) -> bool:
    """Whether the name of a model is meant as a path: it exists, has a folder, or ends like a model file."""
    path = Path(name)
    return path.suffix.lower() in SUFFIXES or path.exists() or path.name != str(name)
