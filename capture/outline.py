"""Where in a photograph screens, thumbnails and prints seem to be: the rough view of a small network, run by OpenCV.

`python -m benchmarks.fit_screens` makes its weights from composed scenes and plain pictures.
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path

import cv2
import numpy as np

WEIGHTS = Path(__file__).with_name("outline.tflite")
SIZE = (256, 144)  # width and height of what it looks at, whatever the picture's shape
AIMED, ANY, EDGE = range(3)  # the one aimed at, any at all, the sides of any

_lock = threading.Lock()  # a network of OpenCV's holds what it calculates


@cache
def _network() -> cv2.dnn.Net:
    return cv2.dnn.readNetFromTFLite(np.frombuffer(WEIGHTS.read_bytes(), np.uint8))


def look(image: np.ndarray) -> np.ndarray:
    """A picture uint8 RGB (H, W, 3) -> float32 (36, 64, 3): how probable it is that a cell lies in the screen aimed at, in
    any, and on a side of any."""
    small = cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
    with _lock:
        network = _network()
        network.setInput(np.ascontiguousarray(small.transpose(2, 0, 1)[None]))
        logits = np.array(network.forward())[0]
    return np.ascontiguousarray((1 / (1 + np.exp(-np.clip(logits, -30, 30)))).transpose(1, 2, 0))
