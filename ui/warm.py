"""Load in the background what the first visitor would otherwise wait for."""

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
READY = threading.Event()  # set once the default model has made its first pass


def start_warm_up() -> threading.Thread:
    """Start the warm-up and return its thread. The page is served in the meantime."""
    thread = threading.Thread(target=_warm_up, name="warm", daemon=True)
    thread.start()
    return thread


def _warm_up() -> None:
    """Run the default model and trace its guided gradient. That imports TensorFlow, which takes 10 s."""
    classifier = load(DEFAULT)
    canvas = np.zeros((1, classifier.side, classifier.side, 3), np.float32)
    classifier.forward(canvas)
    READY.set()
    objective = np.zeros(len(classifier.labels), np.float32)
    classifier.gradient(canvas, objective)
    with _low_priority():
        classifier.guided_gradient(canvas, objective)
    log.info("gradients are ready")


@contextmanager
def _low_priority() -> Iterator[None]:
    """Let the threads of visitors run first.

    An import holds the interpreter lock for 5 ms at a time, and each answer needs the lock often.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    if hasattr(os, "setpriority") and sys.platform == "linux":  # on Linux each thread has its own priority
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
