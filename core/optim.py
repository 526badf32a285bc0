"""Adam, the optimiser for everything that NumPy code optimises."""

from __future__ import annotations

import numpy as np


class Adam:
    """Gradient ascent with a step size for each number (Kingma & Ba 2015, https://arxiv.org/abs/1412.6980).

    The step does not depend on the scale of the gradient. The real and imaginary parts of complex gradients count as
    separate numbers.

    Args:
        rate: Step size.
        betas: Decay of the running means of the gradient and of its square, each in [0, 1).
        epsilon: Added to the root of the mean square to avoid a division by zero.

    >>> adam = Adam(rate=0.1)
    >>> adam.step(np.array([4.0, -0.5])).round(6).tolist()  # the first step has size `rate`
    [0.1, -0.1]
    """

    def __init__(self, rate: float, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> None:
        self.rate, self._betas, self._epsilon = rate, betas, epsilon
        self._count = 0
        self._mean: np.ndarray | float = 0.0
        self._square: np.ndarray | float = 0.0

    def step(self, gradient: np.ndarray, rate: float | None = None) -> np.ndarray:
        """The change that increases the function, with the shape and type of `gradient`.

        `rate` replaces the step size for this step only.
        """
        first, second = self._betas
        squared = gradient.real**2 + 1j * gradient.imag**2 if np.iscomplexobj(gradient) else gradient**2
        self._count += 1
        self._mean = first * self._mean + (1 - first) * gradient
        self._square = second * self._square + (1 - second) * squared
        mean, square = self._mean / (1 - first**self._count), self._square / (1 - second**self._count)
        direction = mean.real / (np.sqrt(square.real) + self._epsilon)
        if np.iscomplexobj(gradient):
            direction = direction + 1j * (mean.imag / (np.sqrt(square.imag) + self._epsilon))
        return ((self.rate if rate is None else rate) * direction).astype(gradient.dtype)
