"""Feature visualisation by activation maximisation: an image is optimised until a class or a channel responds strongly.

After Erhan 2009, Visualizing Higher-Layer Features of a Deep Network, and Simonyan 2013 (https://arxiv.org/abs/1312.6034).
Three ideas of Olah 2017 (https://doi.org/10.23915/distill.00007) make the image readable. It is parametrised by Fourier
coefficients. Its colours are decorrelated. At every step the network sees copies of it that are rotated, scaled and shifted at
random (transformation robustness), so patterns of single pixels have no effect. A total variation term makes the image smooth.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from PIL import Image

from core.errors import UserError
from core.images import Source, read, resize
from core.iterate import last_of
from core.optim import Adam
from models.classifier import Classifier, Prediction
from models.geometry import Geometry
from visualise.fourier_image import FourierImage

FRAME_MILLISECONDS = 120  # per frame of an animation
LAST_FRAME_FACTOR = 12  # the last frame stays this many times as long
COPIES = 4  # rotated, scaled and shifted copies per step
ROTATION = 10.0  # largest rotation of a copy, in degrees, in both directions
SCALE = (0.75, 1.15)  # smallest and largest scale of a copy
SHIFT = 16.0  # largest shift of a copy, in canvas pixels, in both directions
BLUR_EVERY = 4  # steps between two blurs
BLUR_SHARE = 0.8  # share of the steps with blurs; the last steps are without, so that the final image is sharp


@dataclass(frozen=True)
class FeatureVisualisation:
    """An intermediate or the final image of the optimisation.

    `pixels`: uint8 (H, W, 3). `goal`: the class or channel in words. `score`: the probability of the class in [0, 1], or the
    mean activation of the channel. `top`: the classifier's most probable classes. `step`: the number of the step, from 1 to
    `steps`. `progress`: in [0, 1], 1 when finished.
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

    def to_dict(self) -> dict[str, Any]:
        """All facts except the image, ready for JSON."""
        return {
            "model": self.model,
            "goal": self.goal,
            "score": self.score,
            "top": [prediction.to_dict() for prediction in self.top],
            "steps": self.step,
            "seed": self.seed,
            "size": list(self.pixels.shape[:2]),
            "seconds": round(self.seconds, 2),
        }


def visualise(
    classifier: Classifier, target: int | str, start: Source | None = None, **options: Any
) -> FeatureVisualisation:
    """Optimise an image until `target` responds strongly, and return the final image.

    Args:
        classifier: The classifier to visualise.
        target: The class or channel, see `stream_visualisation`.
        start: A photograph to start from; by default noise.
        options: The options of `stream_visualisation`.

    Returns:
        The final image.

    Raises:
        UserError: See `stream_visualisation`.

    >>> from models import load
    >>> visualisation = visualise(load("mobilenet_v2"), "tarantula", steps=2)
    >>> visualisation.goal, visualisation.step, visualisation.pixels.shape
    ('tarantula', 2, (224, 224, 3))
    """
    return last_of(stream_visualisation(classifier, target, start, **options))


def stream_visualisation(
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
) -> Iterator[FeatureVisualisation]:
    """Optimise an image until `target` responds strongly, and yield intermediate images.

    Args:
        classifier: The classifier to visualise.
        target: A class, by index or label: its logit is maximised. With `layer`, the number of a channel: its mean
            activation is maximised.
        start: A photograph to start from, as explain() takes it; by default noise of the `seed`.
        layer: The name of a layer, see `Classifier.channels`.
        steps: The number of gradient steps, 1 or more.
        octaves: The number of stages, 1 or more. The first stage changes low frequencies only. Each later stage doubles the
            highest frequency.
        smoothness: The weight of the total variation, in logits if the image had edges from black to white everywhere.
        pull: The weight of the penalty on the mean squared distance from the start photograph, or from grey without one. A
            larger weight keeps the image nearer to it.
        blur: The standard deviation in pixels of a Gaussian blur. The image is blurred at every fourth step, but not in the
            last 20 % of the steps.
        rate: The step size of Adam.
        seed: The seed of the noise and of the transformed copies.
        every: The number of steps between two images.

    Yields:
        The image after every `every` steps and after the last one.

    Raises:
        UserError: The target is not a class, or not the number of a channel if there is a layer. There is no such layer or
            channel. A number is too small. The start photograph cannot be read.
    """
    start_time = time.perf_counter()
    _check_options(steps, octaves, every, rate, min(smoothness, pull, blur))
    goal: _Goal = _ChannelGoal(classifier, layer, target) if layer else _ClassGoal(classifier, classifier.index(target))
    rng = np.random.default_rng(seed)
    fourier, geometry = _start_image(classifier, start, rng)
    start_pixels = np.float32(0.5) if start is None else fourier.render()  # in [0, 1]
    adam = Adam(rate)
    for step in range(1, steps + 1):
        image = fourier.render()
        gradient = _robust_gradient(goal, image, geometry.canvas, rng)
        if smoothness:
            gradient -= np.float32(smoothness / image[..., 0].size) * total_variation_gradient(image)
        if pull:
            gradient -= np.float32(2 * pull / image.size) * (image - start_pixels)
        change = adam.step(fourier.gradient(gradient, image))
        fourier.coefficients += change * fourier.low_pass(_highest_frequency(step, steps, octaves))
        if blur and step % BLUR_EVERY == 0 and step <= BLUR_SHARE * steps:
            fourier.blur(blur)
        if step % every == 0 or step == steps:
            yield FeatureVisualisation(
                **_measure_image(classifier, goal, fourier),
                step=step,
                steps=steps,
                seed=seed,
                seconds=time.perf_counter() - start_time,
                progress=step / steps,
            )


def _check_options(steps: int, octaves: int, every: int, rate: float, smallest_weight: float) -> None:
    """Raise UserError if a number is too small. `smallest_weight`: the smallest of smoothness, pull and blur."""
    if steps < 1 or octaves < 1 or every < 1:
        raise UserError(f"Steps, octaves and every must be 1 or more; got {steps}, {octaves} and {every}.")
    if not (rate > 0 and smallest_weight >= 0):
        raise UserError("The rate must be above 0; smoothness, pull and blur must be 0 or more.")


def _highest_frequency(step: int, steps: int, octaves: int) -> float:
    """The highest frequency that a step changes, in cycles per pixel.

    The steps are divided into `octaves` stages of equal length. The last stage changes all frequencies, up to 0.5. Each stage
    before it reaches half as high as the next one.
    """
    stage = octaves * (step - 1) // steps  # 0 to octaves - 1
    return 0.5 / 2 ** (octaves - 1 - stage)


def _measure_image(classifier: Classifier, goal: _Goal, fourier: FourierImage) -> dict[str, Any]:
    """The fields of FeatureVisualisation that depend on the image alone."""
    pixels = (fourier.render() * 255).round().astype(np.uint8)
    logits = classifier.logits(pixels)
    return {
        "pixels": pixels,
        "goal": goal.name,
        "score": goal.score(pixels, logits),
        "top": classifier.top(logits),
        "model": classifier.name,
    }


def encode_animation(frames: Sequence[np.ndarray]) -> bytes:
    """Encode images uint8 (H, W, 3) of one size as an animated WebP file. It repeats and pauses on the last frame."""
    file = io.BytesIO()
    first, *rest = (Image.fromarray(frame) for frame in frames)
    durations = [FRAME_MILLISECONDS] * len(rest) + [LAST_FRAME_FACTOR * FRAME_MILLISECONDS]
    first.save(file, "WEBP", save_all=True, append_images=rest, duration=durations, loop=0, quality=85, method=2)
    return file.getvalue()


class _Goal(Protocol):
    """The number to maximise. `name`: the class or channel in words."""

    name: str

    def gradient(self, canvases: np.ndarray) -> np.ndarray:
        """The gradient with respect to the pixels of canvases, (N, h, w, 3)."""

    def score(self, pixels: np.ndarray, logits: np.ndarray) -> float:
        """How well an image, uint8 (H, W, 3) with its logits (classes,), reaches the goal."""


class _ClassGoal:
    """Maximise the logit of a class. The score is its probability."""

    def __init__(self, classifier: Classifier, class_index: int) -> None:
        self.classifier, self.class_index = classifier, class_index
        self.name = classifier.labels[class_index]
        self.objective = classifier.objective(class_index)

    def gradient(self, canvases: np.ndarray) -> np.ndarray:
        return self.classifier.gradient(canvases, self.objective)

    def score(self, pixels: np.ndarray, logits: np.ndarray) -> float:  # noqa: ARG002
        return float(self.classifier.probabilities(logits)[self.class_index])


class _ChannelGoal:
    """Maximise the mean activation of a channel. The score is that mean."""

    def __init__(self, classifier: Classifier, layer: str, channel: int | str) -> None:
        if isinstance(channel, str) and not channel.strip().isdecimal():
            raise UserError(f"With a layer, the target is the number of a channel, not '{channel}'.")
        self.classifier, self.layer, self.channel = classifier, layer, int(channel)
        self.name = f"channel {self.channel} of {layer}"

    def gradient(self, canvases: np.ndarray) -> np.ndarray:
        return self.classifier.channel_gradient(self.layer, self.channel, canvases)

    def score(self, pixels: np.ndarray, logits: np.ndarray) -> float:
        canvas = self.classifier.geometry(pixels.shape[:2]).place(pixels)[None]
        activation, _ = self.classifier.layer_gradient(self.layer, canvas, np.zeros_like(logits))
        return float(activation[..., self.channel].mean())


def _start_image(
    classifier: Classifier, start: Source | None, rng: np.random.Generator
) -> tuple[FourierImage, Geometry]:
    """The image to start from, and where an image of its size lies on the canvas."""
    if start is None:
        geometry = classifier.geometry((classifier.side, classifier.side))
        return FourierImage.from_noise(geometry.canvas, rng), geometry
    pixels = read(start).pixels
    geometry = classifier.geometry(pixels.shape[:2])
    return FourierImage.from_photograph(resize(pixels, geometry.box[2:])), geometry


def _robust_gradient(goal: _Goal, image: np.ndarray, canvas: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """The mean gradient of the goal with respect to the image (H, W, 3) in [0, 1], over randomly transformed copies."""
    size = image.shape[:2]
    transforms = [random_transform(size, canvas, rng) for _ in range(COPIES)]
    copies = [
        cv2.warpAffine(image * 255, transform, canvas[::-1], borderMode=cv2.BORDER_REFLECT_101)
        for transform in transforms
    ]
    total = np.zeros_like(image)
    for transform, gradient in zip(transforms, goal.gradient(np.stack(copies)), strict=True):
        total += pull_back(gradient, transform, size) * np.float32(255 / COPIES)
    return total


def random_transform(size: tuple[int, int], canvas: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A random rotation, scale and shift that moves the centre of an image near the centre of the canvas.

    Args:
        size: (H, W) of the image.
        canvas: (h, w).
        rng: The random numbers.

    Returns:
        The affine matrix (2, 3) from image to canvas coordinates.
    """
    centre = (size[1] - 1) / 2, (size[0] - 1) / 2
    transform = cv2.getRotationMatrix2D(centre, rng.uniform(-ROTATION, ROTATION), rng.uniform(*SCALE))
    offset = np.array([canvas[1] - size[1], canvas[0] - size[0]]) / 2
    transform[:, 2] = transform[:, 2] + rng.uniform(-SHIFT, SHIFT, 2) + offset
    return transform


def pull_back(gradient: np.ndarray, transform: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Take a gradient with respect to a transformed copy back to the image.

    This is nearly the transpose of the transformation. The difference: it samples the gradient instead of distributing it. The
    determinant corrects for the change of area.

    Args:
        gradient: With respect to the copy, float32 (h, w, 3).
        transform: The affine matrix (2, 3) that made the copy.
        size: (H, W) of the image.

    Returns:
        The gradient with respect to the image, float32 (H, W, 3).
    """
    warped = cv2.warpAffine(gradient, transform, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return warped * np.float32(np.linalg.det(transform[:, :2]))


def total_variation_gradient(image: np.ndarray) -> np.ndarray:
    """The gradient of the total variation: the sum over pixels and colours of sqrt(dx^2 + dy^2 + 1e-6), (H, W, 3)."""
    down, right = np.zeros_like(image), np.zeros_like(image)
    down[:-1], right[:, :-1] = np.diff(image, axis=0), np.diff(image, axis=1)
    length = np.sqrt(down**2 + right**2 + 1e-6)
    down, right = down / length, right / length
    gradient = -down - right
    gradient[1:] += down[:-1]
    gradient[:, 1:] += right[:, :-1]
    return gradient
