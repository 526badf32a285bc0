"""Classifier: everything about one model in one place, with pixels in and logits out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from models import geometry
from models.engine import Backward, Engine
from models.errors import ModelError, UserError, unknown
from models.geometry import Geometry
from models.head import Head

if TYPE_CHECKING:
    import keras

    from models.randomised import Randomised

T = TypeVar("T")
Activation = Literal["softmax", "sigmoid"]


@dataclass(frozen=True)
class Prediction:
    """One class and how probable it is, in [0, 1]."""

    index: int
    label: str
    probability: float


class Classifier:
    """A backbone (picture -> last spatial activation, the features) and a head (features -> logits).

    Pictures are float32 RGB in [0, 255] on a canvas; normalisation happens inside the network. Targets are vectors of
    weights on the logits, so that a class is a unit vector and "A rather than B" the difference of two; gradients are
    always of logits, never of probabilities. Safe to share between threads.

    `engine` runs it forwards. `head` is the part behind the features. `network` builds the Keras model (pixels ->
    features, logits) when a gradient asks for it, and not before: that is what imports TensorFlow. `canvas`: the one
    (h, w) it takes, or None where it follows the picture. `activation`: how its logits become probabilities. `backward`:
    takes gradients by the features back to the pixels without TensorFlow, where there is one.
    """

    side = 224  # a canvas that follows the picture has about side * side pixels, in cells of `stride`
    stride = 32

    def __init__(
        self,
        name: str,
        labels: Sequence[str],
        engine: Engine,
        head: Head,
        network: Callable[[], keras.Model],
        canvas: tuple[int, int] | None = None,
        activation: Activation = "softmax",
        backward: Backward | None = None,
    ) -> None:
        self.name = name
        self.labels = tuple(labels)
        self.engine = engine
        self.head = head
        self.canvas = canvas
        self.activation = activation
        self.backward = backward
        self._build = network
        self._made: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Classifier({self.name!r}, {len(self.labels)} classes)"

    @staticmethod
    def from_keras(
        model: keras.Model,
        labels: Sequence[str] | None = None,
        *,
        preprocess: Callable | None = None,
        name: str | None = None,
    ) -> Classifier:
        """A classifier from any Keras 3 model that is functional or sequential, nested or not.

        The model is copied and never touched: later training of it does not reach the classifier. The last spatial
        activation is found (after BatchNorm and ReLU, before a last pooling), a final softmax or sigmoid is taken off.
        One sigmoid unit becomes two classes.

        `labels`: one a class, in order; by default "class 0", "class 1", ... `preprocess`: what turns a float32 RGB
        batch in [0, 255] into the model's input, such as keras.applications.resnet50.preprocess_input; by default
        nothing. Raises ModelError, in a sentence, for models it cannot take apart.
        """
        from models.keras_model import to_classifier

        return to_classifier(model, labels, preprocess, name)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {label.strip().casefold(): index for index, label in reversed(list(enumerate(self.labels)))}

    def index(self, target: int | str) -> int:
        """The class a number or a label (in any case) stands for. Raises UnknownNameError with suggestions."""
        if isinstance(target, str):
            found = self._index.get(target.strip().casefold())
            if found is not None:
                return found
            raise unknown("class", target, self.labels)
        if not 0 <= int(target) < len(self.labels):
            raise unknown("class", target, [f"0 to {len(self.labels) - 1}"])
        return int(target)

    def geometry(self, size: tuple[int, int], side: int | None = None) -> Geometry:
        """Where a picture of `size` (H, W) lies on this network's canvas.

        `side`: the canvas has about side * side pixels, by default 224; finer maps for more time. Raises ModelError where
        the network takes one canvas only, and UserError for a side under one cell or over 1024.
        """
        if side is None and self.canvas:
            return geometry.fixed(size, self.canvas)
        if self.canvas:
            raise ModelError(
                f"{self.name} takes pictures of {self.canvas[1]}x{self.canvas[0]} only; leave out the canvas."
            )
        if side is not None and not self.stride <= side <= 1024:
            raise UserError(f"The canvas has a side of {self.stride} to 1024 pixels; got {side}.")
        return geometry.fitted(size, side or self.side, self.stride)

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features (N, fh, fw, C) and logits (N, classes) of canvases (N, h, w, 3) in [0, 255]."""
        return self.engine.forward(np.ascontiguousarray(batch, np.float32))

    def gradient(self, batch: np.ndarray, target: np.ndarray) -> np.ndarray:
        """d(target . logits) / d(pixels) (N, h, w, 3) at canvases; imports TensorFlow unless there is `backward`."""
        batch = np.ascontiguousarray(batch, np.float32)
        if self.backward:
            shape = self.backward.features(batch.shape)
            features = np.zeros(shape, np.float32) if self.head.constant else self.forward(batch)[0]
            return self.backward(batch, self.head.gradient(features, target))
        from models.gradient import PixelGradient

        return self._once("pixels", PixelGradient)(batch, target.astype(np.float32))

    def guided_gradient(self, batch: np.ndarray, target: np.ndarray) -> np.ndarray:
        """As `gradient`, with ReLUs that pass back positive gradients only. Raises ModelError if there are none."""
        from models.gradient import GuidedGradient

        guided = self._once("guided", GuidedGradient)
        return guided(np.ascontiguousarray(batch, np.float32), target.astype(np.float32))

    def layer_gradient(self, layer: str, batch: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The activation (N, lh, lw, C) of a layer of the network at canvases, and d(target . logits) / d(activation).

        Raises UnknownNameError, with the names there are, for one that is not a spatial map.
        """
        from models.gradient import LayerGradient

        inner = self._once(f"layer {layer}", lambda network: LayerGradient(network, layer))
        return inner(np.ascontiguousarray(batch, np.float32), target.astype(np.float32))

    def channel_gradient(self, layer: str, channel: int, batch: np.ndarray) -> np.ndarray:
        """d(mean of a channel of a layer) / d(pixels) (N, h, w, 3) at canvases (N, h, w, 3).

        Raises UnknownNameError, with what there is, for a layer that is not a spatial map or a channel it does not have.
        """
        from models.gradient import ChannelGradient

        inner = self._once(f"channels of {layer}", lambda network: ChannelGradient(network, layer))
        return inner.of(channel, np.ascontiguousarray(batch, np.float32))

    def channels(self) -> dict[str, int]:
        """The network's layers that are spatial activations, and how many channels each has; imports TensorFlow."""
        from models.gradient import channels

        return self._once("channels", channels)

    def randomised(self) -> Randomised:
        """A copy of the network whose weights can be shuffled; made at the first call, which imports TensorFlow."""
        from models.randomised import Randomised

        return self._once("randomised", lambda network: Randomised(self, network))

    def _once(self, name: str, make: Callable[[keras.Model], T]) -> T:
        """What `make` makes of the network; both are built once, whoever comes first."""
        with self._lock:
            if "network" not in self._made:
                self._made["network"] = self._build()
            if name not in self._made:
                self._made[name] = make(self._made["network"])
            return self._made[name]

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Logits (..., classes) -> probabilities of the same shape."""
        if self.activation == "sigmoid":
            return 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
        shifted = np.exp(logits - logits.max(-1, keepdims=True))
        return shifted / shifted.sum(-1, keepdims=True)

    def top(self, logits: np.ndarray, count: int = 5) -> tuple[Prediction, ...]:
        """The most probable classes for one picture's logits (classes,), best first."""
        probabilities = self.probabilities(logits)
        best = np.argsort(-probabilities, kind="stable")[:count]
        return tuple(Prediction(int(i), self.labels[i], float(probabilities[i])) for i in best)

    def predict(self, pixels: np.ndarray, count: int = 5) -> tuple[Prediction, ...]:
        """The most probable classes of one picture, uint8 RGB (H, W, 3), best first."""
        canvas = self.geometry(pixels.shape[:2]).place(pixels)
        return self.top(self.forward(canvas[None])[1][0], count)


def check_labels(labels: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    """The labels to use for so many classes. Raises ModelError if their number differs or two are alike."""
    if labels is None:
        return tuple(f"class {index}" for index in range(classes))
    names = tuple(str(label) for label in labels)
    if len(names) != classes:
        raise ModelError(f"The model has {classes} classes and {len(names)} labels were given; give one a class.")
    if len({name.strip().casefold() for name in names}) < classes:
        raise ModelError("Two of the labels are the same; a label must name one class.")
    return names
