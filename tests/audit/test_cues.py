"""Cues are exchanged as their names say, and the traces of JPEG compression are found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from audit.cues import decompose, exchange_brightness, jpeg_quality, measure_statistics
from tests.audit.known_cues import SIZE


@pytest.mark.parametrize("level", [8, 13, 30])
def test_the_quality_of_a_jpeg_is_found_in_its_pixels(level: int) -> None:
    rng = np.random.default_rng(level)
    coarse = rng.integers(0, 256, (15, 27, 3), dtype=np.uint8)
    pixels = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    assert jpeg_quality(pixels) == 100
    again = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, level])[1], cv2.IMREAD_COLOR)
    assert jpeg_quality(np.ascontiguousarray(again[..., ::-1])) == level


def test_brightness_moves_to_the_donors_and_colour_stays() -> None:
    rng = np.random.default_rng(0)
    dark, light = (np.clip(rng.normal(mean, 10, (*SIZE, 3)), 0, 255).astype(np.uint8) for mean in (70, 170))
    moved = exchange_brightness(decompose(dark, None), decompose(light, None))
    before, after, wanted = (measure_statistics(pixels) for pixels in (dark, moved, light))
    assert after[0] == pytest.approx(wanted[0], abs=2)
    np.testing.assert_allclose(after[2:4], before[2:4], atol=2)
