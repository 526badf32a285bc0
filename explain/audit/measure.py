"""One picture at a time: what the classifier says of it, where its evidence lies, and what exchanges do to its answer.

`Auditor.measure` is the one function that all ways of running an audit call on their batches: in this process, in workers,
on a cluster. What it says of a picture depends on nothing but that picture, the fixed donors and the seed, so that no way
of cutting the work changes a figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from explain import registry
from explain.audit import cues, regions
from explain.audit.cues import EXCHANGES, KINDS, Part
from explain.view import View
from models.classifier import Classifier
from models.errors import PictureError, UserError
from models.geometry import resample
from models.picture import read, resize

SIDE = 640  # longer side, in pixels, to which larger pictures are reduced first
SAMPLE = 24  # pictures a class whose cues are exchanged
DONORS = 6  # pictures a class that lend their cues
MOST_DONORS = 256  # in all
REGIONS = ("padding", "border", "corners", "text", "faces", "subject")
FILLS = ("blur", "mean", "other")  # what stands for evidence, or for all but the evidence
EVIDENCE = 0.25  # share of a picture that counts as its evidence where no subject is given: its hottest quarter

Rows = dict[str, np.ndarray]
"""Arrays with one row a picture, by name; see `Auditor.measure`."""


@dataclass(frozen=True)
class Example:
    """One exchange on one picture: uint8 pictures, and the class predicted for each with its probability."""

    before: np.ndarray
    donor: np.ndarray
    after: np.ndarray
    seen_before: tuple[str, float]
    seen_after: tuple[str, float]


class Auditor:
    """A classifier, pictures and what they show.

    `pictures`: whatever `models.picture.read` takes; `labels`: a class of the classifier for each, by label or index;
    `subjects`: where the subject is, bool (H, W) or None for each. `method`: of explain.METHODS. `sample`: how many
    pictures a class are looked at closely. Raises UserError unless there are pictures of two classes.
    """

    def __init__(
        self,
        classifier: Classifier,
        pictures: Sequence[Any],
        labels: Sequence[int | str],
        *,
        subjects: Sequence[np.ndarray | None] | None = None,
        method: str = "grad-cam",
        sample: int = SAMPLE,
        seed: int = 0,
    ) -> None:
        self.classifier, self.pictures, self.subjects = classifier, pictures, subjects
        index = {label: classifier.index(label) for label in set(labels)}
        self.labels = np.array([index[label] for label in labels], np.int32)
        self.method, self.sample, self.seed = registry.method(method), sample, seed
        if len(self.labels) != len(pictures) or (subjects is not None and len(subjects) != len(pictures)):
            raise UserError("Give one label, and one subject if any, for each picture.")
        self.classes = np.unique(self.labels)
        if len(self.classes) < 2:
            raise UserError("An audit compares classes; give pictures of at least two.")
        self._order = {
            int(c): np.random.default_rng([seed, int(c)]).permutation(np.flatnonzero(self.labels == c))
            for c in self.classes
        }
        self.chosen = {int(index) for order in self._order.values() for index in order[:sample]}
        self._donors: dict[int, list[tuple[int, Part]]] = {}

    def first(self, label: int, count: int) -> list[int]:
        """So many pictures of a class, drawn at random but always the same; the first `sample` are looked at closely."""
        return self._order[label][:count].tolist()

    def donors(self, label: int) -> list[tuple[int, Part]]:
        """Pictures of a class, by index, taken apart, that lend their cues; those that cannot be read are passed over."""
        if label not in self._donors:
            most = max(2, min(DONORS, MOST_DONORS // len(self.classes)))
            found: list[tuple[int, Part]] = []
            for index in self._order[label][::-1]:  # from the end: where there are many, not those that are exchanged
                if len(found) == most:
                    break
                try:
                    found.append((int(index), cues.take_apart(*self._read(int(index)))))
                except PictureError:
                    continue
            if not found:
                raise UserError(f"None of the pictures of {self.classifier.labels[label]} can be read; see the first.")
            self._donors[label] = found
        return self._donors[label]

    @cached_property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the maps that are kept: those of the method on a donor."""
        pixels = self.donors(int(self.classes[0]))[0][1].pixels
        view, raw = self._explained(pixels, int(self.classes[0]))
        if view.geometry.padded:
            high, wide = view.geometry.box[2:]
            return tuple(
                max(1, round(cells * part / whole))
                for cells, part, whole in zip(raw.shape, (high, wide), view.geometry.canvas, strict=True)
            )
        return raw.shape if raw.size <= 400 else (16, 16)

    def measure(self, indices: Sequence[int]) -> tuple[Rows, list[tuple[int, str]]]:
        """Rows for those of these pictures that can be read, and the others with the reason.

        Of each: `index`; `label`; `logits` (classes,); `heat` (rows, columns) for its label, positive, summing to 1 over
        the picture; `share` and `area` of REGIONS, of the heat and of the picture, NaN where not looked for; `statistics`
        (10,). Of those looked at closely, else NaN: `margin`, the logit of its class above that of the `rival` it was set
        against; `exchanged` (kinds, 2): the same with the cue of a picture of its own class and of the rival; `kept_class`
        (kinds, 2): whether it was still taken for its class; `evidence` (2, fills): the same with only its evidence kept,
        and with it replaced. The first time, the donors are read.
        """
        rows: list[dict[str, Any]] = []
        refused: list[tuple[int, str]] = []
        for index in indices:
            try:
                pixels, subject = self._read(int(index))
            except PictureError as error:
                refused.append((int(index), str(error)))
                continue
            rows.append(self._look(int(index), pixels, subject))
        names = rows[0] if rows else {}
        return {name: np.stack([row[name] for row in rows]) for name in names}, refused

    def example(self, index: int, kind: str = "background", own: bool = False) -> Example:
        """What an exchange does to one picture; `own`: with a donor of its own class, the control."""
        part = cues.take_apart(*self._read(index))
        mate, _, rival = self._partners(index)
        donor = mate if own else rival
        donor = cues.fitted(donor, part.pixels.shape[:2])
        after = EXCHANGES[kind](part, donor)
        geometry = self.classifier.geometry(part.pixels.shape[:2])
        logits = self.classifier.forward(np.stack([geometry.place(part.pixels), geometry.place(after)]))[1]
        first, second = (self.classifier.top(each, 1)[0] for each in logits)
        return Example(
            part.pixels,
            donor.pixels,
            after,
            (first.label, first.probability),
            (second.label, second.probability),
        )

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        pixels = read(self.pictures[index]).pixels
        subject = None if self.subjects is None else self.subjects[index]
        if subject is not None and subject.shape != pixels.shape[:2]:
            raise UserError(f"The subject of picture {index} is not a mask of its size {pixels.shape[:2]}.")
        scale = SIDE / max(pixels.shape)
        if scale < 1:
            size = tuple(max(1, round(side * scale)) for side in pixels.shape[:2])
            pixels = resize(pixels, size)
            if subject is not None:
                subject = resample(subject.astype(np.float32), size) > 0.5
        return pixels, subject

    def _explained(self, pixels: np.ndarray, label: int) -> tuple[View, np.ndarray]:
        view = View(self.classifier, self.classifier.geometry(pixels.shape[:2]), pixels)
        target = np.zeros(view.logits.shape, np.float32)
        target[label] = 1
        return view, self.method.last(view, target, self.method.options).raw

    def _look(self, index: int, pixels: np.ndarray, subject: np.ndarray | None) -> dict[str, Any]:
        label = int(self.labels[index])
        view, raw = self._explained(pixels, label)
        box = resample(raw, view.geometry.canvas) if view.geometry.padded else raw
        if view.geometry.padded:
            top, left, height, width = view.geometry.box
            box = box[top : top + height, left : left + width]
        heat = np.maximum(resample(box, self.grid), 0)
        heat = heat / heat.sum() if heat.sum() > 0 else np.full(self.grid, 1 / heat.size, np.float32)
        size = pixels.shape[:2]
        close = index in self.chosen
        part = cues.take_apart(pixels, subject) if close else None
        masks = {
            "border": regions.border(size),
            "corners": regions.corners(size),
            "text": part.text if part else regions.text(pixels),
            "faces": regions.faces(pixels) if close else None,
            "subject": subject,
        }
        share, area = (np.full(len(REGIONS), np.nan, np.float32) for _ in range(2))
        share[0], area[0] = (
            view.geometry.padding_share(raw),
            1 - np.prod(view.geometry.box[2:]) / np.prod(view.canvas.shape[:2]),
        )
        for at, name in enumerate(REGIONS[1:], 1):
            mask = masks[name]
            if mask is not None:
                share[at] = (heat * resample(mask.astype(np.float32), self.grid)).sum()
                area[at] = mask.mean()
        row: dict[str, Any] = {
            "index": np.int64(index),
            "label": np.int32(label),
            "logits": view.logits,
            "heat": heat.astype(np.float32),
            "share": share,
            "area": area,
            "statistics": cues.statistics(pixels),
            "margin": np.float32(np.nan),
            "rival": np.int32(-1),
            "exchanged": np.full((len(KINDS), 2), np.nan, np.float32),
            "kept_class": np.full((len(KINDS), 2), np.nan, np.float32),
            "evidence": np.full((2, len(FILLS)), np.nan, np.float32),
        }
        if part:
            row |= self._exchange(index, part, view, box)
        return row

    def _partners(self, index: int) -> tuple[Part, int, Part]:
        """For a picture: a donor of its own class, the class it is set against, and a donor of that."""
        label = int(self.labels[index])
        rng = np.random.default_rng([self.seed, index, 1])
        rival = int(rng.choice(self.classes[self.classes != label]))
        mates = [part for number, part in self.donors(label) if number != index] or [self.donors(label)[0][1]]
        others = [part for _, part in self.donors(rival)]
        return mates[rng.integers(len(mates))], rival, others[rng.integers(len(others))]

    def _exchange(self, index: int, part: Part, view: View, heat: np.ndarray) -> dict[str, Any]:
        label, size = int(self.labels[index]), part.pixels.shape[:2]
        mate, rival, stranger = self._partners(index)
        pair = [cues.fitted(donor, size) for donor in (mate, stranger)]
        pictures, places = [], []
        for kind, exchange in enumerate(EXCHANGES.values()):
            for side, donor in enumerate(pair):
                changed = exchange(part, donor)
                if not np.array_equal(changed, part.pixels):
                    pictures.append(changed)
                    places.append((kind, side))
        pictures += self._with_evidence(part, pair[1], heat)
        logits = self.classifier.forward(np.stack([view.geometry.place(each) for each in pictures]))[1]
        margins, hits = logits[:, label] - logits[:, rival], logits.argmax(1) == label
        margin = view.logits[label] - view.logits[rival]
        exchanged = np.full((len(KINDS), 2), margin, np.float32)
        kept = np.full((len(KINDS), 2), view.logits.argmax() == label, np.float32)
        for at, place in enumerate(places):
            exchanged[place], kept[place] = margins[at], hits[at]
        evidence = hits[len(places) :].reshape(2, len(FILLS)).astype(np.float32)
        found = {"margin": np.float32(margin), "rival": np.int32(rival), "exchanged": exchanged}
        return found | {"kept_class": kept, "evidence": evidence}

    @staticmethod
    def _with_evidence(part: Part, donor: Part, heat: np.ndarray) -> list[np.ndarray]:
        """The picture with only its evidence kept, over each of FILLS, then with its evidence replaced by each."""
        pixels, size = part.pixels, part.pixels.shape[:2]
        mask = part.subject
        if not part.given:
            warm = resample(heat, size)
            mask = warm >= np.quantile(warm, 1 - EVIDENCE)
        fills = (
            cv2.GaussianBlur(pixels, (0, 0), 0.05 * max(size)),
            np.broadcast_to(pixels.mean((0, 1)).astype(np.uint8), pixels.shape),
            cues.without_subject(donor),
        )
        return [cues.mixed(fill, pixels, kept) for kept in (mask, ~mask) for fill in fills]
