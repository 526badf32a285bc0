"""How a model wants its pixels: the usual ways to scale them, and which one fits a model without that knowledge.

Many files do not say how pixels were scaled in training. `choose_by_statistics` and `choose_by_logits` compare the usual ways
on photographs. `describe_choice` states the choice, or that it cannot be told, in one sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import unknown
from core.images import read
from models.geometry import FIXED, Fit

PHOTOS = Path(__file__).parents[1] / "samples" / "photos"
SATURATED = 0.9999  # probabilities above this for every photograph: the pixels are too large for the model
FLAT = 0.02  # logits that differ less than this between photographs: the pixels are too small for the model
MARGIN = 1.3  # the second best way must fit this many times as badly


@dataclass(frozen=True)
class Preprocessing:
    """A way to scale pixels: channels * scale + offset.

    Args:
        name: Name on the command line.
        description: A phrase that says what it does.
        scale: Factor of each channel.
        offset: Added to each channel after that.
        reverse: Whether the channels are reversed first, to BGR.
    """

    name: str
    description: str
    scale: tuple[float, float, float] = (1, 1, 1)
    offset: tuple[float, float, float] = (0, 0, 0)
    reverse: bool = False

    def __call__(self, batch: Any) -> Any:
        """RGB in [0, 255] (N, h, w, 3) -> the input of the model. Takes arrays of NumPy and tensors of Keras."""
        if self.reverse:
            batch = batch[..., ::-1]
        return batch * np.array(self.scale, np.float32) + np.array(self.offset, np.float32)


_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WAYS = {
    way.name: way
    for way in (
        Preprocessing("0..255", "pixels as they are"),
        Preprocessing("0..1", "pixels divided by 255", (1 / 255,) * 3),
        Preprocessing("-1..1", "pixels divided by 127.5, minus 1", (1 / 127.5,) * 3, (-1, -1, -1)),
        Preprocessing(
            "imagenet",
            "0..1, minus the mean of ImageNet, divided by its standard deviation",
            tuple(1 / (255 * d) for d in _DEVIATION),  # type: ignore[arg-type]
            tuple(-m / d for m, d in zip(_MEAN, _DEVIATION, strict=True)),  # type: ignore[arg-type]
        ),
        Preprocessing("caffe", "BGR minus the mean of ImageNet", offset=(-103.939, -116.779, -123.68), reverse=True),
    )
}
ONLY = "the only one with sensible predictions on photographs"  # a reason, see `describe_choice`
DEFAULT_ORDER = ("0..1", "-1..1", "0..255", "imagenet", "caffe")  # where nothing tells them apart: the most usual first

# Families of keras.applications that expect pixels to be scaled outside of the model, by the start of their model's name.
FAMILIES = {
    "vgg": "caffe", "resnet50v2": "-1..1", "resnet101v2": "-1..1", "resnet152v2": "-1..1", "resnet": "caffe",
    "mobilenetv3": "0..255", "mobilenet": "-1..1", "xception": "-1..1", "inception": "-1..1", "nasnet": "-1..1",
    "densenet": "imagenet", "efficientnet": "0..255", "convnext": "0..255",
}  # fmt: skip


def find_preprocessing(name: str) -> Preprocessing:
    """The way of that name. Raises UnknownNameError with the names that exist."""
    if name not in WAYS:
        raise unknown("preprocessing", name, WAYS)
    return WAYS[name]


def from_range(low: float, high: float) -> Preprocessing | None:
    """The way whose pixels fill a range of values, such as that of a quantised input; None if there is none."""
    for name, expected in (("0..255", (0, 255)), ("0..1", (0, 1)), ("-1..1", (-1, 1))):
        if np.allclose((low, high), expected, atol=0.02 * (expected[1] - expected[0])):
            return WAYS[name]
    return None


def from_family(names: Iterable[str]) -> Preprocessing | None:
    """The way of the first family of keras.applications among the names of models; None if there is none."""
    for name in names:
        for family, way in FAMILIES.items():
            if name.lower().replace("-", "").replace("_", "").startswith(family):
                return WAYS[way]
    return None


@cache
def sample_photographs() -> tuple[np.ndarray, ...]:
    """The sample photographs, each uint8 RGB (H, W, 3). Grey pictures if they are not installed."""
    pictures = tuple(read(path).pixels for path in sorted(PHOTOS.glob("*.jpg")))
    return pictures or tuple(np.full((64, 64, 3), grey, np.uint8) for grey in (0, 128, 255))


def photographs(canvas: tuple[int, int], fit: Fit = "squash", count: int | None = None) -> np.ndarray:
    """The sample photographs on a canvas (h, w): float32 (N, h, w, 3) in [0, 255], whole numbers. `count`: at most so many."""
    place = FIXED.get(fit, FIXED["squash"])
    pictures = sample_photographs()[:count]
    return np.rint(np.stack([place(pixels.shape[:2], canvas).place(pixels) for pixels in pictures]))


def choose_by_statistics(
    means: np.ndarray, variances: np.ndarray, observe: Callable[[Preprocessing], np.ndarray]
) -> Preprocessing | None:
    """The way that fits the stored statistics of the first batch normalisation; None if two ways fit about equally well.

    Args:
        means: Stored mean of each channel.
        variances: Stored variance of each channel.
        observe: The input of that layer (..., channels) on photographs, for a way to scale pixels.

    Returns:
        The way whose means and variances differ least from the stored ones.
    """
    deviations = np.sqrt(np.maximum(variances, 1e-12))
    misfit = {}
    for way in WAYS.values():
        values = observe(way).reshape(-1, len(means)).astype(np.float64)
        spread = np.log(np.maximum(values.std(0), 1e-6) / deviations)
        shift = (values.mean(0) - means) / deviations
        misfit[way.name] = float(np.mean(np.abs(spread)) + np.mean(np.abs(shift)))
    best, second = sorted(misfit, key=misfit.__getitem__)[:2]
    return WAYS[best] if misfit[second] > MARGIN * misfit[best] else None


def choose_by_logits(
    predict: Callable[[Preprocessing], np.ndarray], order: Sequence[str] = DEFAULT_ORDER
) -> tuple[Preprocessing, bool]:
    """The way whose logits on photographs are neither saturated nor all alike.

    Args:
        predict: Logits (N, classes) of photographs, for a way to scale pixels.
        order: The names of the ways, the most usual first.

    Returns:
        The way, and whether it is the only one. Otherwise it is the most usual of those that remain.
    """
    plausible = []
    for name in order:
        logits = predict(WAYS[name])
        gap = np.diff(np.sort(logits, 1)[:, -2:], axis=1)  # between the two best classes
        saturated = bool((gap > np.log(SATURATED / (1 - SATURATED))).all())
        if np.isfinite(logits).all() and not saturated and logits.std(0).max() > FLAT:
            plausible.append(WAYS[name])
    return (plausible or [WAYS[order[0]]])[0], len(plausible) == 1


def describe_choice(way: Preprocessing, reason: str) -> str:
    """One sentence: the way, why, and what else can be chosen. An empty reason says that it cannot be told."""
    if reason:
        return f"Preprocessing: {way.name} ({way.description}), {reason}."
    others = ", ".join(name for name in WAYS if name != way.name)
    return f"The file does not say how pixels are scaled; {way.name} is assumed, and preprocess={others} are the other choices."
