"""The two entry points: `explain` gives one heatmap, `stream` also gives intermediate ones."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.errors import UserError, unknown
from core.images import Source, read
from core.iterate import last_of
from explain.methods import METHODS, find_method
from explain.quality import choose_quality
from explain.registry import Step, default_method
from explain.result import Explanation, rank
from explain.view import View
from models import capabilities
from models.classifier import Classifier, Prediction
from models.geometry import resample

SMOOTH = ("flip", "multiscale")
ABSOLUTE_NOTE = ("The heatmap shows absolute values, so it also marks what lowers the score.",)
COARSE = 3  # a map with this many rows or columns, or fewer, is called coarse
KNEE = 0.9  # the heat of the percentile of a method, see Method; higher values keep their order between it and 1
SCALES = (1.25, 1.5)  # sides of the larger canvases of "multiscale", as multiples of the first canvas' side


@dataclass(frozen=True)
class ExplainSettings:
    """The arguments of `explain`, without picture and classifier; the same meanings and defaults."""

    method: str | None = None
    target: int | str | None = None
    against: int | str | None = None
    side: int | None = None
    smooth: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    quality: str = ""

    @classmethod
    def from_explanation(cls, explanation: Explanation) -> ExplainSettings:
        """The settings that gave an explanation."""
        parameters = explanation.parameters
        options = {name: parameters[name] for name in find_method(explanation.method).options}
        against = None if explanation.against is None else explanation.against.index
        target, side, smooth = explanation.class_index, parameters["side"], parameters["smooth"]
        return cls(explanation.method, target, against, side, smooth, options)

    def choose_method(self, classifier: Classifier) -> tuple[str, Mapping[str, Any]]:
        """The method and its options: those given, those of the quality, or the classifier's default method.

        Raises UserError if a quality is given beside a method or options, and UnknownNameError for an unknown quality.
        """
        if not self.quality:
            return default_method(classifier) if self.method is None else self.method, self.options
        if self.method is not None or self.options:
            raise UserError("A quality chooses the method and its options; give a quality or a method, not both.")
        return choose_quality(self.quality, classifier)

    def explain(self, image: Source, classifier: Classifier) -> Explanation:
        """The explanation of one image. Raises as the function `explain` does."""
        run = _ExplainRun(self, image, classifier)
        return run.make_explanation(last_of(run.steps()))  # only the last map is resized to the picture

    def stream(self, image: Source, classifier: Classifier) -> Iterator[Explanation]:
        """The intermediate explanations and the last one. Raises as the function `stream` does."""
        run = _ExplainRun(self, image, classifier)
        for step in run.steps():
            yield run.make_explanation(step)


def explain(
    image: Source, classifier: Classifier, method: str | None = None,
    target: int | str | None = None, *,
    against: int | str | None = None, side: int | None = None, smooth: str = "", quality: str = "", **options: Any,
) -> Explanation:  # fmt: skip
    """Explain which regions of an image support a class.

    >>> from models import load
    >>> explanation = explain("samples/photos/cat.jpg", load("mobilenet_v2"), "layer-cam", target="tabby")
    >>> explanation.label, explanation.heatmap.shape
    ('tabby', (300, 451))

    Args:
        image: A path, a PIL image, or a uint8 array (H, W), (H, W, 3) or (H, W, 4). EXIF rotation is applied.
        classifier: See `models.load`.
        method: A name in METHODS; by default that of `default_method`, which is Grad-CAM for convolutional networks.
        target: A class index or label (in any case); by default the predicted class.
        against: Another class. The map then explains the difference of both logits, with signs: why `target` and not
            `against`.
        side: The canvas has about side * side pixels, by default `classifier.side`. With 448, CAMs have 14x14 cells.
        smooth: "flip" averages the maps of the picture and its mirror image, "multiscale" those of three canvas sizes.
            Only for methods that give a single map.
        quality: "quick", "good" or "best" in place of `method` and `options`: about 0.05, 0.5 and 5 seconds with MobileNetV2 on
            2 cores, see `explain.quality`.
        options: The method's own options, see METHODS.

    Returns:
        The heatmap in the picture's own pixels, with the prediction, the cost and all parameters.

    Raises:
        UserError: In one sentence: the picture cannot be read, a name is unknown, or the method cannot explain this model.
        ArithmeticError: The map has values that are not finite.
    """
    return ExplainSettings(method, target, against, side, smooth, options, quality).explain(image, classifier)


def stream(
    image: Source, classifier: Classifier, method: str | None = None,
    target: int | str | None = None, *,
    against: int | str | None = None, side: int | None = None, smooth: str = "", quality: str = "", **options: Any,
) -> Iterator[Explanation]:  # fmt: skip
    """Yield intermediate explanations, each from more passes than the one before, and then the final one.

    Fast methods yield one explanation only. No work is done before the first one is requested; closing the iterator stops
    the work.

    >>> from models import load
    >>> maps = stream("samples/photos/cat.jpg", load("mobilenet_v2"), "occlusion", patch=96, stride=96)
    >>> [round(explanation.progress, 2) for explanation in maps]
    [0.25, 1.0]

    Args:
        image, classifier, method, target, against, side, smooth, quality, options: As for `explain`.

    Yields:
        Explanations with increasing `progress`; 1 for the last one, which equals the result of `explain`.

    Raises:
        UserError, ArithmeticError: As `explain` does, when the first explanation is requested.
    """
    yield from ExplainSettings(method, target, against, side, smooth, options, quality).stream(image, classifier)


class _ExplainRun:
    """One image explained with given settings: checks the arguments, makes the first forward pass, measures the time."""

    def __init__(self, settings: ExplainSettings, image: Source, classifier: Classifier) -> None:
        self.start = time.perf_counter()
        self.settings = settings
        method, options = settings.choose_method(classifier)
        self.picture = read(image)
        self.method = find_method(method)
        self.options = self.method.check(dict(options))
        target = None if settings.target is None else classifier.index(settings.target)
        self.against = None if settings.against is None else classifier.index(settings.against)
        if self.against is not None and "sign" in self.options:
            self.options["sign"] = "signed"
        if settings.smooth and settings.smooth not in SMOOTH:
            raise unknown("smoothing", settings.smooth, SMOOTH)
        if settings.smooth and self.method.gives_series:
            raise UserError(f"{self.method.name} gives a series of maps, which cannot be smoothed; omit 'smooth'.")
        if settings.smooth == "multiscale" and classifier.canvas:
            height, width = classifier.canvas
            raise UserError(
                f"{classifier.name} takes one canvas only, {width}x{height}; use smooth='flip' or leave it out."
            )
        capabilities.require(classifier, self.method.name, {name: method.needs for name, method in METHODS.items()})
        size = self.picture.pixels.shape[:2]
        self.view = View(classifier, classifier.geometry(size, settings.side), self.picture.pixels)
        self.options = self.method.complete(self.view, self.options)
        self.class_index = int(self.view.logits.argmax()) if target is None else target
        if self.against == self.class_index:
            label = classifier.labels[self.class_index]
            raise UserError(f"'{label}' is already the target class; choose another class for `against`.")

    def steps(self) -> Iterator[Step]:
        """The maps of the method; with smoothing, one averaged map."""
        objective = self.view.classifier.objective(self.class_index, self.against)
        result = self.method.compute(self.view, objective, self.options)
        if not isinstance(result, Step):
            yield from result
        elif self.settings.smooth == "flip":
            yield Step((result.raw + self._map_of_variant(objective, mirrored=True)[:, ::-1]) / 2)
        elif self.settings.smooth == "multiscale":
            larger = [self._map_of_variant(objective, scale) for scale in SCALES]
            yield Step(np.mean([resample(raw, larger[-1].shape[:2]) for raw in (result.raw, *larger)], axis=0))
        else:
            yield result

    def _map_of_variant(self, objective: np.ndarray, scale: float = 1, mirrored: bool = False) -> np.ndarray:
        """The method's map of the mirrored picture, or of the picture on a larger canvas; its passes are counted."""
        classifier, geometry = self.view.classifier, self.view.geometry
        if scale != 1:
            geometry = classifier.geometry(geometry.size, round((self.settings.side or classifier.side) * scale))
        pixels = self.picture.pixels[:, ::-1] if mirrored else self.picture.pixels
        view = View(classifier, geometry, np.ascontiguousarray(pixels))
        raw = self.method.compute_last(view, objective, self.options).raw
        self.view.forward_passes += view.forward_passes
        self.view.backward_passes += view.backward_passes
        return raw

    def make_explanation(self, step: Step) -> Explanation:
        """One of the maps at the picture's size, with all arguments and results."""
        if not np.isfinite(step.raw).all():
            raise ArithmeticError(f"{self.method.name} gave a map with values that are not finite")
        classifier, geometry, logits = self.view.classifier, self.view.geometry, self.view.logits
        restored = geometry.restore(step.raw)
        signed = None
        if self.against is not None or self.options.get("sign") == "signed":
            signed = _scale_signed(restored, self.method.percentile)
        full = rank(restored, self.options)
        about_sign = ABSOLUTE_NOTE if self.options.get("sign") == "absolute" else ()
        row, column = np.unravel_index(int(full.argmax()), full.shape)
        against = None
        probabilities = classifier.probabilities(logits)
        if self.against is not None:
            against = Prediction(self.against, classifier.labels[self.against], float(probabilities[self.against]))
        heatmap, notes = _scale(full, self.method.percentile)
        return Explanation(
            heatmap=heatmap,
            raw=np.asarray(step.raw, np.float32),
            peak=(int(row), int(column)),
            class_index=self.class_index,
            label=classifier.labels[self.class_index],
            probability=float(probabilities[self.class_index]),
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
                "smooth": self.settings.smooth,
                "side": self.settings.side,
                **geometry.to_dict(),
                **classifier.input_facts(),
            },
            notes=self.picture.notes + geometry.notes + self._coarse(step.raw) + about_sign + notes + step.notes,
            against=against,
            signed=signed,
        )

    def _coarse(self, raw: np.ndarray) -> tuple[str, ...]:
        """A note on a map of a layer with few cells."""
        if "layer" not in self.options or min(raw.shape) > COARSE:
            return ()
        cells = f"{raw.shape[0]}x{raw.shape[1]}"
        return (
            f"The layer has only {cells} cells, so the map is coarse; --layers lists layers with more (option layer).",
        )


def _scale_signed(full: np.ndarray, percentile: float) -> np.ndarray:
    """A signed map in [-1, 1]: one scale for both signs, and zero stays zero."""
    return np.copysign(_scale(np.abs(full), percentile)[0], full)


def _scale(signed: np.ndarray, percentile: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """The positive part in [0, 1], in the same order, and a note if there is none.

    Changes the restored map in place: at the picture's full size, each temporary array takes as long as the method itself.
    """
    heat = np.maximum(signed, 0, out=signed)
    maximum = float(heat.max())
    if maximum == 0:
        return heat, ("The heatmap is zero everywhere, because no raw value is positive.",)
    knee = maximum if percentile == 100 else float(np.percentile(heat, percentile)) or maximum
    np.divide(heat, knee, out=heat)
    if (
        knee < maximum and heat.max() > 1
    ):  # the values above the percentile share the end of the scale; clipped, they would be equal
        above = heat > 1
        extreme = heat[above] - 1
        np.multiply(heat, KNEE, out=heat)
        heat[above] = KNEE + (1 - KNEE) * (extreme / extreme.max())
    return np.minimum(heat, 1, out=heat), ()
