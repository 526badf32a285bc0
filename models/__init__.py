"""What is explained: classifiers, their weights and their training. `load("mobilenet_v2")` is all it takes."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from models.classifier import Classifier, Prediction
from models.errors import ModelError, PictureError, UnknownNameError, UserError, unknown

__all__ = [
    "DEFAULT", "MODELS", "Classifier", "Model", "ModelError", "PictureError", "Prediction", "UnknownNameError", "UserError",
    "load",
]  # fmt: skip


@dataclass(frozen=True)
class Model:
    """What one should know before choosing a model; top-1 and top-5 are the publishers' figures on ImageNet, in per cent.

    `embedded`: its weights are in this repository. `head`: what was measured of a head that was trained here, whose `.npz`
    is in `weights/` by the model's name; such a model has no ImageNet figures.
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
    def score(self) -> str:
        """How good it is, in a phrase."""
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

_loaded: dict[str, Classifier] = {}
_locks = {name: threading.Lock() for name in MODELS}  # one each: a download holds up nobody else's model


def load(name: str | os.PathLike[str] = DEFAULT, weights: str | os.PathLike[str] | None = None) -> Classifier:
    """A classifier by name, loaded once and shared; or one trained here, by the path of its `.npz`, read anew.

    `weights`: for models of keras.applications, a weights file (.h5) to use instead of the published one. Raises
    UnknownNameError for a name not in MODELS, ModelError when weights cannot be had or do not fit.
    """
    if str(name).endswith(".npz"):
        from models import trained

        return trained.load(name)
    if name not in MODELS:
        raise unknown("model", name, MODELS)
    if MODELS[name].embedded:
        from models import embedded, trained

        if weights is not None:
            raise ModelError(
                f"{name} has its weights built in; other weights files fit the models of keras.applications."
            )
        with _locks[name]:  # a head's backbone has a lock of its own
            if name not in _loaded:
                file = embedded.WEIGHTS / f"{name}.npz"
                _loaded[name] = trained.load(file) if MODELS[name].head else embedded.load(name)
            return _loaded[name]
    from models import applications

    if weights is not None:
        return applications.load(name, weights)
    with _locks[name]:
        if name not in _loaded:
            _loaded[name] = applications.load(name)
        return _loaded[name]
