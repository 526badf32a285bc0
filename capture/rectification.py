"""Rectification: the upright picture inside a quad, without perspective, black bars, reflected light and moire."""

from __future__ import annotations

import cv2
import numpy as np

from capture.quad import ASPECT, Quad

MAX_SIDE = 1920  # pixels of the longer side
MIN_WIDTH = 160  # pixels of the width
BAR_GREY = 30  # grey levels: a row that is darker everywhere may belong to a bar
MIN_BAR_SHARE = 0.02  # share of the side
MAX_BAR_SHARE = 0.36  # share of the side; a video in portrait format in a wide player leaves bars of 0.34
GRID = (320, 192)  # width and height at which moire is detected; visible moire is coarse
COARSEST = 5  # cycles per picture: lower frequencies belong to the picture itself
WEAKEST = 0.1  # relative to the strongest moire frequency
FAINT = 0.05  # squared grey levels: weaker frequencies stay
OUT_OF_STEP = 0.35  # share of the power; 0.87 if the colours are a third of a period apart, 0 if they are in phase
UNIT = 128.0  # grey levels per unit of the logarithm: 0.01 counts as 1.28 levels, as it does at middle grey
VEIL = np.uint8(70)  # grey levels: the most reflected light that is removed
AROUND, LIGHT = (160, 90), (64, 36)  # sizes at which dark parts and the smoother reflected light are estimated
GAIN = 2.2  # the largest factor by which the picture is brightened
DARK = 8.0  # grey levels added before the logarithm, so that noise in dark parts stays small


def rectify(image: np.ndarray, quad: Quad, aspect: float | None = None, *, keep_moire: bool = False) -> np.ndarray:
    """The upright picture inside a quad of a photograph.

    Reflected light is removed from the screen, and moire unless it is to stay. The size follows the resolution of the
    photograph.

    Args:
        image: The photograph, uint8 RGB (H, W, 3).
        quad: Where the picture lies.
        aspect: Width / height of the result; by default the quad's own.
        keep_moire: Leave the moire in the picture.

    Returns:
        uint8 RGB, 160 to 1920 pixels wide.
    """
    upright = remove_reflections(warp(image, quad.corners, output_size(quad.corners, aspect or quad.aspect)))
    return upright if keep_moire else remove_moire(upright)


def homography(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The matrix (3, 3) that maps corners (4, 2) to those of a picture of `size` (height, width), from pixel edges."""
    height, width = size
    target = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    return cv2.getPerspectiveTransform(np.asarray(corners, np.float32), target)


def output_size(corners: np.ndarray, aspect: float = ASPECT) -> tuple[int, int]:
    """Height and width of the result: no side has fewer pixels than in the photograph."""
    sides = np.linalg.norm(np.roll(corners, -1, 0) - corners, axis=1)
    width = max(sides[0], sides[2], aspect * max(sides[1], sides[3]))
    width = float(np.clip(width, MIN_WIDTH, MAX_SIDE * min(1.0, aspect)))
    return max(2, round(width / aspect)), max(2, round(width))


def warp(image: np.ndarray, corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture inside the corners (4, 2) at `size` (height, width), aligned by pixel edges."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV counts from pixel centres
    finest = np.linalg.norm(np.roll(corners, -1, 0) - corners, axis=1) / (size[1], size[0], size[1], size[0])
    factor = int(finest.min())  # source pixels per target pixel; several are averaged
    if factor > 1:
        whole = (image.shape[1] // factor, image.shape[0] // factor)
        corners = corners * (np.array(whole) / image.shape[1::-1])
        image = cv2.resize(image, whole, interpolation=cv2.INTER_AREA)
    matrix = np.linalg.inv(half) @ homography(corners, size) @ half
    return cv2.warpPerspective(image, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def corners_without_bars(image: np.ndarray, corners: np.ndarray) -> np.ndarray | None:
    """The corners (4, 2) moved inwards past black bars on two opposite sides; None if there are no bars."""
    height, width = 144, 256
    grey = cv2.cvtColor(warp(image, corners, (height, width)), cv2.COLOR_RGB2GRAY)
    back = np.linalg.inv(homography(corners, (height, width)))
    dark = max(BAR_GREY, 1.6 * float(_percentile(grey.ravel(), 1)))
    rows, columns = _percentile(grey, 95), _percentile(grey.T, 95)
    top, bottom = _bars(rows, dark)
    left, right = _bars(columns, dark)
    if not any((top, bottom, left, right)):
        return None
    inner = np.array([(left, top), (width - right, top), (width - right, height - bottom), (left, height - bottom)])
    return cv2.perspectiveTransform(inner[None].astype(np.float64), back)[0]


def _percentile(values: np.ndarray, percent: int) -> np.ndarray:
    """A percentile of the last axis without interpolation, in a tenth of the time."""
    at = percent * (values.shape[-1] - 1) // 100
    return np.partition(values, at, axis=-1)[..., at]


def _bars(levels: np.ndarray, dark: float) -> tuple[int, int]:
    """How many of the first and of the last values are dark: (0, 0) unless both counts are similar.

    A bright part inside a bar, such as a progress line, is ignored if the longest bright segment alone has such bars.
    """
    ends = np.flatnonzero(np.diff(levels > dark, prepend=False, append=False)).reshape(-1, 2)
    if not len(ends):
        return 0, 0
    longest = ends[np.diff(ends)[:, 0].argmax()]
    low, high = MIN_BAR_SHARE * len(levels), MAX_BAR_SHARE * len(levels)
    for begin, end in ((ends[0, 0], ends[-1, 1]), longest):
        first, last = int(begin), len(levels) - int(end)
        alike = abs(first - last) <= max(3, 0.25 * max(first, last))
        if alike and low <= min(first, last) and max(first, last) <= high:
            return first, last
    return 0, 0


def remove_reflections(image: np.ndarray) -> np.ndarray:
    """The picture uint8 RGB (H, W, 3) without reflected light, stretched to black and white within VEIL and GAIN.

    The black of a screen emits light, a room or a lamp is reflected in it, and the camera exposes for the room. Reflected
    light is smooth. It is estimated as the darkest value of any colour around each pixel (dark channel, He et al. 2009,
    https://doi.org/10.1109/CVPR.2009.5206515), at most VEIL.
    """
    small = cv2.resize(image, AROUND, interpolation=cv2.INTER_AREA)
    dark = cv2.resize(cv2.erode(small.min(2), np.ones((7, 7))), LIGHT, interpolation=cv2.INTER_AREA)
    veil = np.minimum(cv2.GaussianBlur(cv2.erode(dark, np.ones((5, 5))), (0, 0), 4), VEIL)
    white = int(_percentile(cv2.subtract(small.max(2), cv2.resize(veil, AROUND)).ravel(), 99))
    gain = float(np.clip(255 / max(white, 1), 1, GAIN))
    clear = cv2.subtract(image, cv2.merge([cv2.resize(veil, image.shape[1::-1])] * 3))
    return np.asarray(cv2.convertScaleAbs(clear, alpha=gain))


def remove_moire(image: np.ndarray) -> np.ndarray:
    """The picture uint8 RGB (H, W, 3) without moire.

    The colours of a screen's pixels lie side by side. Moire of the screen's and the camera's grid therefore has different
    phases in red, green and blue, while a real subject has equal phases. Frequencies with imaginary cross-spectra of the
    colours are moire, and only the part of them that is out of phase is removed. Moire multiplies the screen's light, so it
    is removed in logarithms.
    """
    small = UNIT * np.log(cv2.resize(image, GRID, interpolation=cv2.INTER_AREA) + np.float32(DARK))
    spectra = np.stack([np.fft.fft2(channel - channel.mean()) for channel in cv2.split(small)])
    window = cv2.createHanningWindow(GRID, cv2.CV_32F)
    windowed = np.stack([np.fft.fft2((channel - channel.mean()) * window) for channel in cv2.split(small)])
    power = (windowed.real**2 + windowed.imag**2).sum(0)
    twist = sum((first * second.conj()).imag for first, second in zip(windowed, np.roll(windowed, -1, 0), strict=True))
    twist, power = (cv2.blur(np.fft.fftshift(spectrum), (5, 5)) for spectrum in (twist, power))
    rows = np.arange(GRID[1])[:, None] - GRID[1] // 2
    columns = np.arange(GRID[0])[None] - GRID[0] // 2
    twist[np.hypot(rows, columns) < COARSEST] = 0
    strong = max(float(np.abs(twist).max()) * WEAKEST, FAINT * window.sum() ** 2)
    peaks = (np.abs(twist) > strong) & (np.abs(twist) > OUT_OF_STEP * power)
    if not peaks.any():
        return image
    notch = np.fft.ifftshift(
        np.minimum(1, 1.5 * cv2.GaussianBlur(cv2.dilate(peaks.astype(np.float32), np.ones((5, 5))), (0, 0), 1.5))
    )
    sense = np.fft.ifftshift(np.sign(cv2.blur(np.where(peaks, np.sign(twist), 0).astype(np.float32), (15, 15))))
    step = np.exp(-1j * np.arange(3)[:, None, None] * (2 * np.pi / 3) * sense)
    moire = step * ((step.conj() * spectra).sum(0) * notch / 3)
    waves = cv2.merge([np.fft.ifft2(wave).real.astype(np.float32) for wave in moire])
    light = np.exp(cv2.resize(waves, image.shape[1::-1], interpolation=cv2.INTER_CUBIC) / -UNIT)
    return np.clip((image + np.float32(DARK)) * light - DARK + 0.5, 0, 255).astype(np.uint8)
