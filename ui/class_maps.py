"""A map for each of the most probable classes, where a method gives them all from one forward pass."""

from __future__ import annotations

import numpy as np

from explain import METHODS, Explanation
from explain.view import View
from models import Classifier


def gives_all_classes(explanation: Explanation) -> bool:
    """Whether its method needs one forward pass only; the pass is the same for all classes."""
    method = METHODS[explanation.method]
    plain = explanation.against is None and not explanation.parameters["smooth"]
    return plain and method.forward_passes == 1 and method.backward_passes == 0


def class_maps(explanation: Explanation, classifier: Classifier, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """The map of each class in `explanation.top`, by label: float32 (H, W) in [0, 1], each with its own scale.

    Takes one forward pass for all classes together.

    Args:
        explanation: of this picture, by this classifier, with a method for which `gives_all_classes` holds.
        classifier: the classifier.
        pixels: the picture, uint8 RGB (H, W, 3).
    """
    parameters, method = explanation.parameters, METHODS[explanation.method]
    view = View(classifier, explanation.geometry, pixels)
    options = {name: parameters[name] for name in method.options}
    maps = {}
    for prediction in explanation.top:
        raw = method.compute_last(view, classifier.objective(prediction.index), options).raw
        heat = np.maximum(explanation.geometry.restore(raw), 0)
        maps[prediction.label] = heat / (float(heat.max()) or 1.0)
    return maps
