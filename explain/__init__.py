"""Image and classifier -> heatmap, and how far to trust it.

>>> from explain import explain
>>> from models import load
>>> explain("photo.jpg", load("mobilenet_v2")).label
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from explain import cam, gradients, perturbation  # noqa: F401  (they register their methods)
from explain.registry import METHODS, Method, Step, method
from explain.result import Explanation
from explain.view import View
from models.classifier import Classifier
from models.picture import Picture, read

__all__ = ["METHODS", "Explanation", "Method", "explain", "stream"]

Source = str | os.PathLike[str] | Image.Image | np.ndarray | Picture


def explain(
    image: Source, classifier: Classifier, method: str = "grad-cam", target: int | str | None = None, **options: Any
) -> Explanation:
    """What `method` says about why `classifier` sees `target` in `image`.

    `image`: a path, a PIL image, or a uint8 array (H, W), (H, W, 3) or (H, W, 4); EXIF rotation is honoured. `target`: a
    class index or label (in any case), by default the class predicted. `options`: the method's own, see METHODS. Raises
    UserError, in one sentence, for a picture that cannot be read and for unknown names.
    """
    *_, last = stream(image, classifier, method, target, **options)
    return last


def stream(
    image: Source, classifier: Classifier, method: str = "grad-cam", target: int | str | None = None, **options: Any
) -> Iterator[Explanation]:
    """The same, one Explanation after the other while the map gets better; quick methods give one only."""
    start = time.perf_counter()
    picture = read(image)
    chosen = _method(method)
    options = chosen.check(options)
    index = None if target is None else classifier.index(target)
    size = picture.pixels.shape[0], picture.pixels.shape[1]
    view = View(classifier, classifier.geometry(size), picture.pixels)
    index = int(view.logits.argmax()) if index is None else index
    weights = np.zeros(len(classifier.labels), np.float32)
    weights[index] = 1
    found = chosen.function(view, weights, **options)
    for step in [Step(found)] if isinstance(found, np.ndarray) else found:
        yield _explanation(view, chosen, options, index, step, picture, start)


_method = method  # the argument of the same name hides it above


def _explanation(
    view: View, method: Method, options: dict[str, Any], index: int, step: Step, picture: Picture, start: float
) -> Explanation:
    if not np.isfinite(step.raw).all():
        raise ArithmeticError(f"{method.name} gave a map with values that are not finite")
    geometry = view.geometry
    heatmap, notes = _scale(geometry.restore(step.raw), method.percentile)
    return Explanation(
        heatmap=heatmap,
        raw=np.asarray(step.raw, np.float32),
        target=index,
        label=view.classifier.labels[index],
        probability=float(view.classifier.probabilities(view.logits)[index]),
        top=view.classifier.top(view.logits),
        method=method.name,
        model=view.classifier.name,
        seconds=time.perf_counter() - start,
        forward_passes=view.forward_passes,
        backward_passes=view.backward_passes,
        padding_share=geometry.padding_share(step.raw),
        progress=step.progress,
        parameters={**options, "size": geometry.size, "canvas": geometry.canvas, "box": geometry.box},
        notes=picture.notes + notes,
    )


def _scale(signed: np.ndarray, percentile: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """The positive part in [0, 1], and what to say where there is none."""
    heat = np.maximum(signed, 0)
    top = float(heat.max() if percentile == 100 else np.percentile(heat, percentile))
    top = top or float(heat.max())
    if top == 0:
        return heat, (
            "No region speaks for this class here: the map is empty, and its raw values are zero or negative.",
        )
    return np.minimum(heat / top, 1), ()
