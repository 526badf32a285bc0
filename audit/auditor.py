"""Measurements of single pictures: prediction, heatmap, and the effect of exchanged cues on the logit margin.

Every way to run an audit calls `Auditor.measure` on batches of pictures: in this process, in workers, on a cluster. The
result for a picture depends only on that picture, the fixed donors and the seed. So every way gives the same figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from audit import cues, regions
from audit.cues import EXCHANGES, KINDS, Decomposed
from core.errors import PictureError, UserError
from core.images import read, shrink
from explain import METHODS, registry
from explain.view import View
from models import capabilities
from models.classifier import Classifier
from models.geometry import resample

SIDE = 640  # pixels of the longer side, at most: networks see fewer, and larger pictures would only take longer
SAMPLED_PER_CLASS = 24  # pictures per class whose cues are exchanged: each takes up to 22 forward passes
DONORS_PER_CLASS = 6  # pictures per class that give their cues to others, so that no result depends on one donor
MAX_DONORS = 256  # over all classes: donors stay in memory
MAX_CELLS = 400  # of a stored heatmap: a shard keeps one per picture, and the clusters compare all of them
COARSE_GRID = (16, 16)  # of the stored heatmaps of a method with a finer grid, such as one value per pixel

# The order of REGIONS is the order of the columns of `share` and `area` in stored shards; padding is the first.
REGIONS = ("padding", "border", "corners", "text", "faces", "subject")
# The order of FILLS is the order of the columns of `evidence` in stored shards, and of the fills in `_replace_evidence`.
# "blur": the picture blurred. "mean": its mean colour. "other": the background of another picture.
FILLS = ("blur", "mean", "other")
EVIDENCE_SHARE = 0.25  # without a mask of the subject, the evidence is this share of the picture with the most heat

Rows = dict[str, np.ndarray]
"""Arrays with one row per picture, by name; see `Auditor.measure`."""


@dataclass(frozen=True)
class AuditSettings:
    """The settings of an audit.

    Args:
        method: The attribution method of the heatmaps; a name in `explain.METHODS`. By default Grad-CAM, or occlusion for a
            classifier without a map.
        sample: The number of pictures per class whose cues are exchanged.
        seed: Seed of all random choices.
    """

    method: str | None = None
    sample: int = SAMPLED_PER_CLASS
    seed: int = 0


DEFAULTS = AuditSettings()


@dataclass(frozen=True)
class Example:
    """One exchange on one picture: uint8 RGB pictures, and the predicted class before and after with its probability."""

    before: np.ndarray
    donor: np.ndarray
    after: np.ndarray
    prediction_before: tuple[str, float]
    prediction_after: tuple[str, float]


class Auditor:
    """Measures how a classifier treats labelled pictures.

    Args:
        classifier: The classifier under test.
        pictures: Whatever `core.images.read` takes.
        labels: The class of each picture, by label or index.
        subjects: For each picture a mask of its subject, bool (H, W), or None. Default: no masks.
        settings: Method, sample and seed.

    Raises:
        UserError: Unless there are pictures of two classes, with one label each.

    >>> from models import load
    >>> from samples import SAMPLES
    >>> auditor = Auditor(load("mobilenet_v2"), [sample.path for sample in SAMPLES[:2]], [0, 1])
    >>> rows, excluded = auditor.measure([0, 1])
    >>> rows["logits"].shape, excluded
    ((2, 1000), [])
    """

    def __init__(
        self,
        classifier: Classifier,
        pictures: Sequence[Any],
        labels: Sequence[int | str],
        *,
        subjects: Sequence[np.ndarray | None] | None = None,
        settings: AuditSettings = DEFAULTS,
    ) -> None:
        self.classifier, self.pictures, self.subjects = classifier, pictures, subjects
        indices = {label: classifier.index(label) for label in set(labels)}
        self.labels = np.array([indices[label] for label in labels], np.int32)
        self.method = registry.find_method(settings.method or registry.default_method(classifier))
        self.settings = settings
        capabilities.require(classifier, self.method.name, {name: method.needs for name, method in METHODS.items()})
        if len(self.labels) != len(pictures) or (subjects is not None and len(subjects) != len(pictures)):
            raise UserError("Give exactly one label for each picture, and one mask or none for each.")
        self.classes = np.unique(self.labels)
        if len(self.classes) < 2:
            raise UserError("An audit compares classes. Give pictures of at least two classes.")
        self._order = {
            class_index: np.random.default_rng([settings.seed, class_index]).permutation(
                np.flatnonzero(self.labels == class_index)
            )
            for class_index in self.classes.tolist()
        }
        self._sampled = {int(index) for order in self._order.values() for index in order[: settings.sample]}
        self._donors: dict[int, list[tuple[int, Decomposed]]] = {}

    def pick_pictures(self, class_index: int, count: int) -> list[int]:
        """Random pictures of a class, by index, the same at every call. The first `sample` have their cues exchanged."""
        return self._order[class_index][:count].tolist()

    def donors(self, class_index: int) -> list[tuple[int, Decomposed]]:
        """The pictures of a class that give their cues to others, each with its index. Skips unreadable pictures."""
        if class_index not in self._donors:
            limit = max(2, min(DONORS_PER_CLASS, MAX_DONORS // len(self.classes)))
            donors: list[tuple[int, Decomposed]] = []
            # From the end: in a large class the donors are not among the sampled pictures.
            for index in self._order[class_index][::-1].tolist():
                if len(donors) == limit:
                    break
                try:
                    donors.append((index, cues.decompose(*self._read_picture(index))))
                except PictureError:
                    continue
            if not donors:
                label = self.classifier.labels[class_index]
                raise UserError(f"None of the pictures of {label} can be read. Check the first one.")
            self._donors[class_index] = donors
        return self._donors[class_index]

    @cached_property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the stored heatmaps. It is measured once, on the first donor.

        It is the method's own grid without the padding, or COARSE_GRID where that has more than MAX_CELLS cells.
        """
        class_index = int(self.classes[0])
        view, raw = self._compute_map(self.donors(class_index)[0][1].pixels, class_index)
        rows, columns = raw.shape
        if view.geometry.padded:
            (_, _, height, width), canvas = view.geometry.box, view.geometry.canvas
            rows = max(1, round(rows * height / canvas[0]))
            columns = max(1, round(columns * width / canvas[1]))
        return (rows, columns) if rows * columns <= MAX_CELLS else COARSE_GRID

    def measure(self, indices: Sequence[int]) -> tuple[Rows, list[tuple[int, str]]]:
        """Measure the pictures with these indices. The first call also reads the donors.

        Returns:
            Rows, and the index and reason of each picture that cannot be read. For every picture: `index`; `label`;
            `logits` (classes,); `heat` (rows, columns), the positive part of the heatmap for its label, summing to 1;
            `share` and `area` of each of REGIONS, in the heat and in the picture, NaN where it was not measured;
            `statistics` (10,). For sampled pictures, else NaN: `margin`, the logit of its class minus the logit of the
            `rival` class; `exchanged` (kinds, 2), the margin after an exchange within the class (the control) and after an
            exchange with the rival; `kept_class` (kinds, 2), whether its class stays the prediction; `evidence`
            (2, fills), the same with only the evidence kept, and with the evidence replaced.
        """
        rows: list[dict[str, Any]] = []
        excluded: list[tuple[int, str]] = []
        for index in indices:
            try:
                pixels, subject = self._read_picture(int(index))
            except PictureError as error:
                excluded.append((int(index), str(error)))
                continue
            rows.append(self._measure_picture(int(index), pixels, subject))
        names = rows[0] if rows else {}
        return {name: np.stack([row[name] for row in rows]) for name in names}, excluded

    def example(self, index: int, kind: str = "background", own_class: bool = False) -> Example:
        """The exchange of one cue on one picture.

        Args:
            index: The number of the picture.
            kind: The cue; one of `audit.cues.KINDS`.
            own_class: Whether the donor is of the same class, which is the control.

        Returns:
            The picture before and after the exchange, with its predictions.

        Raises:
            PictureError: The picture cannot be read.
        """
        picture = cues.decompose(*self._read_picture(index))
        own_donor, _, rival_donor = self._choose_partners(index)
        donor = cues.resize_decomposed(own_donor if own_class else rival_donor, picture.size)
        after = EXCHANGES[kind](picture, donor)
        geometry = self.classifier.geometry(picture.size)
        logits = self.classifier.forward(np.stack([geometry.place(picture.pixels), geometry.place(after)]))[1]
        predictions = [self.classifier.top(row, 1)[0] for row in logits]
        first, second = ((prediction.label, prediction.probability) for prediction in predictions)
        return Example(picture.pixels, donor.pixels, after, first, second)

    def _read_picture(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        pixels = read(self.pictures[index]).pixels
        subject = None if self.subjects is None else self.subjects[index]
        if subject is not None and subject.shape != pixels.shape[:2]:
            raise UserError(f"The mask of picture {index} does not have the size of the picture, {pixels.shape[:2]}.")
        small = shrink(pixels, SIDE)
        if subject is not None and small.shape != pixels.shape:
            subject = resample(subject.astype(np.float32), small.shape[:2]) > 0.5
        return small, subject

    def _compute_map(self, pixels: np.ndarray, class_index: int) -> tuple[View, np.ndarray]:
        view = View(self.classifier, self.classifier.geometry(pixels.shape[:2]), pixels)
        objective = self.classifier.objective(class_index)
        return view, self.method.compute_last(view, objective, self.method.options).raw

    def _measure_picture(self, index: int, pixels: np.ndarray, subject: np.ndarray | None) -> dict[str, Any]:
        class_index = int(self.labels[index])
        view, raw = self._compute_map(pixels, class_index)
        geometry, inside = view.geometry, raw
        if geometry.padded:
            top, left, height, width = geometry.box
            inside = resample(raw, geometry.canvas)[top : top + height, left : left + width]
        heat = np.maximum(resample(inside, self.grid), 0)
        heat = heat / heat.sum() if heat.sum() > 0 else np.full(self.grid, 1 / heat.size, np.float32)
        sampled = cues.decompose(pixels, subject) if index in self._sampled else None
        size = pixels.shape[:2]
        masks = {
            "border": regions.border_mask(size),
            "corners": regions.corners_mask(size),
            "text": sampled.text if sampled else regions.find_text(pixels),
            "faces": regions.find_faces(pixels) if sampled else None,
            "subject": subject,
        }
        share, area = (np.full(len(REGIONS), np.nan, np.float32) for _ in range(2))
        share[0], area[0] = geometry.padding_share(raw), 1 - np.prod(geometry.box[2:]) / np.prod(view.canvas.shape[:2])
        for at, name in enumerate(REGIONS[1:], 1):
            mask = masks[name]
            if mask is not None:
                visible = geometry.visible(mask.astype(np.float32))
                share[at] = (heat * resample(visible, self.grid)).sum()
                area[at] = visible.mean()
        row: dict[str, Any] = {
            "index": np.int64(index),
            "label": np.int32(class_index),
            "logits": view.logits,
            "heat": heat.astype(np.float32),
            "share": share,
            "area": area,
            "statistics": cues.measure_statistics(pixels),
            "margin": np.float32(np.nan),
            "rival": np.int32(-1),
            "exchanged": np.full((len(KINDS), 2), np.nan, np.float32),
            "kept_class": np.full((len(KINDS), 2), np.nan, np.float32),
            "evidence": np.full((2, len(FILLS)), np.nan, np.float32),
        }
        return row | self._exchange_cues(index, sampled, view, inside) if sampled else row

    def _choose_partners(self, index: int) -> tuple[Decomposed, int, Decomposed]:
        """For a picture: a donor of its own class, the rival class, and a donor of the rival class."""
        class_index = int(self.labels[index])
        rng = np.random.default_rng([self.settings.seed, index, 1])
        rival = int(rng.choice(self.classes[self.classes != class_index]))
        of_class = self.donors(class_index)
        own_donors = [donor for number, donor in of_class if number != index] or [of_class[0][1]]
        rival_donors = [donor for _, donor in self.donors(rival)]
        return own_donors[rng.integers(len(own_donors))], rival, rival_donors[rng.integers(len(rival_donors))]

    def _exchange_cues(self, index: int, picture: Decomposed, view: View, heat: np.ndarray) -> dict[str, Any]:
        """Exchange every cue, within the class and with the rival, in one forward pass. `heat`: over the whole picture."""
        class_index = int(self.labels[index])
        own_donor, rival, rival_donor = self._choose_partners(index)
        donors = [cues.resize_decomposed(donor, picture.size) for donor in (own_donor, rival_donor)]
        changed, entries = [], []  # the changed pictures, and where their margins belong in `exchanged`
        for kind_index, exchange in enumerate(EXCHANGES.values()):
            for donor_index, donor in enumerate(donors):
                pixels = exchange(picture, donor)
                if not np.array_equal(pixels, picture.pixels):  # else the margin stays as it is
                    changed.append(pixels)
                    entries.append((kind_index, donor_index))
        changed += self._replace_evidence(picture, donors[1], heat)
        logits = self.classifier.forward(np.stack([view.geometry.place(pixels) for pixels in changed]))[1]
        margins, correct = logits[:, class_index] - logits[:, rival], logits.argmax(1) == class_index
        margin = view.logits[class_index] - view.logits[rival]
        exchanged = np.full((len(KINDS), 2), margin, np.float32)
        kept_class = np.full((len(KINDS), 2), view.logits.argmax() == class_index, np.float32)
        for at, entry in enumerate(entries):
            exchanged[entry], kept_class[entry] = margins[at], correct[at]
        return {
            "margin": np.float32(margin),
            "rival": np.int32(rival),
            "exchanged": exchanged,
            "kept_class": kept_class,
            "evidence": correct[len(entries) :].reshape(2, len(FILLS)).astype(np.float32),
        }

    @staticmethod
    def _replace_evidence(picture: Decomposed, donor: Decomposed, heat: np.ndarray) -> list[np.ndarray]:
        """Six pictures: only the evidence kept, over each of FILLS; then the evidence replaced by each of FILLS."""
        pixels, evidence = picture.pixels, picture.subject
        if not picture.subject_given:
            resized_heat = resample(heat, picture.size)
            evidence = resized_heat >= np.quantile(resized_heat, 1 - EVIDENCE_SHARE)
        fills = (
            cv2.GaussianBlur(pixels, (0, 0), 0.05 * max(picture.size)),
            np.broadcast_to(pixels.mean((0, 1)).astype(np.uint8), pixels.shape),
            cues.remove_subject(donor),
        )
        return [cues.blend(fill, pixels, mask) for mask in (evidence, ~evidence) for fill in fills]
