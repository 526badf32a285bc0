"""Baselines: canvases without information. Perturbation methods and faithfulness curves replace pixels by theirs."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from core.errors import unknown
from explain.view import View
from models.geometry import FILL

BLUR = 0.05  # standard deviation of the blur, as a share of the canvas' longer side: 11 pixels of 224


def _mean(view: View) -> np.ndarray:
    top, left, height, width = view.geometry.box
    return np.broadcast_to(view.canvas[top : top + height, left : left + width].mean((0, 1)), view.canvas.shape)


def _blur(view: View) -> np.ndarray:
    return cv2.GaussianBlur(view.canvas, (0, 0), BLUR * max(view.canvas.shape))


def _constant(colour: tuple[int, int, int]) -> Callable[[View], np.ndarray]:
    return lambda view: np.broadcast_to(np.array(colour, np.float32), view.canvas.shape)


BASELINES: dict[str, Callable[[View], np.ndarray]] = {
    "mean": _mean,  # the mean colour of this picture
    "black": _constant((0, 0, 0)),
    "grey": _constant(FILL),  # the mean colour of ImageNet
    "white": _constant((255, 255, 255)),
    "blur": _blur,  # this picture, blurred strongly
}


def make_baseline(view: View, kind: str) -> np.ndarray:
    """A canvas (h, w, 3) of that kind. Raises UnknownNameError for a kind that is not in BASELINES."""
    if kind not in BASELINES:
        raise unknown("baseline", kind, BASELINES)
    return np.asarray(BASELINES[kind](view), np.float32)
