"""View: one picture on one classifier's canvas. A method gets a View and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.classifier import Classifier
from models.geometry import Geometry
from models.head import split_cells
from models.layers import head_at

MAX_SIDE = 1024  # of a finer canvas, as for a canvas that the user chooses


class View:
    """A picture on a classifier's canvas, with its features and logits, computed once; it counts every pass.

    `canvas` float32 (h, w, 3) in [0, 255]; `features` (fh, fw, C) with their `head`; `logits` (classes,).
    An `objective` is a vector of weights on the logits (classes,).
    """

    def __init__(self, classifier: Classifier, geometry: Geometry, pixels: np.ndarray) -> None:
        self.classifier = classifier
        self.geometry = geometry
        self.pixels: np.ndarray | None = pixels
        self.layer_used = ""
        self.canvas = geometry.place(pixels)
        features, logits = classifier.forward(self.canvas[None])
        self.features, self.head = split_cells(classifier.head, features[0])
        self.logits = logits[0]
        self.forward_passes = 1
        self.backward_passes = 0

    @classmethod
    def from_forward_pass(
        cls, classifier: Classifier, geometry: Geometry, canvas: np.ndarray, features: np.ndarray, logits: np.ndarray
    ) -> View:
        """The view of a canvas that was already passed through the network, without another pass; arrays as above."""
        view = cls.__new__(cls)
        view.classifier, view.geometry, view.canvas = classifier, geometry, canvas
        view.features, view.head = split_cells(classifier.head, features)
        view.logits, view.pixels, view.layer_used = logits, None, ""
        view.forward_passes = view.backward_passes = 0
        return view

    def scores(self, batch: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """objective . logits of canvases (N, h, w, 3): (N,)."""
        self.forward_passes += len(batch)
        return self.classifier.forward(batch)[1] @ objective

    def log_odds(self, batch: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """The logit of the class against all others together, log(p / (1 - p)), of canvases (N, h, w, 3): (N,).

        The same as `scores` for a model of independent classes (sigmoid), for one class, and for a contrast of two.
        """
        chosen = np.flatnonzero(objective)
        if len(chosen) != 1 or len(objective) == 1 or self.classifier.activation != "softmax":
            return self.scores(batch, objective)
        self.forward_passes += len(batch)
        logits = self.classifier.forward(batch)[1]
        others = np.delete(logits, chosen[0], axis=1)
        highest = others.max(-1)
        return logits[:, chosen[0]] - highest - np.log(np.exp(others - highest[:, None]).sum(-1))

    def gradient(self, batch: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """d(objective . logits) / d(pixels) at canvases (N, h, w, 3), of the same shape."""
        self.backward_passes += len(batch)
        return self.classifier.gradient(batch, objective)

    def guided_gradient(self, batch: np.ndarray, objective: np.ndarray) -> np.ndarray:
        """As `gradient`, but every ReLU passes back positive gradients only."""
        self.backward_passes += len(batch)
        return self.classifier.guided_gradient(batch, objective)

    def attention(self, objective: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The attention of a transformer, its effect on the score, and the tokens that the score depends on.

        See `Classifier.attention`.
        """
        self.backward_passes += 1
        return self.classifier.attention(self.canvas, objective)

    def full_gradient(self, objective: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """The score as the sum of the terms of pixels and biases, and their maps, see `models.gradients.FullGradient`."""
        self.backward_passes += 1
        return self.classifier.full_gradient(self.canvas[None], objective)

    def layer(self, name: str, objective: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The activation (lh, lw, C) of an earlier layer, and d(objective . logits) / d(activation)."""
        activation, gradient = self.classifier.layer_gradient(name, self.canvas[None], objective)
        self.backward_passes += 1
        return activation[0], gradient[0]

    def use_layer(self, name: str, objective: np.ndarray) -> None:
        """Make the activation of a layer the features of this view, with the head behind it. Empty: leave them as they are."""
        if name not in ("", self.classifier.features_layer):
            self.features, gradient = self.layer(name, objective)
            self.head = head_at(self.classifier, name, gradient)
            self.layer_used = name

    def zoomed(self, factor: int, objective: np.ndarray) -> View:
        """The same picture on a canvas with `factor` times the height and width; the same parts of it hold the picture.

        This view itself if the network takes one canvas only; a smaller factor if the side would exceed 1024. The passes of
        the new view count for this one.
        """
        height, width = self.geometry.canvas
        factor = 1 if self.classifier.canvas else max(1, min(factor, int(MAX_SIDE / (height * width) ** 0.5)))
        if factor == 1 or self.pixels is None:
            return self
        top, left, *size = (factor * length for length in self.geometry.box)
        geometry = replace(self.geometry, canvas=(factor * height, factor * width), box=(top, left, size[0], size[1]))
        view = View(self.classifier, geometry, self.pixels)
        view.use_layer(self.layer_used, objective)
        self.forward_passes += view.forward_passes
        self.backward_passes += view.backward_passes
        return view
