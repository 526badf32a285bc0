"""A coarse segmentation of screens, thumbnails and prints in a photograph, by a small network that OpenCV runs.

`python -m scripts.fit_capture` trains its weights on composed scenes and plain pictures.
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path

import cv2
import numpy as np

WEIGHTS = Path(__file__).with_name("segmentation.tflite")
# Width and height of the input, whatever the picture's shape. Pictures in portrait format are transposed.
SIZE = (256, 144)
AIMED, ANY, EDGE = range(3)  # output channels: the most prominent screen, any screen, the sides of any screen
MIN_CELLS = 12  # smallest allowed number of cells of a screen, if there are several
MAX_SCREENS = 9  # largest number of screens in the result, beside the most prominent one

_lock = threading.Lock()  # a network of OpenCV keeps its intermediate results


@cache
def _network() -> cv2.dnn.Net:
    return cv2.dnn.readNetFromTFLite(np.frombuffer(WEIGHTS.read_bytes(), np.uint8))


def reduce(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture (H, W, 3) at a smaller `size` (width, height).

    It is averaged by an integer factor and then interpolated, several times faster than an average by any factor.
    """
    factor = max(1, min(image.shape[1] // size[0], image.shape[0] // size[1]))
    reduced_size = (image.shape[1] // factor, image.shape[0] // factor)
    averaged = cv2.resize(image, reduced_size, interpolation=cv2.INTER_AREA)
    return cv2.resize(averaged, size, interpolation=cv2.INTER_LINEAR)


def is_portrait(image: np.ndarray) -> bool:
    """Whether a picture is taller than wide.

    The network sees it transposed: squeezed into a wide input, it would lose height.
    """
    return image.shape[0] > image.shape[1]


def transpose(image: np.ndarray) -> np.ndarray:
    """A picture (H, W, C) with rows and columns exchanged: (W, H, C)."""
    return np.ascontiguousarray(image.transpose(1, 0, 2))


def separate_screens(segments: np.ndarray) -> list[np.ndarray]:
    """One map (h, w) per screen from the result (h, w, 3) of `segment`.

    The first is the most prominent screen's. If several screens are separate, the map of each follows, the largest first.
    """
    prominent, any_screen, edge = cv2.split(segments)
    separate = ((any_screen > 0.5) & (edge < 0.5)).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(separate, connectivity=4)
    sizes = statistics[1:, cv2.CC_STAT_AREA]
    large = [label + 1 for label in np.argsort(-sizes, kind="stable")[:MAX_SCREENS] if sizes[label] >= MIN_CELLS]
    if len(large) < 2:
        return [prominent]
    return [
        prominent,
        *(any_screen * cv2.dilate((labels == label).astype(np.uint8), np.ones((3, 3))) for label in large),
    ]


def segment(image: np.ndarray) -> np.ndarray:
    """A picture uint8 RGB (H, W, 3) -> float32 (36, 64, 3), or (64, 36, 3) in portrait format.

    The channels are the probabilities that a cell belongs to the most prominent screen, to any screen, and to a side of any
    screen.
    """
    portrait = is_portrait(image)
    small = reduce(transpose(image) if portrait else image, SIZE).astype(np.float32)
    with _lock:
        network = _network()
        network.setInput(np.ascontiguousarray(small.transpose(2, 0, 1)[None]))
        logits = np.array(network.forward())[0]
    probabilities = np.ascontiguousarray((1 / (1 + np.exp(-np.clip(logits, -30, 30)))).transpose(1, 2, 0))
    return transpose(probabilities) if portrait else probabilities
