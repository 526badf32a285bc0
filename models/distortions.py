"""What happens to a picture between a screen and a network: noise, compression, light, and a camera held at an angle.

Every distortion is `f(pixels, strength, rng) -> pixels`, uint8 RGB (H, W, 3) both, of the same size and never in place.
`strength` in [0, 1] sets how much exactly, and 0 is the identity; `rng` settles the rest: signs, places, directions. The
strongest is what a photograph of a screen still allows. What a warp leaves uncovered becomes `ground`: a dim, nearly grey
wall with a soft gradient, such as lies behind a screen, and not black bars that a network could learn.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

Distortion = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]

NOISE = 64.0  # standard deviation, of 255
IMPULSES = 0.2  # share of pixels
BLUR = 1 / 75  # standard deviation, in shorter sides
QUALITY = (95, 5)  # of JPEG, weakest and strongest
BRIGHTNESS = 0.6  # the light times 0.4 or 1.6
CONTRAST = 0.75  # a quarter of it is left
COVERED = 0.4  # share of the area
ROTATION = 45.0  # degrees, either way
ZOOM = 0.5  # sides half as long
TILT = 30.0  # degrees, about any axis
GLARE = 230.0  # levels at its middle
MOIRE = 0.4  # of the light, from the mean to the crest of a fringe


def ground(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A wall (H, W, 3): a nearly grey colour between 20 and 200, changing by up to 40 levels along a random direction."""
    height, width = size
    colour = (rng.uniform(20, 200) + rng.uniform(-12, 12, 3)).astype(np.float32)
    slope = rng.uniform(-20, 20, 2).astype(np.float32)
    rows, columns = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)
    shade = slope[0] * rows + slope[1] * columns
    return cv2.merge([np.clip(shade + level, 0, 255).astype(np.uint8) for level in colour])


def gaussian_noise(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of its own in every value, as of a sensor in the dark."""
    cv2.setRNGSeed(int(rng.integers(2**31)))  # OpenCV draws several times as fast as NumPy
    noise = np.empty((pixels.shape[0], pixels.shape[1] * 3), np.int16)
    cv2.randn(noise, np.zeros(1), np.array([NOISE * strength]))
    return cv2.add(pixels, noise.reshape(pixels.shape), dtype=cv2.CV_8U)


def salt_and_pepper(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Some pixels black, as many white."""
    drawn = rng.random(pixels.shape[:2], np.float32)
    result = pixels.copy()
    result[drawn < IMPULSES * strength / 2] = 0
    result[drawn > 1 - IMPULSES * strength / 2] = 255
    return result


def blur(pixels: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    """Out of focus: a Gaussian."""
    return cv2.GaussianBlur(pixels, (0, 0), BLUR * strength * min(pixels.shape[:2]))


def jpeg(pixels: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    """Compressed and decompressed."""
    quality = round(QUALITY[0] + strength * (QUALITY[1] - QUALITY[0]))
    encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB))


def brightness(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Under- or overexposed: all light times a factor."""
    return cv2.convertScaleAbs(pixels, alpha=1 + BRIGHTNESS * strength * rng.choice([-1, 1]))


def contrast(pixels: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    """Everything nearer to the mean level, as in a lit room."""
    kept = 1 - CONTRAST * strength
    return cv2.convertScaleAbs(pixels, alpha=kept, beta=(1 - kept) * float(pixels.mean()))


def occlusion(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A flat rectangle of any colour somewhere over the picture."""
    height, width = pixels.shape[:2]
    aspect = rng.uniform(0.7, 1.4)
    share = math.sqrt(COVERED * strength)
    tall, wide = round(min(1.0, share * aspect) * height), round(min(1.0, share / aspect) * width)
    top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
    result = pixels.copy()
    result[top : top + tall, left : left + wide] = rng.integers(0, 256, 3)
    return result


def rotation(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Turned about its middle, clockwise or not; corners leave the frame."""
    height, width = pixels.shape[:2]
    angle = ROTATION * strength * rng.choice([-1, 1])
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1)
    return _warp(pixels, np.vstack([turn, (0, 0, 1)]), rng)


def zoom(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """From further away: smaller, anywhere in the frame."""
    height, width = pixels.shape[:2]
    scale = 1 - ZOOM * strength
    small = cv2.resize(pixels, (round(scale * width), round(scale * height)), interpolation=cv2.INTER_AREA)
    top, left = rng.integers(height - small.shape[0] + 1), rng.integers(width - small.shape[1] + 1)
    result = ground((height, width), rng)
    result[top : top + small.shape[0], left : left + small.shape[1]] = small
    return result


def perspective(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Seen at an angle: the plane tilted about an axis through its middle, by a camera of a phone's field of view (65
    degrees) that steps back until all of the picture is in its frame."""
    height, width = pixels.shape[:2]
    axis, tilt = rng.uniform(0, 2 * math.pi), math.radians(TILT * strength)
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    centred = corners - (width / 2, height / 2)
    turn = cv2.Rodrigues(np.array([math.cos(axis), math.sin(axis), 0]) * tilt)[0]
    points = np.column_stack([centred, np.zeros(4)]) @ turn.T
    focal = width / (2 * math.tan(math.radians(65 / 2)))
    seen = points[:, :2] * focal / (points[:, 2:] + focal)
    seen -= (seen.max(0) + seen.min(0)) / 2
    seen *= min(1.0, float((np.array([width, height]) / (seen.max(0) - seen.min(0))).min()))
    seen += (width / 2, height / 2)
    before, after = ((quad - 0.5).astype(np.float32) for quad in (corners, seen))  # OpenCV counts from pixels' middles
    return _warp(pixels, cv2.getPerspectiveTransform(before, after), rng)


def glare(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The reflection of a lamp: a soft, bright, oblong spot, added."""
    height, width = pixels.shape[:2]
    rows = (np.arange(height, dtype=np.float32) - rng.uniform(0, height))[:, None]
    columns = (np.arange(width, dtype=np.float32) - rng.uniform(0, width))[None]
    angle, radius = rng.uniform(0, math.pi), rng.uniform(0.1, 0.25) * width
    along = (columns * math.cos(angle) + rows * math.sin(angle)) / (radius * rng.uniform(1, 2.5))
    across = (rows * math.cos(angle) - columns * math.sin(angle)) / radius
    light = cv2.exp(-(along * along + across * across).astype(np.float32)) * np.float32(GLARE * strength)
    return cv2.add(pixels, cv2.merge([light] * 3), dtype=cv2.CV_8U)


def moire(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """The grid of a screen seen through the grid of a sensor: slightly bent fringes, a third of a period apart in red,
    green and blue. They are the screen's own light, sampled unevenly: where it is black there are none."""
    height, width = pixels.shape[:2]
    angle, period = rng.uniform(0, math.pi), rng.uniform(1 / 60, 1 / 12) * width
    rows = np.arange(height, dtype=np.float32)[:, None] / np.float32(period)
    columns = np.arange(width, dtype=np.float32)[None] / np.float32(period)
    along = columns * np.float32(math.cos(angle)) + rows * np.float32(math.sin(angle))
    along += np.float32(rng.uniform(-0.3, 0.3) * period / width) * along * along
    turns = (along - np.floor(along)) * np.float32(2 * math.pi)
    cosine, sine = cv2.polarToCart(np.full_like(turns, MOIRE * strength), turns)
    fringes = [cv2.addWeighted(cosine, math.cos(shift), sine, math.sin(shift), 1) for shift in (0, 2.1, 4.2)]
    lit = [cv2.multiply(pixels[..., channel], fringe, dtype=cv2.CV_8U) for channel, fringe in enumerate(fringes)]
    return cv2.merge(lit)


def _warp(pixels: np.ndarray, homography: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = pixels.shape[1::-1]
    return cv2.warpPerspective(
        pixels, homography, size, ground(pixels.shape[:2], rng), cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT
    )


def _identity_at_zero(distortion: Distortion) -> Distortion:
    def checked(pixels: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
        if not 0 <= strength <= 1:
            raise ValueError(f"The strength of a distortion lies between 0 and 1; got {strength}.")
        return distortion(pixels, float(strength), rng) if strength > 0 else pixels.copy()

    checked.__doc__ = distortion.__doc__
    return checked


DISTORTIONS: dict[str, Distortion] = {
    function.__name__.replace("_", "-"): _identity_at_zero(function)
    for function in (
        gaussian_noise, salt_and_pepper, blur, jpeg, brightness, contrast, occlusion, rotation, zoom, perspective, glare, moire
    )
}  # fmt: skip
