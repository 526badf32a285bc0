"""Linear classifiers, for which the best attack is known in closed form."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from core.images import read
from models.classifier import Classifier
from tests.networks import linear


def two_classes(weight: np.ndarray, margin: float, pixels: np.ndarray) -> Classifier:
    """Class 0 leads by `margin` on that picture; its lead falls by `weight` (SIDE, SIDE, 3) a level."""
    classifier = linear(weights=np.stack([-weight / 2, weight / 2], -1))
    lead = float(np.subtract(*classifier.forward(pixels[None])[1][0]))
    bias = classifier.engine.bias + np.array([margin - lead, 0])
    classifier.engine.bias = classifier.head.bias = bias
    return classifier


def lead(classifier: Classifier, pixels: np.ndarray) -> float:
    logits = classifier.forward(classifier.geometry(pixels.shape[:2]).place(pixels)[None])[1][0]
    return float(logits[0] - logits[1])


def read_back(pixels: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return read(Image.open(file)).pixels
