"""View: one picture as one classifier sees it, which is all that a method ever gets to know."""

from __future__ import annotations

import numpy as np

from models.classifier import Classifier
from models.geometry import Geometry


class View:
    """A picture on a classifier's canvas, with its features and logits, computed once; it counts every pass.

    `canvas` float32 (h, w, 3) in [0, 255]; `features` (fh, fw, C); `logits` (classes,). Targets are weights on the logits
    (classes,).
    """

    def __init__(self, classifier: Classifier, geometry: Geometry, pixels: np.ndarray) -> None:
        self.classifier = classifier
        self.geometry = geometry
        self.canvas = geometry.place(pixels)
        features, logits = classifier.forward(self.canvas[None])
        self.features, self.logits = features[0], logits[0]
        self.forward_passes = 1
        self.backward_passes = 0

    def scores(self, batch: np.ndarray, target: np.ndarray) -> np.ndarray:
        """target . logits of canvases (N, h, w, 3): (N,)."""
        self.forward_passes += len(batch)
        return self.classifier.forward(batch)[1] @ target

    def gradient(self, batch: np.ndarray, target: np.ndarray) -> np.ndarray:
        """d(target . logits) / d(pixels) at canvases (N, h, w, 3), of the same shape."""
        self.backward_passes += len(batch)
        return self.classifier.gradient(batch, target)

    def guided_gradient(self, batch: np.ndarray, target: np.ndarray) -> np.ndarray:
        """The same with ReLUs that pass back positive gradients only."""
        self.backward_passes += len(batch)
        return self.classifier.guided_gradient(batch, target)

    def layer(self, name: str, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The activation (lh, lw, C) of an earlier layer, and d(target . logits) / d(activation)."""
        activation, gradient = self.classifier.layer_gradient(name, self.canvas[None], target)
        self.backward_passes += 1
        return activation[0], gradient[0]
