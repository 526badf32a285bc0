"""An image parametrised by its Fourier coefficients, in decorrelated colours.

Olah 2017, https://doi.org/10.23915/distill.00007
"""

from __future__ import annotations

import numpy as np

# The columns are directions in RGB that vary independently in photographs (Olah 2017, from ImageNet).
COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
COLOURS /= np.linalg.norm(COLOURS, axis=0).max()


class FourierImage:
    """An image, and the Fourier coefficients that it is computed from.

    The image is sigmoid(COLOURS @ inverse Fourier transform of (coefficients / frequency)), (H, W, 3) in (0, 1). Photographs
    have about equal power in every octave. So the division by the frequency makes the coefficients of a photograph similar
    in size, and a step along the gradient changes all octaves alike.

    Args:
        size: (H, W).
        coefficients: complex64 (H, W // 2 + 1, 3).
    """

    def __init__(self, size: tuple[int, int], coefficients: np.ndarray) -> None:
        self.size, self.coefficients = size, coefficients

    @classmethod
    def from_noise(cls, size: tuple[int, int], rng: np.random.Generator) -> FourierImage:
        """Weak noise on grey."""
        shape = size[0], size[1] // 2 + 1, 3
        real, imaginary = rng.standard_normal((2, *shape), np.float32) * np.float32(0.01)
        return cls(size, real + 1j * imaginary)

    @classmethod
    def from_photograph(cls, pixels: np.ndarray) -> FourierImage:
        """A photograph, uint8 (H, W, 3). Values are clipped to 0.02 to 0.98, because the sigmoid never reaches 0 or 1."""
        clipped = np.clip(pixels.astype(np.float32) / 255, 0.02, 0.98)
        values = np.log(clipped / (1 - clipped)) @ np.linalg.inv(COLOURS).T.astype(np.float32)
        image = cls(pixels.shape[:2], np.empty(0))
        image.coefficients = (np.fft.rfft2(values, axes=(0, 1)) / image._scale()).astype(np.complex64)
        return image

    def render(self) -> np.ndarray:
        """The image, float32 (H, W, 3) in (0, 1)."""
        values = np.fft.irfft2(self.coefficients * self._scale(), s=self.size, axes=(0, 1)).astype(np.float32)
        return 1 / (1 + np.exp(-values @ COLOURS.T))

    def gradient(self, image_gradient: np.ndarray, image: np.ndarray) -> np.ndarray:
        """Take a gradient back through `render`.

        Args:
            image_gradient: d / d(image), float32 (H, W, 3).
            image: What `render` returned.

        Returns:
            d / d(coefficients), complex64: its real part with respect to the real parts, its imaginary part with respect to
            the imaginary parts.
        """
        values = (image_gradient * image * (1 - image)) @ COLOURS
        # A coefficient also stands for its mirror image, except at frequency 0 and at the highest frequency of even widths.
        count = np.full((1, self.coefficients.shape[1], 1), 2, np.float32)
        count[:, 0] = 1
        if self.size[1] % 2 == 0:
            count[:, -1] = 1
        transformed = np.fft.rfft2(values, axes=(0, 1)) / (self.size[0] * self.size[1])
        return (transformed * count * self._scale()).astype(np.complex64)

    def low_pass(self, frequency: float) -> np.ndarray:
        """A mask of the coefficients up to a frequency (cycles per pixel) in both directions: float32 (H, W // 2 + 1, 1)."""
        vertical, horizontal = self._frequencies()
        return ((np.abs(vertical) <= frequency) & (horizontal <= frequency)).astype(np.float32)[..., None]

    def blur(self, sigma: float) -> None:
        """Blur with a Gaussian of standard deviation `sigma` pixels, before the sigmoid. Changes the coefficients."""
        vertical, horizontal = self._frequencies()
        factor = np.exp(-2 * (np.pi * sigma) ** 2 * (vertical**2 + horizontal**2))
        self.coefficients *= factor.astype(np.float32)[..., None]

    def _frequencies(self) -> tuple[np.ndarray, np.ndarray]:
        """The frequencies of the coefficients in cycles per pixel: vertical (H, 1) and horizontal (1, W // 2 + 1)."""
        return np.fft.fftfreq(self.size[0])[:, None], np.fft.rfftfreq(self.size[1])[None]

    def _scale(self) -> np.ndarray:
        """1 / frequency, so scaled that coefficients of size 1 give good contrast: float32 (H, W // 2 + 1, 1)."""
        frequency = np.maximum(np.hypot(*self._frequencies()), 1 / max(self.size))
        return (np.sqrt(self.size[0] * self.size[1]) / (4 * frequency)).astype(np.float32)[..., None]
