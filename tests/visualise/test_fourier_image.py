"""The Fourier parametrisation against photographs and finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from visualise.fourier_image import FourierImage

SIZES = [(16, 24), (15, 21)]


@pytest.mark.parametrize("size", SIZES)
def test_a_photograph_painted_in_waves_is_that_photograph(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(6, 250, (*size, 3), dtype=np.uint8)
    rendered = FourierImage.from_photograph(pixels).render() * 255
    np.testing.assert_allclose(rendered, pixels, atol=0.05)


@pytest.mark.parametrize("size", SIZES)
def test_the_gradient_of_the_waves_is_that_of_differences(size: tuple[int, int]) -> None:
    """For a linear score of the picture; the real and the imaginary part of waves of every kind."""
    rng = np.random.default_rng(1)
    image = FourierImage.from_photograph(rng.integers(60, 200, (*size, 3), dtype=np.uint8))
    image_gradient = rng.standard_normal((*size, 3)).astype(np.float32)
    gradient = image.gradient(image_gradient, image.render())
    before, step = image.coefficients.astype(np.complex128), 1e-3
    for place in [(0, 1, 0), (3, 2, 1), (size[0] - 2, size[1] // 2 - 1, 2), (1, size[1] // 2, 0)]:
        for part in (1, 1j):
            scores = []
            for sign in (1, -1):
                image.coefficients = before.copy()
                image.coefficients[place] += sign * step * part
                scores.append(float((image.render().astype(np.float64) * image_gradient).sum()))
            rise = (scores[0] - scores[1]) / (2 * step)
            got = gradient[place].real if part == 1 else gradient[place].imag
            assert got == pytest.approx(rise, rel=0.02, abs=2e-2 * float(np.abs(gradient).mean()))


def test_octaves_let_in_the_coarse_waves_first() -> None:
    image = FourierImage.from_noise((32, 32), np.random.default_rng(0))
    shares = [float(image.low_pass(0.5 / 2**octave).mean()) for octave in range(3)]
    assert shares[0] == 1
    assert shares[1] == pytest.approx(1 / 4, rel=0.15)
    assert shares[2] == pytest.approx(1 / 16, rel=0.35)
