"""Lines on known edges."""

from __future__ import annotations

import numpy as np

from capture import lines


def test_lines_lie_on_the_edges_of_a_rectangle() -> None:
    image = np.full((360, 640, 3), 40, np.uint8)
    image[80:280, 120:500] = 200
    found = lines.find_lines(image, np.ones((9, 16), np.float32))
    middle = np.array([(640 - 1) / 2, (360 - 1) / 2])
    for normal, place in (((1, 0), 119.5), ((1, 0), 499.5), ((0, 1), 79.5), ((0, 1), 279.5)):
        wanted = place - middle @ normal  # an edge between two pixels, whose middles have whole numbers
        off = np.abs(found.normal @ normal - 1) + np.abs(found.distance - wanted)
        assert off.min() < 0.5
