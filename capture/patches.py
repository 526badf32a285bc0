"""Small upright patches of candidate quads, and a small network that scores what is seen in them.

A patch shows a quad as a square with a margin. Its samples are dense near the sides, where a quad that is right differs from
one that is nearly right, and sparse in the middle. The shape of the quad is not visible in it, so that the network cannot
prefer a shape. `python -m scripts.fit_capture` trains its weights; OpenCV runs it.
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path

import cv2
import numpy as np

WEIGHTS = Path(__file__).with_name("patches.tflite")
BATCH = 8  # patches that the network scores at once
CONTRAST = 8.0  # grey levels added to the contrast of a patch, so that noise is not amplified
MARGIN, NEAR = 0.3, 0.12  # shares of a side: how far outside a patch begins; where the dense samples around a side end
OUTER, DENSE, MIDDLE = 3, 21, 12  # samples across: outside, around each side, in the middle
SIDE = 2 * (OUTER + DENSE) + MIDDLE  # pixels of a patch
SMOOTH = 1.0  # standard deviation of the blur before sampling, in pixels

_lock = threading.Lock()  # a network of OpenCV keeps its intermediate results


@cache
def sample_places() -> np.ndarray:
    """The places (SIDE,) of the samples across a quad: 0 at its first side, 1 at the opposite one."""
    around = np.linspace(-NEAR, NEAR, DENSE)
    beyond = np.linspace(-MARGIN, -NEAR, OUTER, endpoint=False)
    half = np.concatenate([beyond, around])
    middle = np.linspace(NEAR, 1 - NEAR, MIDDLE + 2)[1:-1]
    return np.concatenate([half, middle, 1 - half[::-1]])


def patches(image: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The patches of quads.

    Args:
        image: The photograph, uint8 RGB (H, W, 3).
        corners: The corners of the quads (N, 4, 2), x and y in pixels; (0, 0) is the outer corner of the first pixel.

    Returns:
        uint8 (N, SIDE, SIDE, 3). Parts outside the photograph are black.
    """
    across = sample_places()
    points = np.stack([*np.meshgrid(across, across), np.ones((SIDE, SIDE))], 2).reshape(-1, 3).T  # (3, SIDE * SIDE)
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)
    matrices = np.stack([cv2.getPerspectiveTransform(square, quad) for quad in corners.astype(np.float32)])
    x, y, depth = (matrices @ points).astype(np.float32).transpose(1, 0, 2)
    smooth = cv2.GaussianBlur(image, (0, 0), SMOOTH)
    x, y = (np.ascontiguousarray((values / depth - 0.5).reshape(-1, SIDE)) for values in (x, y))
    sampled = cv2.remap(smooth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return sampled.reshape(len(corners), SIDE, SIDE, 3)


def normalise(sampled: np.ndarray) -> np.ndarray:
    """Patches (N, SIDE, SIDE, 3) as float32 with the mean 0 and a contrast near 1: dim and bright displays look alike."""
    centred = sampled - sampled.mean((1, 2, 3), keepdims=True, dtype=np.float32)
    deviation = np.sqrt(np.mean(centred * centred, (1, 2, 3), keepdims=True))
    return np.asarray(centred / (deviation + np.float32(CONTRAST)), np.float32)


@cache
def _network() -> cv2.dnn.Net:
    return cv2.dnn.readNetFromTFLite(np.frombuffer(WEIGHTS.read_bytes(), np.uint8))


def score(image: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """How much each quad (N, 4, 2) of a photograph looks like the border of a screen: logits (N,), higher for a better fit."""
    if not len(corners):
        return np.zeros(0, np.float32)
    inputs = normalise(patches(image, corners)).transpose(0, 3, 1, 2)
    logits = []
    for begin in range(0, len(inputs), BATCH):
        batch = np.zeros((BATCH, *inputs.shape[1:]), np.float32)
        part = inputs[begin : begin + BATCH]
        batch[: len(part)] = part
        with _lock:
            network = _network()
            network.setInput(batch)
            logits.append(np.array(network.forward()).reshape(BATCH)[: len(part)])
    return np.concatenate(logits)
