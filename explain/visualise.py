"""Pictures that a classifier paints: noise, or a photograph, changed until it is what a class or a channel looks for.

Activation maximisation (Erhan et al. 2009; Simonyan et al. 2014) on the parameters that Olah et al. 2017 found legible: the
picture is a sum of waves whose amplitudes are learned, in colours as independent as those of photographs, and the network
sees it turned, scaled and shifted at random, so that what grows is something to see and not a pattern of pixels.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from explain import Source
from models.classifier import Classifier, Prediction
from models.errors import UserError
from models.picture import read, resize

VIEWS = 4  # turned, scaled and shifted copies that the network sees at a step
TURN, SCALE, SHIFT = 10.0, (0.75, 1.15), 16.0  # degrees either way; factors; pixels of the canvas either way
# How red, green and blue of photographs vary together (Olah et al. 2017, from ImageNet), as the columns of a basis.
COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
COLOURS /= np.linalg.norm(COLOURS, axis=0).max()


@dataclass(frozen=True)
class Dream:
    """A picture on its way. `pixels`: uint8 (H, W, 3). `step`: of `steps`. `top`: what the classifier sees in it.

    `score`: the probability of the class, or the mean of the channel over the picture. `goal`: the class or the channel in
    words. `progress`: 1 when finished.
    """

    pixels: np.ndarray
    goal: str
    score: float
    top: tuple[Prediction, ...]
    model: str
    step: int
    steps: int
    seed: int
    seconds: float
    progress: float

    def facts(self) -> dict[str, Any]:
        """Everything but the picture, as JSON allows it."""
        return {
            "model": self.model,
            "goal": self.goal,
            "score": self.score,
            "top": [{"index": p.index, "label": p.label, "probability": p.probability} for p in self.top],
            "steps": self.step,
            "seed": self.seed,
            "size": list(self.pixels.shape[:2]),
            "seconds": round(self.seconds, 2),
        }


def visualise(
    classifier: Classifier,
    target: int | str,
    start: Source | None = None,
    *,
    layer: str = "",
    steps: int = 96,
    octaves: int = 2,
    smoothness: float = 1.0,
    pull: float = 0.0,
    blur: float = 0.0,
    rate: float = 0.05,
    seed: int = 0,
    every: int = 4,
) -> Iterator[Dream]:
    """What `target` looks like to `classifier`: pictures that raise its logit, every so many steps a better one.

    `target`: a class index or label; with `layer`, the number of one of that layer's channels, whose mean is raised
    instead. `start`: a photograph (as explain() takes it) to begin with, else noise of the `seed`. `octaves`: begin with the
    coarse waves only and let in those half as long so many times less one. `smoothness`: weight of the total variation, in
    logits for edges from black to white all over; `pull`: weight of the mean squared distance from the start (from grey
    without one); `blur`: standard deviation, in pixels, of a slight blur every fourth step of the first four fifths. `rate`:
    step size of Adam. Raises UserError, in one sentence, for names and numbers that do not fit.
    """
    began = time.perf_counter()
    if steps < 1 or octaves < 1 or every < 1:
        raise UserError(f"Steps, octaves and every are 1 or more; got {steps}, {octaves} and {every}.")
    if not (rate > 0 and min(smoothness, pull, blur) >= 0):
        raise UserError("The rate is above 0, and smoothness, pull and blur are not below it.")
    goal = _Channel(classifier, layer, target) if layer else _Class(classifier, classifier.index(target))
    rng = np.random.default_rng(seed)
    if start is None:
        geometry = classifier.geometry((classifier.side, classifier.side))
        painting = _Painting.noise(geometry.canvas, rng)
    else:
        pixels = read(start).pixels
        geometry = classifier.geometry(pixels.shape[:2])
        painting = _Painting.photograph(resize(pixels, geometry.box[2:]))
    anchor = painting.picture() if start is not None else np.float32(0.5)
    adam = _Adam(painting.waves, rate)
    for step in range(1, steps + 1):
        picture = painting.picture()
        ways = [_way(picture.shape[:2], geometry.canvas, rng) for _ in range(VIEWS)]
        views = [
            cv2.warpAffine(picture * 255, way, geometry.canvas[::-1], borderMode=cv2.BORDER_REFLECT_101) for way in ways
        ]
        slope = np.zeros_like(picture)
        for way, gradient in zip(ways, goal.gradient(np.stack(views)), strict=True):
            slope += _back(gradient, way, picture.shape[:2]) * np.float32(255 / VIEWS)
        if smoothness:
            slope -= np.float32(smoothness / picture[..., 0].size) * _variation(picture)
        if pull:
            slope -= np.float32(2 * pull / picture.size) * (picture - anchor)
        change = adam.step(painting.back(slope, picture))
        painting.waves += change * painting.upto(0.5 / 2 ** (octaves - 1 - octaves * (step - 1) // steps))
        if blur and step % 4 == 0 and step <= 0.8 * steps:
            painting.soften(blur)
        if step % every == 0 or step == steps:
            pixels = (painting.picture() * 255).round().astype(np.uint8)
            logits = classifier.forward(classifier.geometry(pixels.shape[:2]).place(pixels)[None])[1][0]
            yield Dream(
                pixels=pixels,
                goal=goal.name,
                score=goal.score(pixels, logits),
                top=classifier.top(logits),
                model=classifier.name,
                step=step,
                steps=steps,
                seed=seed,
                seconds=time.perf_counter() - began,
                progress=step / steps,
            )


def dream(classifier: Classifier, target: int | str, start: Source | None = None, **how: Any) -> Dream:
    """The last picture of `visualise`."""
    return deque(visualise(classifier, target, start, **how), maxlen=1).pop()


class _Class:
    """Raise the logit of a class."""

    def __init__(self, classifier: Classifier, index: int) -> None:
        self.classifier, self.index = classifier, index
        self.name = classifier.labels[index]
        self.weights = np.zeros(len(classifier.labels), np.float32)
        self.weights[index] = 1

    def gradient(self, views: np.ndarray) -> np.ndarray:
        return self.classifier.gradient(views, self.weights)

    def score(self, pixels: np.ndarray, logits: np.ndarray) -> float:  # noqa: ARG002
        return float(self.classifier.probabilities(logits)[self.index])


class _Channel:
    """Raise the mean of a channel."""

    def __init__(self, classifier: Classifier, layer: str, channel: int | str) -> None:
        if isinstance(channel, str) and not channel.strip().isdecimal():
            raise UserError(f"With a layer, the target is the number of a channel, not '{channel}'.")
        self.classifier, self.layer, self.channel = classifier, layer, int(channel)
        self.name = f"channel {self.channel} of {layer}"

    def gradient(self, views: np.ndarray) -> np.ndarray:
        return self.classifier.channel_gradient(self.layer, self.channel, views)

    def score(self, pixels: np.ndarray, logits: np.ndarray) -> float:
        canvas = self.classifier.geometry(pixels.shape[:2]).place(pixels)[None]
        activation, _ = self.classifier.layer_gradient(self.layer, canvas, np.zeros_like(logits))
        return float(activation[..., self.channel].mean())


class _Painting:
    """A picture as a sum of waves: `waves` complex (H, W // 2 + 1, 3), all about equally large for a photograph.

    The picture is sigmoid(COLOURS @ inverse Fourier transform of (waves / frequency)), (H, W, 3) in (0, 1): photographs have
    about as much in every octave, and so has a step along the gradient.
    """

    def __init__(self, size: tuple[int, int], waves: np.ndarray) -> None:
        self.size, self.waves = size, waves

    @classmethod
    def noise(cls, size: tuple[int, int], rng: np.random.Generator) -> _Painting:
        """Faint noise on grey."""
        shape = size[0], size[1] // 2 + 1, 3
        real, imaginary = rng.standard_normal((2, *shape), np.float32) * np.float32(0.01)
        return cls(size, real + 1j * imaginary)

    @classmethod
    def photograph(cls, pixels: np.ndarray) -> _Painting:
        """A photograph uint8 (H, W, 3); black and white become nearly so."""
        inside = np.clip(pixels.astype(np.float32) / 255, 0.02, 0.98)
        values = np.log(inside / (1 - inside)) @ np.linalg.inv(COLOURS).T.astype(np.float32)
        made = cls(pixels.shape[:2], np.empty(0))
        made.waves = (np.fft.rfft2(values, axes=(0, 1)) / made._spread()).astype(np.complex64)
        return made

    def picture(self) -> np.ndarray:
        """float32 (H, W, 3) in (0, 1)."""
        values = np.fft.irfft2(self.waves * self._spread(), s=self.size, axes=(0, 1)).astype(np.float32)
        return 1 / (1 + np.exp(-values @ COLOURS.T))

    def back(self, slope: np.ndarray, picture: np.ndarray) -> np.ndarray:
        """d / d(picture) (H, W, 3) -> d / d(waves): the real part by the real parts, the imaginary by the imaginary."""
        values = (slope * picture * (1 - picture)) @ COLOURS
        counted = np.full((1, self.waves.shape[1], 1), 2, np.float32)  # a wave stands for its mirror image as well,
        counted[:, 0] = 1  # but for the constant and, where the width is even, the shortest
        if self.size[1] % 2 == 0:
            counted[:, -1] = 1
        turned = np.fft.rfft2(values, axes=(0, 1)) / (self.size[0] * self.size[1])
        return (turned * counted * self._spread()).astype(np.complex64)

    def upto(self, frequency: float) -> np.ndarray:
        """Which waves are no shorter than 1 / frequency pixels along either side: float32 (H, W // 2 + 1, 1)."""
        down, across = self._frequencies()
        return ((np.abs(down) <= frequency) & (across <= frequency)).astype(np.float32)[..., None]

    def soften(self, sigma: float) -> None:
        """Blur by a Gaussian (before the sigmoid)."""
        down, across = self._frequencies()
        self.waves *= np.exp(-2 * (np.pi * sigma) ** 2 * (down**2 + across**2)).astype(np.float32)[..., None]

    def _frequencies(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the waves, in cycles a pixel: (H, 1) and (1, W // 2 + 1)."""
        return np.fft.fftfreq(self.size[0])[:, None], np.fft.rfftfreq(self.size[1])[None]

    def _spread(self) -> np.ndarray:
        """1 / frequency, scaled so that waves of size 1 make pictures of good contrast: float32 (H, W // 2 + 1, 1)."""
        frequency = np.maximum(np.hypot(*self._frequencies()), 1 / max(self.size))
        return (np.sqrt(self.size[0] * self.size[1]) / (4 * frequency)).astype(np.float32)[..., None]


class _Adam:
    """Steps of about the same size for every number, whatever the size of its gradient (Kingma & Ba 2015)."""

    def __init__(self, like: np.ndarray, rate: float) -> None:
        self._rate, self._count = rate, 0
        self._mean, self._square = np.zeros_like(like), np.zeros_like(like)

    def step(self, gradient: np.ndarray) -> np.ndarray:
        """How far to go uphill; real and imaginary parts are numbers of their own."""
        self._count += 1
        self._mean = 0.9 * self._mean + 0.1 * gradient
        self._square = 0.999 * self._square + 0.001 * (gradient.real**2 + 1j * gradient.imag**2)
        mean, square = self._mean / (1 - 0.9**self._count), self._square / (1 - 0.999**self._count)
        real = mean.real / (np.sqrt(square.real) + 1e-8)
        imaginary = mean.imag / (np.sqrt(square.imag) + 1e-8)
        return (self._rate * (real + 1j * imaginary)).astype(np.complex64)


def _way(size: tuple[int, int], canvas: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A random turn, scale and shift that takes the middle of a picture near the middle of the canvas, (2, 3)."""
    middle = (size[1] - 1) / 2, (size[0] - 1) / 2
    way = cv2.getRotationMatrix2D(middle, rng.uniform(-TURN, TURN), rng.uniform(*SCALE))
    centred = np.array([canvas[1] - size[1], canvas[0] - size[0]]) / 2
    way[:, 2] = way[:, 2] + rng.uniform(-SHIFT, SHIFT, 2) + centred
    return way


def _back(gradient: np.ndarray, way: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A gradient by a view as one by the picture: seen backwards, and as much more as pixels of the picture were seen often.

    Nearly the transpose of the view: it interpolates on the other side.
    """
    seen = cv2.warpAffine(gradient, way, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return seen * np.float32(np.linalg.det(way[:, :2]))


def _variation(picture: np.ndarray) -> np.ndarray:
    """The gradient of the total variation, sum of |differences to the right and below|, (H, W, 3)."""
    down, right = np.zeros_like(picture), np.zeros_like(picture)
    down[:-1], right[:, :-1] = np.diff(picture, axis=0), np.diff(picture, axis=1)
    length = np.sqrt(down**2 + right**2 + 1e-6)
    down, right = down / length, right / length
    slope = -down - right
    slope[1:] += down[:-1]
    slope[:, 1:] += right[:, :-1]
    return slope


if __name__ == "__main__":
    import sys

    from explain.commands import dream as command

    sys.exit(command())
