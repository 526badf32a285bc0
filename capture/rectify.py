"""The upright picture within four corners: perspective undone, bars cut off, black and white restored, fringes taken out."""

from __future__ import annotations

import cv2
import numpy as np

ASPECT = 16 / 9
MOST = 1920  # pixels of the longer side
LEAST = 160
BAR = 30  # levels: what is darker along all of a row may belong to a bar
LEAST_BAR, MOST_BAR = 0.02, 0.36  # of the side; an upright video in a wide player leaves 0.34
GRID = (320, 192)  # at which fringes are looked for: they are coarse, or nobody would see them
COARSEST = 5  # cycles a picture: what is slower is the picture's own
WEAKEST = 0.1  # of the strongest fringe
FAINT = 0.05  # square levels: weaker waves are left alone
OUT_OF_STEP = 0.35  # of a frequency's power; 0.87 where the colours are a third of a period apart, 0 where they agree
UNIT = 128.0  # levels: a wave of a logarithm of 0.01 counts as one of 1.28, which it is at middle grey
VEIL = np.uint8(70)  # levels: the most light that is taken off as lying on a screen
AROUND, LIGHT = (160, 90), (64, 36)  # at which what is dark is looked for, and the light on it, which is smoother
GAIN = 2.2  # the most that the rest is made brighter
DARK = 8.0  # levels added to all before the logarithm, below which there is noise more than light


def homography(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What takes the corners (4, 2) to those of a picture of `size` (height, width), both counted from edges of pixels."""
    height, width = size
    target = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    return cv2.getPerspectiveTransform(np.asarray(corners, np.float32), target)


def size_of(corners: np.ndarray, aspect: float = ASPECT) -> tuple[int, int]:
    """Height and width that hold what the source resolves: no side is sampled more coarsely than it was photographed."""
    sides = np.linalg.norm(np.roll(corners, -1, 0) - corners, axis=1)
    width = max(sides[0], sides[2], aspect * max(sides[1], sides[3]))
    width = float(np.clip(width, LEAST, MOST * min(1.0, aspect)))
    return max(2, round(width / aspect)), max(2, round(width))


def warp(image: np.ndarray, corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What lies within the corners at `size`; edges of pixels on edges of pixels."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV counts from the middles of pixels
    finest = np.linalg.norm(np.roll(corners, -1, 0) - corners, axis=1) / (size[1], size[0], size[1], size[0])
    factor = int(finest.min())  # source pixels a target pixel: where there are several they are averaged
    if factor > 1:
        whole = (image.shape[1] // factor, image.shape[0] // factor)
        corners = corners * (np.array(whole) / image.shape[1::-1])
        image = cv2.resize(image, whole, interpolation=cv2.INTER_AREA)
    matrix = np.linalg.inv(half) @ homography(corners, size) @ half
    return cv2.warpPerspective(image, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def without_bars(image: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The corners moved inwards past black bars on two opposite sides, as a player of another shape leaves them; the very same
    array where there are none."""
    height, width = 144, 256
    grey = cv2.cvtColor(warp(image, corners, (height, width)), cv2.COLOR_RGB2GRAY)
    back = np.linalg.inv(homography(corners, (height, width)))
    dark = max(BAR, 1.6 * float(_percentile(grey.ravel(), 1)))
    rows, columns = _percentile(grey, 95), _percentile(grey.T, 95)
    top, bottom = _bars(rows, dark)
    left, right = _bars(columns, dark)
    if not any((top, bottom, left, right)):
        return corners
    inner = np.array([(left, top), (width - right, top), (width - right, height - bottom), (left, height - bottom)])
    return cv2.perspectiveTransform(inner[None].astype(np.float64), back)[0]


def _percentile(values: np.ndarray, percent: int) -> np.ndarray:
    """Of the last axis, one of its values: a tenth of the time of one between them."""
    at = percent * (values.shape[-1] - 1) // 100
    return np.partition(values, at, axis=-1)[..., at]


def _bars(levels: np.ndarray, dark: float) -> tuple[int, int]:
    """How many of the first and of the last values are dark, or none unless both are and nearly as many. What shines in a
    bar, such as how far a video has been played, is not counted where that is so of the longest lit stretch alone."""
    ends = np.flatnonzero(np.diff(levels > dark, prepend=False, append=False)).reshape(-1, 2)
    if not len(ends):
        return 0, 0
    longest = ends[np.diff(ends)[:, 0].argmax()]
    low, high = LEAST_BAR * len(levels), MOST_BAR * len(levels)
    for begin, end in ((ends[0, 0], ends[-1, 1]), longest):
        first, last = int(begin), len(levels) - int(end)
        alike = abs(first - last) <= max(3, 0.25 * max(first, last))
        if alike and low <= min(first, last) and max(first, last) <= high:
            return first, last
    return 0, 0


def restored(image: np.ndarray) -> np.ndarray:
    """The picture uint8 RGB (H, W, 3) with its darkest at black and its brightest at white, as far as VEIL and GAIN allow.

    A screen's black shines, the light of a room or a lamp lies on it, and a camera exposes for the room. What lies on it is
    smooth: it is taken to be the darkest that there is around each place in any colour (He et al. 2009), at most VEIL.
    """
    small = cv2.resize(image, AROUND, interpolation=cv2.INTER_AREA)
    dark = cv2.resize(cv2.erode(small.min(2), np.ones((7, 7))), LIGHT, interpolation=cv2.INTER_AREA)
    veil = np.minimum(cv2.GaussianBlur(cv2.erode(dark, np.ones((5, 5))), (0, 0), 4), VEIL)
    white = int(_percentile(cv2.subtract(small.max(2), cv2.resize(veil, AROUND)).ravel(), 99))
    gain = float(np.clip(255 / max(white, 1), 1, GAIN))
    clear = cv2.subtract(image, cv2.merge([cv2.resize(veil, image.shape[1::-1])] * 3))
    return np.asarray(cv2.convertScaleAbs(clear, alpha=gain))


def without_fringes(image: np.ndarray) -> np.ndarray:
    """The picture uint8 RGB (H, W, 3) less its moire.

    Fringes of a screen's grid under a sensor's are waves whose colours are out of step, as the colours of a grid lie side by
    side; in what is pictured they rise and fall together. So where the cross-spectra of red, green and blue are imaginary
    there are fringes, and of those frequencies only the part that is out of step is taken out. They are the screen's own
    light, made more or less by a share, hence the logarithms.
    """
    small = UNIT * np.log(cv2.resize(image, GRID, interpolation=cv2.INTER_AREA) + np.float32(DARK))
    spectra = np.stack([np.fft.fft2(channel - channel.mean()) for channel in cv2.split(small)])
    window = cv2.createHanningWindow(GRID, cv2.CV_32F)
    seen = np.stack([np.fft.fft2((channel - channel.mean()) * window) for channel in cv2.split(small)])
    power = (seen.real**2 + seen.imag**2).sum(0)
    twist = sum((one * other.conj()).imag for one, other in zip(seen, np.roll(seen, -1, 0), strict=True))
    twist, power = (cv2.blur(np.fft.fftshift(each), (5, 5)) for each in (twist, power))
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
    fringes = step * ((step.conj() * spectra).sum(0) * notch / 3)
    waves = cv2.merge([np.fft.ifft2(each).real.astype(np.float32) for each in fringes])
    light = np.exp(cv2.resize(waves, image.shape[1::-1], interpolation=cv2.INTER_CUBIC) / -UNIT)
    return np.clip((image + np.float32(DARK)) * light - DARK + 0.5, 0, 255).astype(np.uint8)
