"""Rectangles, and the sample pictures that the tests of capture compose scenes from."""

from __future__ import annotations

import cv2
import numpy as np

from core.images import read
from samples import ROOT
from samples.photographs import list_pictures

THUMBNAILS = [path for path in list_pictures(ROOT / "thumbnails") if path.suffix == ".jpg"]
PHOTOS = list_pictures(ROOT / "photos")
THUMBNAIL = read(THUMBNAILS[0]).pixels


def frame(width: float, height: float, left: float = 0, top: float = 0) -> np.ndarray:
    """The corners (4, 2) of an upright rectangle, clockwise from the top left."""
    return np.array([(left, top), (left + width, top), (left + width, top + height), (left, top + height)], float)


def view_plane(width: float, turn: tuple[float, float, float], middle: tuple[float, float, float]) -> np.ndarray:
    """The corners (4, 2) of a rectangle `width` by 9, turned before a camera of focal length 1."""
    plane = np.column_stack([frame(width, 9, -width / 2, -4.5), np.zeros(4)])
    rays = plane @ cv2.Rodrigues(np.array(turn))[0].T + middle
    return rays[:, :2] / rays[:, 2:]
