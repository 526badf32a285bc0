"""Screens in photographs: find the thumbnail on a screen or a print, and return it upright. Uses OpenCV and NumPy only.

>>> import cv2
>>> photograph = cv2.imread("samples/photos/cat.jpg")[..., ::-1]  # uint8 RGB
>>> quad = find_screen(photograph)
>>> picture = photograph if quad is None else rectify(photograph, quad)
>>> picture.shape  # there is no screen in this one
(300, 451, 3)
"""

from __future__ import annotations

from capture.detection import Search, find_screen, search
from capture.quad import ASPECT, Quad, quad_from_corners
from capture.rectification import rectify

__all__ = ["ASPECT", "Quad", "Search", "find_screen", "quad_from_corners", "rectify", "search"]
