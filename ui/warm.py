"""Get ready in the background what the first visitor should not wait for."""

from __future__ import annotations

import logging
import threading

import numpy as np

from models import DEFAULT, load

log = logging.getLogger(__name__)


def start() -> threading.Thread:
    """Begin, and return the thread; the page is served meanwhile."""
    thread = threading.Thread(target=_warm, name="warm", daemon=True)
    thread.start()
    return thread


def _warm() -> None:
    """Trace the default model's gradient, which imports TensorFlow: 10 s that no first saliency map should take."""
    classifier = load(DEFAULT)
    canvas = np.zeros((1, classifier.side, classifier.side, 3), np.float32)
    classifier.forward(canvas)
    classifier.gradient(canvas, np.zeros(len(classifier.labels), np.float32))
    log.info("gradients are ready")
