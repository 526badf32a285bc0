"""Image and classifier -> heatmap, and how far to trust it.

>>> from explain import explain
>>> from models import load
>>> explain("photo.jpg", load("mobilenet_v2")).label
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from explain import cam, consensus, extremal, gradients, perturbation, registry  # noqa: F401  (all but the last register)
from explain.registry import METHODS, Method, Step
from explain.result import Explanation
from explain.view import View
from models.classifier import Classifier, Prediction
from models.errors import UserError, unknown
from models.geometry import resample
from models.picture import Picture, read

SMOOTH = ("flip", "multiscale")
SCALES = (1.25, 1.5)  # of the canvas' side, beside the canvas itself

__all__ = ["METHODS", "SMOOTH", "Explanation", "Method", "explain", "stream"]

Source = str | os.PathLike[str] | Image.Image | np.ndarray | Picture


def explain(
    image: Source,
    classifier: Classifier,
    method: str = "grad-cam",
    target: int | str | None = None,
    *,
    against: int | str | None = None,
    canvas: int | None = None,
    smooth: str = "",
    **options: Any,
) -> Explanation:
    """What `method` says about why `classifier` sees `target` in `image`.

    `image`: a path, a PIL image, or a uint8 array (H, W), (H, W, 3) or (H, W, 4); EXIF rotation is honoured. `target`: a
    class index or label (in any case), by default the class predicted. `against`: another class; then the map is of the
    difference of both logits, with signs: why `target` rather than that one. `canvas`: the picture is seen at about
    canvas * canvas pixels, by default 224; 448 gives CAMs of 14x14 cells. `smooth`: "flip" or "multiscale" averages the
    maps of the mirrored picture or of three sizes, for methods that give one map. `options`: the method's own, see METHODS.
    Raises UserError, in one sentence, for a picture that cannot be read, for unknown names, and where this method cannot
    explain this model; ArithmeticError if the map is not finite.
    """
    question = _Question(image, classifier, method, target, against, canvas, smooth, options)
    return question.answer(deque(question.steps(), maxlen=1).pop())  # only the last step is worth taking to full size


def stream(
    image: Source,
    classifier: Classifier,
    method: str = "grad-cam",
    target: int | str | None = None,
    *,
    against: int | str | None = None,
    canvas: int | None = None,
    smooth: str = "",
    **options: Any,
) -> Iterator[Explanation]:
    """The same, one Explanation after the other while the map gets better; quick methods give one only.

    Nothing happens before the first is asked for, and closing the iterator stops the work.
    """
    question = _Question(image, classifier, method, target, against, canvas, smooth, options)
    for step in question.steps():
        yield question.answer(step)


class _Question:
    """One call of `explain` or `stream`: its arguments checked and its picture seen once, with a clock that runs."""

    def __init__(
        self,
        image: Source,
        classifier: Classifier,
        name: str,
        target: int | str | None,
        against: int | str | None,
        canvas: int | None,
        smooth: str,
        options: dict[str, Any],
    ) -> None:
        self.start = time.perf_counter()
        self.picture = read(image)
        self.method = registry.method(name)
        self.options = self.method.check(options)
        index = None if target is None else classifier.index(target)
        self.against = None if against is None else classifier.index(against)
        height, width = self.picture.pixels.shape[:2]
        self.smooth, self.asked, self.side = smooth, canvas, canvas or classifier.side
        if smooth and smooth not in SMOOTH:
            raise unknown("way to smooth", smooth, SMOOTH)
        self.view = View(classifier, classifier.geometry((height, width), canvas), self.picture.pixels)
        self.index = int(self.view.logits.argmax()) if index is None else index
        if self.against == self.index:
            raise UserError(
                f"A class is set against another one, not '{classifier.labels[self.index]}' against itself."
            )

    def steps(self) -> Iterator[Step]:
        """The method's maps."""
        target = np.zeros(self.view.logits.shape, np.float32)
        target[self.index] = 1
        if self.against is not None:
            target[self.against] = -1
        found = self.method.run(self.view, target, self.options)
        if not isinstance(found, Step):
            if self.smooth:
                raise UserError(f"{self.method.name} gives map after map and cannot be smoothed; leave out 'smooth'.")
            yield from found
        elif self.smooth == "flip":
            yield Step((found.raw + self._seen_again(target, mirrored=True)[:, ::-1]) / 2)
        elif self.smooth == "multiscale":
            larger = [self._seen_again(target, scale) for scale in SCALES]
            yield Step(np.mean([resample(raw, larger[-1].shape[:2]) for raw in (found.raw, *larger)], axis=0))
        else:
            yield found

    def _seen_again(self, target: np.ndarray, scale: float = 1, mirrored: bool = False) -> np.ndarray:
        """The method's map of the same picture mirrored or on a larger canvas; its passes are counted."""
        classifier, geometry = self.view.classifier, self.view.geometry
        if scale != 1:
            geometry = classifier.geometry(geometry.size, round(self.side * scale))
        pixels = self.picture.pixels[:, ::-1] if mirrored else self.picture.pixels
        view = View(classifier, geometry, np.ascontiguousarray(pixels))
        found = self.method.run(view, target, self.options)
        assert isinstance(found, Step)
        self.view.forward_passes += view.forward_passes
        self.view.backward_passes += view.backward_passes
        return found.raw

    def answer(self, step: Step) -> Explanation:
        """One of those maps in the picture's own pixels, with everything that was asked and found."""
        if not np.isfinite(step.raw).all():
            raise ArithmeticError(f"{self.method.name} gave a map with values that are not finite")
        classifier, geometry, logits = self.view.classifier, self.view.geometry, self.view.logits
        full = geometry.restore(step.raw)
        signed, against = None, None
        probabilities = classifier.probabilities(logits)
        if self.against is not None:
            signed = _two_sided(full, self.method.percentile)
            against = Prediction(self.against, classifier.labels[self.against], float(probabilities[self.against]))
        heatmap, notes = _scale(full, self.method.percentile)
        return Explanation(
            heatmap=heatmap,
            raw=np.asarray(step.raw, np.float32),
            target=self.index,
            label=classifier.labels[self.index],
            probability=float(probabilities[self.index]),
            top=classifier.top(logits),
            method=self.method.name,
            model=classifier.name,
            seconds=time.perf_counter() - self.start,
            forward_passes=self.view.forward_passes,
            backward_passes=self.view.backward_passes,
            padding_share=geometry.padding_share(step.raw),
            progress=step.progress,
            error=step.error,
            parameters={
                **self.options,
                "smooth": self.smooth,
                "side": self.asked,
                "size": geometry.size,
                "canvas": geometry.canvas,
                "box": geometry.box,
            },
            notes=self.picture.notes + notes + step.notes,
            against=against,
            signed=signed,
        )


def _two_sided(full: np.ndarray, percentile: float) -> np.ndarray:
    """A signed map in [-1, 1]: both sides on one scale, and zero where it was."""
    size = np.abs(full)
    top = float(np.percentile(size, percentile)) or float(size.max()) or 1.0
    return np.clip(full / top, -1, 1)


def _scale(signed: np.ndarray, percentile: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """The positive part in [0, 1], and what to say where there is none.

    In place, in the freshly restored map: at full size every temporary costs as much as the method itself.
    """
    heat = np.maximum(signed, 0, out=signed)
    greatest = float(heat.max())
    if greatest == 0:
        return heat, (
            "No region speaks for this class here: the map is empty, and its raw values are zero or negative.",
        )
    top = greatest if percentile == 100 else float(np.percentile(heat, percentile)) or greatest
    np.divide(heat, top, out=heat)
    return np.minimum(heat, 1, out=heat), ()
