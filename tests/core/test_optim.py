"""Adam against its closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from core.optim import Adam


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_the_first_step_is_the_rate_times_the_sign(scale: float) -> None:
    """mean / sqrt(square) is g / |g| after the bias correction, whatever the scale of the gradient."""
    gradient = np.array([[3.0, -2.0], [0.5, -7.0]]) * scale
    assert Adam(rate=0.1).step(gradient) == pytest.approx(0.1 * np.sign(gradient), rel=1e-4)


def test_a_gradient_of_zero_moves_nothing() -> None:
    assert np.array_equal(Adam(rate=1.0).step(np.zeros(3)), np.zeros(3))


def test_a_constant_gradient_gives_steps_of_the_rate() -> None:
    """Bias correction makes the mean g and the square g * g at every step."""
    adam = Adam(rate=0.01)
    for _ in range(50):
        assert adam.step(np.array([4.0, -9.0])) == pytest.approx([0.01, -0.01], rel=1e-6)


def test_two_steps_by_hand() -> None:
    """With betas 0.5 and 0.75 and gradients 1 and 3.

    Means: 0.5, then 0.25 + 1.5 = 1.75, corrected by 1 - 0.25 to 7 / 3. Squares: 0.25, then 0.1875 + 2.25 = 2.4375, corrected
    by 1 - 0.5625 to 39 / 7.
    """
    adam = Adam(rate=2.0, betas=(0.5, 0.75), epsilon=0.0)
    assert adam.step(np.array([1.0])) == pytest.approx([2.0])
    assert adam.step(np.array([3.0])) == pytest.approx([2 * (7 / 3) / np.sqrt(39 / 7)])


def test_epsilon_is_added_to_the_root() -> None:
    assert Adam(rate=1.0, epsilon=1.0).step(np.array([3.0])) == pytest.approx([3 / (3 + 1)])


def test_complex_parts_are_independent() -> None:
    """One complex optimiser takes the steps of two real ones."""
    rng = np.random.default_rng(0)
    whole, real, imaginary = Adam(0.1), Adam(0.1), Adam(0.1)
    for scale in (1, 100, 0.01):
        gradient = (rng.normal(size=5) + 1e3j * rng.normal(size=5)) * scale
        step = whole.step(gradient)
        assert step.real == pytest.approx(real.step(gradient.real))
        assert step.imag == pytest.approx(imaginary.step(gradient.imag))


def test_a_rate_for_one_step_only() -> None:
    adam = Adam(rate=0.1)
    assert adam.step(np.array([1.0]), rate=5.0) == pytest.approx([5.0])
    assert adam.step(np.array([1.0])) == pytest.approx([0.1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
def test_shape_and_type_are_those_of_the_gradient(dtype: type) -> None:
    step = Adam(rate=0.1).step(np.ones((2, 3), dtype))
    assert step.shape == (2, 3)
    assert step.dtype == dtype


def test_it_climbs_to_a_maximum() -> None:
    """-(x - 3) ** 2 has its maximum at 3; steps point uphill."""
    adam, x = Adam(rate=0.1), np.zeros(1)
    for _ in range(500):
        x += adam.step(-2 * (x - 3))
    assert x == pytest.approx([3], abs=0.01)
