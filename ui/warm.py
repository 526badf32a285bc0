"""Get ready in the background what the first visitor should not wait for."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from models import DEFAULT, load

log = logging.getLogger(__name__)


def start() -> threading.Thread:
    """Begin, and return the thread; the page is served meanwhile."""
    thread = threading.Thread(target=_warm, name="warm", daemon=True)
    thread.start()
    return thread


def _warm() -> None:
    """Run the default model, and trace what needs TensorFlow, whose import no first guided map should wait for: 10 s."""
    classifier = load(DEFAULT)
    canvas = np.zeros((1, classifier.side, classifier.side, 3), np.float32)
    classifier.forward(canvas)
    nothing = np.zeros(len(classifier.labels), np.float32)
    classifier.gradient(canvas, nothing)
    with _courteously():
        classifier.guided_gradient(canvas, nothing)
    log.info("gradients are ready")


@contextmanager
def _courteously() -> Iterator[None]:
    """Let a visitor's thread go first: an import holds the interpreter for 5 ms at a time, and each answer waits often."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    if hasattr(os, "setpriority") and sys.platform == "linux":  # there a thread has a priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
