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
SIZE = (256, 144)  # width and height of what it looks at, whatever the picture's shape; of an upright one, turned
AIMED, ANY, EDGE = range(3)  # the one aimed at, any at all, the sides of any
LEAST = 12  # cells of one that is seen beside others
MOST = 9

_lock = threading.Lock()  # a network of OpenCV's holds what it calculates


@cache
def _network() -> cv2.dnn.Net:
    return cv2.dnn.readNetFromTFLite(np.frombuffer(WEIGHTS.read_bytes(), np.uint8))


def shrunk(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture (H, W, 3) at a smaller `size` (width, height): averaged by a whole factor and then interpolated, which is
    several times as fast as averaging by any."""
    factor = max(1, min(image.shape[1] // size[0], image.shape[0] // size[1]))
    whole = (image.shape[1] // factor, image.shape[0] // factor)
    return cv2.resize(cv2.resize(image, whole, interpolation=cv2.INTER_AREA), size, interpolation=cv2.INTER_LINEAR)


def upright(image: np.ndarray) -> bool:
    """Whether a picture is taller than wide, as from a phone held upright. It is looked at with rows and columns changed, as
    squeezing it into a wide one would leave too little of its height."""
    return image.shape[0] > image.shape[1]


def turn(image: np.ndarray) -> np.ndarray:
    """With rows and columns changed."""
    return np.ascontiguousarray(image.transpose(1, 0, 2))


def places(sight: np.ndarray) -> list[np.ndarray]:
    """Where screens and thumbnails may be of what `look` saw (h, w, 3): maps (h, w), that of the one aimed at first, then
    those of each where there are several, the larger first."""
    aimed, any_at_all, edge = cv2.split(sight)
    apart = ((any_at_all > 0.5) & (edge < 0.5)).astype(np.uint8)
    _, labels, facts, _ = cv2.connectedComponentsWithStats(apart, connectivity=4)
    sizes = facts[1:, cv2.CC_STAT_AREA]
    large = [label + 1 for label in np.argsort(-sizes, kind="stable")[:MOST] if sizes[label] >= LEAST]
    if len(large) < 2:
        return [aimed]
    return [aimed, *(any_at_all * cv2.dilate((labels == label).astype(np.uint8), np.ones((3, 3))) for label in large)]


def look(image: np.ndarray) -> np.ndarray:
    """A picture uint8 RGB (H, W, 3) -> float32 (36, 64, 3), or (64, 36, 3) of an upright one: how probable it is that a cell
    lies in the screen aimed at, in any, and on a side of any."""
    turned = upright(image)
    small = shrunk(turn(image) if turned else image, SIZE).astype(np.float32)
    with _lock:
        network = _network()
        network.setInput(np.ascontiguousarray(small.transpose(2, 0, 1)[None]))
        logits = np.array(network.forward())[0]
    seen = np.ascontiguousarray((1 / (1 + np.exp(-np.clip(logits, -30, 30)))).transpose(1, 2, 0))
    return turn(seen) if turned else seen
