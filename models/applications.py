"""Classifiers from keras.applications, on demand: their published weights are downloaded once, or read from a file.

They need TensorFlow and, the first time, the network; the converted LiteRT network is kept beside the weights, so that
the second start is quick.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import embedded
from models.classifier import Classifier
from models.errors import ModelError, reason

if TYPE_CHECKING:
    import keras

    from models.engine import Engine

HOST = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True)
class Application:
    """One of keras.applications: `module` and `builder` in it, the published file under HOST and its MD5, if published."""

    module: str
    builder: str
    file: str
    md5: str | None


APPLICATIONS = {
    "vgg16": Application(
        "vgg16", "VGG16", "vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5", "64373286793e3c8b2b4e3219cbf3544b"
    ),
    "resnet50": Application(
        "resnet",
        "ResNet50",
        "resnet/resnet50_weights_tf_dim_ordering_tf_kernels.h5",
        "2cb95161c43110f7111970584f804107",
    ),
    "efficientnet_v2b0": Application(
        "efficientnet_v2",
        "EfficientNetV2B0",
        "efficientnet_v2/efficientnetv2-b0.h5",
        "21ecbf6da12460d5c40bb2f29ceb2188",
    ),
    "mobilenet_v2_keras": Application(
        "mobilenet_v2", "MobileNetV2", "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5", None
    ),
}


def load(name: str, weights: str | os.PathLike[str] | None = None) -> Classifier:
    """A classifier of keras.applications with its published ImageNet weights, or those of a file.

    `weights`: an .h5 or .weights.h5 file for the same architecture; by default the published one, from Keras' own cache
    or downloaded into it. Raises ModelError, in a sentence that says what to do, when neither can be had.
    """
    application = APPLICATIONS[name]
    path = _given(weights) if weights is not None else fetch(application)
    network, preprocess = build(application)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a hundred lines on a file that does not fit, before the error that counts
            network.load_weights(path)
    except Exception as error:  # h5py and Keras raise what they like on a file that does not fit
        advice = "" if weights is not None else f"; delete {path} and try again"
        raise ModelError(f"'{path.name}' does not hold weights for {name} ({reason(error)}){advice}.") from error

    from models.keras_model import to_classifier

    return to_classifier(network, embedded.labels(), preprocess, name, engine=_cached_engine(name, path))


def build(application: Application) -> tuple[keras.Model, Callable]:
    """The architecture with logits as output and random weights, and its preprocessing (RGB in [0, 255] -> input)."""
    module: Any = import_module(f"keras.applications.{application.module}")
    network = getattr(module, application.builder)(weights=None, classifier_activation=None)
    return network, module.preprocess_input


def cache() -> Path:
    """Where Keras keeps its downloads ($KERAS_HOME or ~/.keras), so that nothing is downloaded twice."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def fetch(application: Application, host: str = HOST) -> Path:
    """The published weights file, downloaded if it is not in the cache; its hash is checked where one is published."""
    import pooch
    import requests

    name = Path(application.file).name
    md5 = f"md5:{application.md5}" if application.md5 else None
    elsewhere = (
        f'fetch {HOST}/{application.file} elsewhere and name it: load(..., weights="{name}") or --weights {name}.'
    )
    try:
        return Path(
            pooch.retrieve(
                f"{host}/{application.file}",
                known_hash=md5,
                fname=name,
                path=cache(),
                downloader=pooch.HTTPDownloader(progressbar=True, timeout=30),
            )
        )
    except ValueError as error:  # pooch: the hash does not match
        raise ModelError(
            f"The download of {name} arrived damaged (its hash is wrong); try again, or {elsewhere}"
        ) from error
    except requests.HTTPError as error:
        answer = getattr(error.response, "status_code", "an error")
        raise ModelError(f"{name} could not be downloaded (the server answered {answer}); {elsewhere}") from error
    except requests.RequestException as error:
        raise ModelError(f"{name} could not be downloaded; check the network and try again, or {elsewhere}") from error
    except OSError as error:
        raise ModelError(
            f"{name} could not be kept in {cache()} ({reason(error)}); make room or set KERAS_HOME."
        ) from error


def _given(weights: str | os.PathLike[str]) -> Path:
    path = Path(weights)
    if not path.is_file():
        raise ModelError(f"There is no weights file '{path}'; check the path.")
    if path.suffix not in {".h5", ".hdf5"}:
        raise ModelError(f"'{path.name}' is not an .h5 file; save weights with model.save_weights('name.weights.h5').")
    return path


def _cached_engine(name: str, weights: Path) -> Callable[[keras.Model, tuple[int, int]], Engine]:
    """Compile as usual, but keep the converted network under the hash of its weights: converting takes up to a minute."""

    def compile_once(network: keras.Model, canvas: tuple[int, int]) -> Engine:
        from models.engine import compile_network

        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        return compile_network(network, canvas, keep=cache() / f"thumbscope-{name}-{digest}.tflite")

    return compile_once
