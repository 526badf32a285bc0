"""Corruptions of pictures, as a camera, a compressor or a screen causes them (Hendrycks & Dietterich 2019).

Corruptions with a severity for testing classifiers: https://arxiv.org/abs/1903.12261. The corruptions and severities here
are chosen for photographs of screens; they are not those of ImageNet-C.

Every corruption is a function `f(pixels, severity, rng) -> pixels`:

- `pixels` are uint8 RGB (H, W, 3). The result has the same size, and the input is not changed.
- `severity` in [0, 1] sets the size of the effect. At 0 the result equals the input. At 1 it is the strongest effect that is
  plausible in a photograph of a screen.
- `rng` chooses everything else: signs, places, directions.

Some corruptions move the picture and uncover a part of the frame. This part shows `background`: a dim, nearly grey wall with
a soft gradient, as behind a screen. Black bars would be a cue that a network could learn.

>>> pixels = np.full((32, 32, 3), 100, np.uint8)
>>> corrupted = CORRUPTIONS["gaussian-noise"](pixels, 0.5, np.random.default_rng(0))
>>> corrupted.shape, corrupted.dtype.name
((32, 32, 3), 'uint8')
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

Corruption = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]

NOISE = 64.0  # standard deviation, in levels of 255
IMPULSES = 0.2  # share of pixels
BLUR = 1 / 75  # standard deviation, as a share of the shorter side
QUALITY = (95, 5)  # JPEG quality at the lowest and at the highest severity
BRIGHTNESS = 0.6  # all values times 0.4 or 1.6
CONTRAST = 0.75  # a quarter of the contrast is left
COVERED = 0.4  # share of the area that is covered
ROTATION = 45.0  # degrees, clockwise or counterclockwise
ZOOM = 0.5  # both sides become half as long
TILT = 30.0  # degrees, about any axis in the plane of the picture
GLARE = 230.0  # levels added at the centre of the spot
MOIRE = 0.4  # amplitude of the fringes, as a share of the light


def background(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A wall of `size` (H, W) as uint8 (H, W, 3).

    Its colour is nearly grey, between 20 and 200, and changes by up to 40 levels along a random direction.
    """
    height, width = size
    colour = (rng.uniform(20, 200) + rng.uniform(-12, 12, 3)).astype(np.float32)
    slope = rng.uniform(-20, 20, 2).astype(np.float32)
    rows, columns = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
    shade = slope[0] * rows + slope[1] * columns
    return cv2.merge([np.clip(shade + level, 0, 255).astype(np.uint8) for level in colour])


def gaussian_noise(pixels: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Independent Gaussian noise in every value, as from a sensor in low light."""
    cv2.setRNGSeed(int(rng.integers(2**31)))  # OpenCV makes noise several times as fast as NumPy
    noise = np.empty((pixels.shape[0], pixels.shape[1] * 3), np.int16)
    cv2.randn(noise, np.zeros(1), np.array([NOISE * severity]))
    return cv2.add(pixels, noise.reshape(pixels.shape), dtype=cv2.CV_8U)


def salt_and_pepper(pixels: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Set some pixels to black and as many to white."""
    chance = rng.random(pixels.shape[:2], np.float32)
    result = pixels.copy()
    result[chance < IMPULSES * severity / 2] = 0
    result[chance > 1 - IMPULSES * severity / 2] = 255
    return result


def blur(pixels: np.ndarray, severity: float, _: np.random.Generator) -> np.ndarray:
    """A Gaussian blur, as of a picture out of focus."""
    return cv2.GaussianBlur(pixels, (0, 0), BLUR * severity * min(pixels.shape[:2]))


def jpeg(pixels: np.ndarray, severity: float, _: np.random.Generator) -> np.ndarray:
    """JPEG compression."""
    quality = round(QUALITY[0] + severity * (QUALITY[1] - QUALITY[0]))
    encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB))


def brightness(pixels: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Multiply all values by one factor: underexposed or overexposed."""
    return cv2.convertScaleAbs(pixels, alpha=1 + BRIGHTNESS * severity * rng.choice([-1, 1]))


def contrast(pixels: np.ndarray, severity: float, _: np.random.Generator) -> np.ndarray:
    """Move all values towards the mean level, as on a screen in a bright room."""
    kept = 1 - CONTRAST * severity
    return cv2.convertScaleAbs(pixels, alpha=kept, beta=(1 - kept) * float(pixels.mean()))


def occlusion(pixels: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Cover a part of the picture with a rectangle of one random colour."""
    height, width = pixels.shape[:2]
    aspect = rng.uniform(0.7, 1.4)
    share = math.sqrt(COVERED * severity)
    box_height, box_width = round(min(1.0, share * aspect) * height), round(min(1.0, share / aspect) * width)
    top, left = rng.integers(height - box_height + 1), rng.integers(width - box_width + 1)
    result = pixels.copy()
    result[top : top + box_height, left : left + box_width] = rng.integers(0, 256, 3)
    return result


def rotation(pixels: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Rotate the picture about its centre, clockwise or counterclockwise. Its corners leave the frame."""
    height, width = pixels.shape[:2]
    angle = ROTATION * severity * rng.choice([-1, 1])
    affine = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1)
    return _warp(pixels, np.vstack([affine, (0, 0, 1)]), rng)


def zoom(pixels: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """The picture from a larger distance: smaller, at a random place of the frame."""
    height, width = pixels.shape[:2]
    scale = 1 - ZOOM * severity
    small = cv2.resize(pixels, (round(scale * width), round(scale * height)), interpolation=cv2.INTER_AREA)
    top, left = rng.integers(height - small.shape[0] + 1), rng.integers(width - small.shape[1] + 1)
    result = background((height, width), rng)
    result[top : top + small.shape[0], left : left + small.shape[1]] = small
    return result


def perspective(pixels: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """The picture from an oblique angle.

    Its plane is tilted about an axis through its centre. The camera has the field of view of a phone (65 degrees) and moves
    back until the whole picture is in its frame.
    """
    height, width = pixels.shape[:2]
    axis, tilt = rng.uniform(0, 2 * math.pi), math.radians(TILT * severity)
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    centred = corners - (width / 2, height / 2)
    rotation_matrix = cv2.Rodrigues(np.array([math.cos(axis), math.sin(axis), 0]) * tilt)[0]
    points = np.column_stack([centred, np.zeros(4)]) @ rotation_matrix.T
    focal = width / (2 * math.tan(math.radians(65 / 2)))
    projected = points[:, :2] * focal / (points[:, 2:] + focal)
    projected -= (projected.max(0) + projected.min(0)) / 2
    projected *= min(1.0, float((np.array([width, height]) / (projected.max(0) - projected.min(0))).min()))
    projected += (width / 2, height / 2)
    before, after = (
        (quad - 0.5).astype(np.float32) for quad in (corners, projected)
    )  # OpenCV measures from the centres of pixels
    return _warp(pixels, cv2.getPerspectiveTransform(before, after), rng)


def glare(pixels: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Add the reflection of a lamp: a soft, bright, elliptical spot."""
    height, width = pixels.shape[:2]
    rows = (np.arange(height, dtype=np.float32) - rng.uniform(0, height))[:, None]
    columns = (np.arange(width, dtype=np.float32) - rng.uniform(0, width))[None]
    angle, radius = rng.uniform(0, math.pi), rng.uniform(0.1, 0.25) * width
    along = (columns * math.cos(angle) + rows * math.sin(angle)) / (radius * rng.uniform(1, 2.5))
    across = (rows * math.cos(angle) - columns * math.sin(angle)) / radius
    light = cv2.exp(-(along * along + across * across).astype(np.float32)) * np.float32(GLARE * severity)
    return cv2.add(pixels, cv2.merge([light] * 3), dtype=cv2.CV_8U)


def moire(pixels: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Moire fringes: the pixel grid of a screen sampled by the pixel grid of a sensor.

    The fringes are slightly bent and are a third of a period apart in red, green and blue. They multiply the light of the
    screen, so black parts have none.
    """
    height, width = pixels.shape[:2]
    angle, period = rng.uniform(0, math.pi), rng.uniform(1 / 60, 1 / 12) * width
    rows = np.arange(height, dtype=np.float32)[:, None] / np.float32(period)
    columns = np.arange(width, dtype=np.float32)[None] / np.float32(period)
    along = columns * np.float32(math.cos(angle)) + rows * np.float32(math.sin(angle))
    along += np.float32(rng.uniform(-0.3, 0.3) * period / width) * along * along
    phase = (along - np.floor(along)) * np.float32(2 * math.pi)
    cosine, sine = cv2.polarToCart(np.full_like(phase, MOIRE * severity), phase)
    fringes = [cv2.addWeighted(cosine, math.cos(shift), sine, math.sin(shift), 1) for shift in (0, 2.1, 4.2)]
    lit = [cv2.multiply(pixels[..., channel], fringe, dtype=cv2.CV_8U) for channel, fringe in enumerate(fringes)]
    return cv2.merge(lit)


def _warp(pixels: np.ndarray, homography: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move the picture by a homography (3, 3) from old to new pixel coordinates; uncovered parts show `background`."""
    size = pixels.shape[1::-1]
    return cv2.warpPerspective(
        pixels, homography, size, background(pixels.shape[:2], rng), cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT
    )


def _identity_at_zero(corruption: Corruption) -> Corruption:
    """The same corruption, which returns a copy at severity 0 and raises ValueError for a severity outside [0, 1]."""

    def checked(pixels: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
        if not 0 <= severity <= 1:
            raise ValueError(f"The severity of a corruption must be between 0 and 1; got {severity}.")
        return corruption(pixels, float(severity), rng) if severity > 0 else pixels.copy()

    checked.__doc__ = corruption.__doc__
    return checked


CORRUPTIONS: dict[str, Corruption] = {
    function.__name__.replace("_", "-"): _identity_at_zero(function)
    for function in (
        gaussian_noise, salt_and_pepper, blur, jpeg, brightness, contrast, occlusion, rotation, zoom, perspective, glare, moire
    )
}  # fmt: skip
