"""`Classifier`: one model with everything that the methods need: forward passes, gradients, labels, geometry."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import numpy as np

from core.errors import ModelError, UserError, unknown
from models import attention, geometry, gradients
from models.capabilities import ALL, FALLBACK
from models.engine import Engine
from models.geometry import Fit, Geometry
from models.head import Head, LinearHead
from models.litert import BackwardGraph

if TYPE_CHECKING:
    import keras

T = TypeVar("T")
Activation = Literal["softmax", "sigmoid"]


@dataclass(frozen=True)
class Prediction:
    """One class: its index, its label and its probability in [0, 1]."""

    index: int
    label: str
    probability: float

    def to_dict(self) -> dict[str, Any]:
        """The three fields, ready for JSON."""
        return asdict(self)


class Classifier:
    """A backbone (picture -> features, the last spatial activation) and a head (features -> logits).

    A canvas is a picture as the network takes it: float32 RGB (h, w, 3) in [0, 255]. Normalisation is a part of the network.

    An objective is a float32 vector of logit weights (classes,). For one class it is a unit vector. For "class A rather than
    class B" it is the difference of two unit vectors. Gradients are those of logits, never of probabilities.

    Threads may share a classifier.

    Args:
        name: Name of the model.
        labels: One label per class, in the order of the logits.
        engine: Runs forward passes.
        head: The part of the model behind the features.
        build_network: Builds the Keras model (pixels -> features, logits). It is called when a gradient needs the model for
            the first time, because this imports TensorFlow.
        canvas: The shape (h, w) of the only canvas that the model takes, or None if the canvas follows the picture.
        activation: How logits become probabilities.
        backward: Computes gradients with respect to the pixels from gradients with respect to the features, without
            TensorFlow. None if the model has no such graph.
        fit: How a picture is fitted to the canvas, see `models.geometry`. By default "letterbox" on a fixed canvas, and
            "follow" without one.
        capabilities: What it can do besides forward passes, see `models.capabilities`. By default everything that its head
            allows, without attention.
        pixel_gradient: Computes d(objective . logits) / d(batch) for (batch, objective), in place of the Keras network.

    Attributes:
        preprocessing: How pixels are scaled for the network: "inside" for a network that does it itself.
        notes: Sentences that the user should know, such as how the preprocessing was found.

    >>> from core.images import read
    >>> from models import load
    >>> load("mobilenet_v2").predict(read("samples/photos/coffee.jpg").pixels, count=1)[0].label
    'espresso'
    """

    side = 224  # a canvas that follows the picture has about side * side pixels
    stride = 32  # pixels of the canvas per cell of the features
    features_layer = "features"  # name of the layer that gives the features; empty if it has none
    has_tokens = False  # whether the features are tokens of a transformer, see `models.tokens`

    def __init__(
        self,
        name: str,
        labels: Sequence[str],
        engine: Engine,
        head: Head,
        build_network: Callable[[], keras.Model],
        canvas: tuple[int, int] | None = None,
        activation: Activation = "softmax",
        backward: BackwardGraph | None = None,
        fit: Fit | None = None,
        capabilities: Iterable[str] | None = None,
        pixel_gradient: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.name = name
        self.labels = tuple(labels)
        self.engine = engine
        self.head = head
        self.canvas = canvas
        self.activation = activation
        self.backward = backward
        self.fit: Fit = check_fit(name, fit, canvas)
        able = ALL - {"attention"} if isinstance(head, LinearHead) else ALL - {"attention", "linear"}
        self.capabilities = able if capabilities is None else frozenset(capabilities)
        self.preprocessing = "inside"
        self.notes: tuple[str, ...] = ()
        self._build_network = build_network
        self._pixel_gradient = pixel_gradient
        self._cache: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Classifier({self.name!r}, {len(self.labels)} classes)"

    @cached_property
    def _index_by_label(self) -> tuple[dict[str, int], dict[str, int]]:
        """The index of each label as it is written, and in lower case where this means one label only."""
        # Reversed, so that the first of two equal labels counts: a dict keeps the last value of a key.
        written = {label.strip(): index for index, label in reversed(list(enumerate(self.labels)))}
        spellings = Counter(label.casefold() for label in written)
        return written, {label.casefold(): n for label, n in written.items() if spellings[label.casefold()] == 1}

    def index(self, target: int | str) -> int:
        """The index of a class, given as an index or as a label. Case counts only where labels differ in it alone.

        Raises UnknownNameError with suggestions if there is no such class.
        """
        if isinstance(target, str):
            name = target.strip()
            written, lower = self._index_by_label
            class_index = written.get(name, lower.get(name.casefold()))
            if class_index is not None:
                return class_index
            raise unknown("class", target, self.labels)
        if not 0 <= int(target) < len(self.labels):
            raise unknown("class", target, [f"0 to {len(self.labels) - 1}"])
        return int(target)

    def objective(self, target: int | str, against: int | str | None = None) -> np.ndarray:
        """The logit weights (classes,), float32, of a class: 1 for `target`, -1 for the contrasted class, 0 for others.

        Raises UnknownNameError if there is no such class.

        >>> from models import load
        >>> load("mobilenet_v2").objective("tench", against="goldfish")[:3].tolist()
        [1.0, -1.0, 0.0]
        """
        weights = np.zeros(len(self.labels), np.float32)
        weights[self.index(target)] = 1
        if against is not None:
            weights[self.index(against)] = -1
        return weights

    def geometry(self, size: tuple[int, int], side: int | None = None) -> Geometry:
        """Where a picture of `size` (H, W) lies on the canvas of this network.

        `side`: the canvas has about side * side pixels, by default `self.side`. A larger side gives finer maps and takes more
        time. Raises ModelError if the network takes one canvas only, and UserError for a side under `stride` or over 1024.
        """
        if side is None and self.canvas:
            return geometry.FIXED[self.fit](size, self.canvas)
        if self.canvas:
            raise ModelError(f"{self.name} takes pictures of {self.canvas[1]}x{self.canvas[0]} only; leave out `side`.")
        if side is not None and not self.stride <= side <= 1024:
            raise UserError(f"The side of the canvas must be {self.stride} to 1024 pixels; got {side}.")
        return geometry.following(size, side or self.side, self.stride)

    def input_facts(self) -> dict[str, str]:
        """How a picture becomes the input of the network, for the parameters of an explanation."""
        return {"fit": self.fit, "preprocessing": self.preprocessing}

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features (N, fh, fw, C) and logits (N, classes) of a batch of canvases (N, h, w, 3) in [0, 255]."""
        return self.engine.forward(np.ascontiguousarray(batch, np.float32))

    def gradient(self, batch: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """The gradient of the objective with respect to the pixels: d(objective . logits) / d(batch).

        This imports TensorFlow, unless the classifier has a `backward` graph.

        Args:
            batch: Canvases (N, h, w, 3) in [0, 255].
            objective: Weights of the logits (classes,).

        Returns:
            float32 (N, h, w, 3).

        Raises:
            ModelError: If the classifier only runs forwards.
        """
        if "gradient" not in self.capabilities:
            raise ModelError(f"'{self.name}' gives no gradients; use a method by perturbation, such as {FALLBACK}.")
        batch = np.ascontiguousarray(batch, np.float32)
        if self._pixel_gradient:
            return self._pixel_gradient(batch, objective.astype(np.float32))
        if self.backward:
            shape = self.backward.features_shape(batch.shape)
            features = np.zeros(shape, np.float32) if self.head.has_constant_gradient else self.forward(batch)[0]
            return self.backward(batch, self.head.gradient(features, objective))
        return self.cached("pixels", gradients.PixelGradient)(batch, objective.astype(np.float32))

    def guided_gradient(self, batch: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """As `gradient`, but every ReLU passes back positive gradients only. Raises ModelError for a model without ReLU."""
        guided = self.cached("guided", gradients.GuidedGradient)
        return guided(np.ascontiguousarray(batch, np.float32), objective.astype(np.float32))

    def full_gradient(self, batch: np.ndarray, objective: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """The score of one canvas (1, h, w, 3) as the sum of terms of pixels and biases, and the maps of these terms.

        See `models.gradients.FullGradient`. Imports TensorFlow.
        """
        full = self.cached("full", gradients.FullGradient)
        return full(np.ascontiguousarray(batch, np.float32), objective.astype(np.float32))

    def layer_gradient(self, layer: str, batch: np.ndarray, objective: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The activation of one layer, and the gradient of the objective with respect to it. Imports TensorFlow.

        Args:
            layer: Name of a layer of the Keras network whose output is a spatial map.
            batch: Canvases (N, h, w, 3) in [0, 255].
            objective: Weights of the logits (classes,).

        Returns:
            Activation and d(objective . logits) / d(activation), each float32 (N, lh, lw, C).

        Raises:
            UnknownNameError: With the names of the layers, if there is no such layer or its output is not a spatial map.
        """
        layer_gradient = self.cached(f"layer {layer}", lambda network: gradients.LayerGradient(network, layer))
        return layer_gradient(np.ascontiguousarray(batch, np.float32), objective.astype(np.float32))

    def channel_gradient(self, layer: str, channel: int, batch: np.ndarray) -> np.ndarray:
        """The gradient of the mean of one channel with respect to the pixels. Imports TensorFlow.

        Args:
            layer: Name of a layer of the Keras network whose output is a spatial map.
            channel: Index of the channel.
            batch: Canvases (N, h, w, 3) in [0, 255].

        Returns:
            d(mean of the channel) / d(batch), float32 (N, h, w, 3).

        Raises:
            UnknownNameError: With the names or indices that exist, if there is no such layer or channel.
        """
        channel_gradient = self.cached(
            f"channels of {layer}", lambda network: gradients.ChannelGradient(network, layer)
        )
        return channel_gradient.at_channel(channel, np.ascontiguousarray(batch, np.float32))

    def attention(self, canvas: np.ndarray, objective: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The attention A of every layer of a transformer, and its effect on a score y. Imports TensorFlow.

        Args:
            canvas: One canvas (h, w, 3) in [0, 255].
            objective: Weights of the logits (classes,).

        Returns:
            The mean over the heads of A, float32 (layers, tokens, tokens): row i has the shares that token i takes from each
            token, in [0, 1]. The mean over the heads of relu(A * dy/dA), of the same shape. For each token (tokens,) 1 if the
            score depends on it after the last attention, such as on a class token, or else 0.
        """
        compute = self.cached("attention", attention.AttentionGradient)
        return compute(np.ascontiguousarray(canvas, np.float32), objective.astype(np.float32))

    def channels(self) -> dict[str, int]:
        """The layers whose output is a spatial activation, and the number of channels of each. Imports TensorFlow.

        Raises ModelError if there are none.
        """
        channels = self.cached("channels", gradients.channels)
        if not channels:
            raise ModelError(f"'{self.name}' has no layer with a spatial map.")
        return channels

    def cached(self, name: str, make: Callable[[keras.Model], T]) -> T:
        """Compute something from the Keras network once, and keep it under a name.

        Gradients and other functions that TensorFlow traces are stored here, because tracing takes seconds. The Keras network
        itself is built at the first call, which imports TensorFlow. Threads wait for each other.

        Args:
            name: Key of the result. The same name returns the same object, whatever `make` is.
            make: Computes the result from the Keras network (pixels -> features, logits).

        Returns:
            The result of the first call with this name.
        """
        with self._lock:
            if "network" not in self._cache:
                self._cache["network"] = self._build_network()
            if name not in self._cache:
                self._cache[name] = make(self._cache["network"])
            return self._cache[name]

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Logits (..., classes) -> probabilities of the same shape."""
        return softmax(logits) if self.activation == "softmax" else 1 / (1 + np.exp(-np.clip(logits, -60, 60)))

    def top(self, logits: np.ndarray, count: int = 5) -> tuple[Prediction, ...]:
        """The `count` most probable classes for the logits (classes,) of one picture, most probable first."""
        probabilities = self.probabilities(logits)
        best = np.argsort(-probabilities, kind="stable")[:count]
        return tuple(Prediction(int(i), self.labels[i], float(probabilities[i])) for i in best)

    def predict(self, pixels: np.ndarray, count: int = 5) -> tuple[Prediction, ...]:
        """The `count` most probable classes of one picture, uint8 RGB (H, W, 3), most probable first."""
        return self.top(self.logits(pixels), count)

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """The logits (classes,) of one picture, uint8 RGB (H, W, 3)."""
        return self.forward(self.geometry(pixels.shape[:2]).place(pixels)[None])[1][0]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Logits (..., classes) -> probabilities of the same shape and type, which sum to 1 over the last axis.

    It gives the same bits as scipy.special.softmax. With SciPy's, `explain --list` takes 0.4 s instead of 0.2 s to start.

    >>> softmax(np.array([0.0, np.log(3.0)])).round(6).tolist()
    [0.25, 0.75]
    """
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def check_fit(name: str, fit: str | None, canvas: tuple[int, int] | None) -> Fit:
    """The way to fit a picture to the canvas of the model `name`; for the default see `Classifier`.

    Raises UnknownNameError if there is no such way, and ModelError if the canvas does not allow it.
    """
    fit = fit or ("letterbox" if canvas else "follow")
    if fit not in geometry.FITS:
        raise unknown("fit", fit, geometry.FITS)
    if canvas and fit == "follow":
        raise ModelError(
            f"{name} takes pictures of {canvas[1]}x{canvas[0]} only; choose the fit {', '.join(geometry.FIXED)}."
        )
    if not canvas and fit != "follow":
        raise ModelError(f"{name} has no fixed canvas, so its fit is 'follow', not '{fit}'.")
    return cast("Fit", fit)


def check_labels(labels: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    """The labels of a model with this number of classes; "class 0", "class 1", ... for None.

    Raises ModelError if the number of labels differs from the number of classes, or if two labels are equal; `A` is not `a`.
    """
    if labels is None:
        return tuple(f"class {index}" for index in range(classes))
    names = tuple(str(label) for label in labels)
    if len(names) != classes:
        raise ModelError(
            f"The model has {classes} classes and {len(names)} labels were given; give one label per class."
        )
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike = spellings[name.strip().casefold()]
        # Folders `A` and `a` are two classes; spaces around one of them are a typing error.
        if any(name.strip() == other.strip() or name != name.strip() or other != other.strip() for other in alike):
            raise ModelError(f"Two labels are the same: '{name}'; give every class its own label.")
        alike.append(name)
    return names
