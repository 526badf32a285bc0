"""Classifiers of keras.applications. Their published weights are downloaded once, or read from a file.

The first start needs TensorFlow and the internet. The converted LiteRT network is kept beside the weights, so later starts
are faster.
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

from core.errors import ModelError, describe_error
from core.keras_settings import use_keras
from models import embedded
from models.classifier import Classifier
from models.litert import compile_network

if TYPE_CHECKING:
    import keras

    from models.engine import Engine

HOST = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True)
class Application:
    """One network of keras.applications.

    Args:
        module: Its module in keras.applications.
        builder: The function in that module that builds it.
        file: Path of the published weights under HOST.
        md5: MD5 hash of that file, or None if none is published.
    """

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
    """A classifier of keras.applications, with its published ImageNet weights or those of a file.

    `weights`: an .h5 or .weights.h5 file for the same architecture. By default the published file is read from the cache of
    Keras, and downloaded if it is not there. Raises ModelError if no weights can be read or downloaded, or if they do not fit.
    """
    application = APPLICATIONS[name]
    path = _check_weights_file(weights) if weights is not None else fetch(application)
    network, preprocess = build_network(application)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # for a wrong file, a hundred warnings come before the error
            network.load_weights(path)
    except Exception as error:  # h5py and Keras raise many types for a wrong file
        advice = "" if weights is not None else f"; delete {path} and try again"
        raise ModelError(
            f"'{path.name}' does not hold weights for {name} ({describe_error(error)}){advice}."
        ) from error

    from models.from_keras import from_keras

    return from_keras(
        network,
        embedded.imagenet_labels(),
        preprocess=preprocess,
        fit="letterbox",
        name=name,
        engine=_cached_engine(name, path),
    )


def build_network(application: Application) -> tuple[keras.Model, Callable]:
    """The architecture with random weights and logits as its output, and its preprocessing (RGB in [0, 255] -> input)."""
    use_keras()
    module: Any = import_module(f"keras.applications.{application.module}")
    network = getattr(module, application.builder)(weights=None, classifier_activation=None)
    return network, module.preprocess_input


def cache_folder() -> Path:
    """The folder where Keras keeps its downloads: in $KERAS_HOME, or in ~/.keras."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def fetch(application: Application, host: str = HOST) -> Path:
    """The path of the published weights file. It is downloaded if the cache does not have it, and its hash is checked.

    Raises ModelError with a sentence that says what to do.
    """
    import pooch
    import requests

    name = Path(application.file).name
    md5 = f"md5:{application.md5}" if application.md5 else None
    advice = f'download {HOST}/{application.file} with another tool, then use load(..., weights="{name}") or --weights {name}.'
    try:
        return Path(
            pooch.retrieve(
                f"{host}/{application.file}",
                known_hash=md5,
                fname=name,
                path=cache_folder(),
                downloader=pooch.HTTPDownloader(progressbar=True, timeout=30),
            )
        )
    except ValueError as error:  # pooch: the hash does not match
        raise ModelError(f"The downloaded file of {name} is damaged (wrong hash); try again, or {advice}") from error
    except requests.HTTPError as error:
        answer = getattr(error.response, "status_code", "an error")
        raise ModelError(f"{name} could not be downloaded (the server answered {answer}); {advice}") from error
    except requests.RequestException as error:
        raise ModelError(
            f"{name} could not be downloaded; check the internet connection and try again, or {advice}"
        ) from error
    except OSError as error:
        raise ModelError(
            f"{name} could not be saved in {cache_folder()} ({describe_error(error)}); free disk space or set KERAS_HOME."
        ) from error


def _check_weights_file(weights: str | os.PathLike[str]) -> Path:
    """The path of a user's weights file. Raises ModelError if there is none or its suffix is wrong."""
    path = Path(weights)
    if not path.is_file():
        raise ModelError(f"There is no weights file '{path}'; check the path.")
    if path.suffix not in {".h5", ".hdf5"}:
        raise ModelError(f"'{path.name}' is not an .h5 file; save weights with model.save_weights('name.weights.h5').")
    return path


def _cached_engine(name: str, weights: Path) -> Callable[[keras.Model, tuple[int, int]], Engine]:
    """The function `compile_network`, which keeps the converted network in a file named by the hash of its weights.

    The conversion takes up to a minute.
    """

    def compile_once(network: keras.Model, canvas: tuple[int, int]) -> Engine:
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        return compile_network(network, canvas, cache_file=cache_folder() / f"thumbscope-{name}-{digest}.tflite")

    return compile_once
