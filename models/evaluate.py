"""How good a trained classifier is, on pictures it has not seen: `python -m models.evaluate MODEL DIR --report OUT`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import models
from models import dataset as datasets
from models import metrics
from models.classifier import Classifier
from models.dataset import Dataset, Item
from models.distortions import DISTORTIONS
from models.engine import write_atomically
from models.errors import UserError
from models.train import Outcome
from models.trained import Trained

STRESSES = ("perspective", "blur", "gaussian-noise", "glare", "moire", "zoom")
ORDER = ("moire", "glare", "zoom", "perspective", "blur", "gaussian-noise")  # from the screen to the sensor


def photographed(pixels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """The picture under each of STRESSES alone, at full strength; and last a photograph of a screen: all of them together,
    each of a strength drawn between none and full."""
    alone = [DISTORTIONS[name](pixels, 1.0, rng) for name in STRESSES]
    for name in ORDER:
        pixels = DISTORTIONS[name](pixels, rng.uniform(), rng)
    return [*alone, pixels]


TITLES = (*STRESSES, "all together")


@dataclass(frozen=True)
class Evaluation:
    """`logits` (N, classes) and `truth` (N,) of pictures; `padding` (N,): the share of the true class's heat on bars.

    `distorted` (N, len(TITLES), classes): logits under each distortion, or None. `notes`: what to know about the figures.
    """

    model: str
    labels: tuple[str, ...]
    items: tuple[Item, ...]
    truth: np.ndarray
    logits: np.ndarray
    padding: np.ndarray
    distorted: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def predicted(self) -> np.ndarray:
        """The best class of each picture (N,)."""
        return self.logits.argmax(-1)

    @property
    def confusion(self) -> np.ndarray:
        """Counts (classes, classes): a row a true class, a column a predicted one."""
        return metrics.confusion(self.predicted, self.truth, len(self.labels))

    def mistakes(self) -> list[int]:
        """Indices of the pictures it gets wrong, the surest first."""
        sure = metrics.softmax(self.logits).max(-1)
        return sorted(np.flatnonzero(self.predicted != self.truth).tolist(), key=lambda index: -sure[index])

    def stress(self) -> dict[str, float]:
        """Accuracy under each distortion, in [0, 1]."""
        if self.distorted is None:
            return {}
        right = (self.distorted.argmax(-1) == self.truth[:, None]).mean(0)
        return dict(zip(TITLES, right.tolist(), strict=True))

    def facts(self) -> dict[str, Any]:
        """All figures, as JSON can hold them."""
        precision, recall, f1 = metrics.rates(self.confusion)
        return {
            "model": self.model,
            "pictures": len(self.items),
            **{
                name: asdict(value)
                for name, value in metrics.bootstrap(self.predicted, self.truth, len(self.labels)).items()
            },
            "classes": {
                label: {
                    "pictures": int((self.truth == index).sum()),
                    "precision": float(precision[index]),
                    "recall": float(recall[index]),
                    "f1": float(f1[index]),
                }
                for index, label in enumerate(self.labels)
            },
            "confusion": self.confusion.tolist(),
            "calibration": calibration(self.logits, self.truth),
            "heat_on_padding": float(self.padding.mean()),
            "accuracy_when_photographed": self.stress(),
            "mistakes": [
                {
                    "picture": self.items[index].name,
                    "true": self.labels[self.truth[index]],
                    "predicted": self.labels[self.predicted[index]],
                }
                for index in self.mistakes()
            ],
            "notes": list(self.notes),
        }


def calibration(logits: np.ndarray, truth: np.ndarray, seed: int = 0) -> dict[str, float]:
    """The expected calibration error as it is, the temperature that suits best, and the error that it leaves.

    That error is found on each half of the pictures with the temperature of the other half.
    """
    before = metrics.expected_calibration_error(metrics.softmax(logits), truth)
    order = np.random.default_rng(seed).permutation(len(truth))
    halves = np.array_split(order, 2)
    cooled = logits.astype(np.float64).copy()
    if min(map(len, halves)):
        for half, other in (halves, halves[::-1]):
            cooled[half] /= metrics.temperature(logits[other], truth[other])
    after = metrics.expected_calibration_error(metrics.softmax(cooled), truth)
    return {"ece": before, "temperature": metrics.temperature(logits, truth), "ece_after_temperature": after}


def heat(classifier: Classifier, features: np.ndarray, index: int) -> np.ndarray:
    """Where the evidence for a class lies, signed, on the features' grid (fh, fw), from features (fh, fw, C).

    Grad-CAM (Selvaraju et al. 2017), which for a linear head is CAM (Zhou et al. 2016) up to a factor.
    """
    target = np.zeros(len(classifier.labels), np.float32)
    target[index] = 1
    return np.asarray(features @ classifier.head.gradient(features[None], target)[0].mean((0, 1)))


def evaluate(
    classifier: Classifier,
    data: Dataset,
    distort: bool = True,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Run it on every picture of `data`, whose classes are found among the classifier's by name.

    Pictures that it was trained on are left out, unless there are no others. `advance` is called after each picture.
    Raises UserError where no class is known to it.
    """
    known = {index: classifier.index(label) for index, label in enumerate(data.labels)}
    items, notes = list(data.items), []
    seen = set(classifier.figures.get("digests", ())) if isinstance(classifier, Trained) else set()
    fresh = [item for item in items if item.digest[:12] not in seen]
    if fresh and len(fresh) < len(items):
        notes.append(f"{len(items) - len(fresh)} pictures that it was trained on are left out.")
        items = fresh
    elif not fresh:
        notes.append("It was trained on all of these pictures: the figures say nothing about new ones.")
    rows, padding, distorted = [], [], []
    for item in items:
        pixels = item.pixels()
        geometry = classifier.geometry(pixels.shape[:2])
        views = [pixels]
        if distort:
            views += photographed(pixels, np.random.default_rng([seed, int(item.digest[:8], 16)]))
        features, logits = classifier.forward(np.stack([geometry.place(view) for view in views]))
        rows.append(logits[0])
        distorted.append(logits[1:])
        padding.append(geometry.padding_share(heat(classifier, features[0], known[item.label])))
        advance()
    return Evaluation(
        classifier.name,
        classifier.labels,
        tuple(items),
        np.array([known[item.label] for item in items]),
        np.stack(rows),
        np.array(padding),
        np.stack(distorted) if distort else None,
        tuple(notes),
    )


def held_out(backbone: Classifier, data: Dataset, outcome: Outcome) -> tuple[Evaluation, list[Trained]]:
    """What the folds of a training said of the pictures that they did not train on, and the folds' classifiers."""
    model = outcome.model
    folds = [Trained(backbone, head, data.labels, model.spread, model.side, model.name) for head in outcome.heads]
    known = np.flatnonzero(outcome.fold >= 0)
    items = tuple(data.items[index] for index in known)
    padding = []
    for index, item in zip(known, items, strict=True):
        classifier = folds[outcome.fold[index]]
        pixels = item.pixels()
        geometry = classifier.geometry(pixels.shape[:2])
        share = 0.0
        if geometry.padded:
            features, _ = classifier.forward(geometry.place(pixels)[None])
            share = geometry.padding_share(heat(classifier, features[0], item.label))
        padding.append(share)
    notes = (f"Each picture was judged by the fold that did not train on it, {len(folds)} folds in all.",)
    return (
        Evaluation(
            model.name, data.labels, items, data.targets[known], outcome.held[known], np.array(padding), notes=notes
        ),
        [folds[outcome.fold[index]] for index in known],
    )


def table(evaluation: Evaluation) -> Iterator[str]:
    """The figures in lines of text."""
    facts = evaluation.facts()
    yield f"{evaluation.model}: {facts['pictures']} pictures"
    for name in ("accuracy", "macro_f1"):
        yield f"{name.replace('_', ' ')}: {metrics.Interval(**facts[name])} (95 % bootstrap)"
    wide = max(map(len, evaluation.labels))
    yield f"{'class':<{wide}}  {'pictures':>8}  {'precision':>9}  {'recall':>6}  {'F1':>6}"
    for label, row in facts["classes"].items():
        yield (
            f"{label:<{wide}}  {row['pictures']:>8}  {row['precision']:>9.3f}  {row['recall']:>6.3f}  {row['f1']:>6.3f}"
        )
    yield "confusion (a row a true class, a column a predicted one):"
    for label, row in zip(evaluation.labels, facts["confusion"], strict=True):
        yield f"{label:<{wide}}  {'  '.join(f'{count:>5}' for count in row)}"
    scale = facts["calibration"]
    yield (
        f"calibration error {scale['ece']:.3f}; at temperature {scale['temperature']:.2f} "
        f"{scale['ece_after_temperature']:.3f}"
    )
    yield f"heat on padding: {facts['heat_on_padding']:.1%}"
    for name, share in evaluation.stress().items():
        yield f"accuracy under {name:<15} {share:.3f}"
    yield from evaluation.notes


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: print the figures, and write the report."""
    parser = argparse.ArgumentParser(
        prog="python -m models.evaluate",
        description="Evaluate a trained classifier on a folder of class folders, a folder with test/, or a zip of either.",
    )
    parser.add_argument("model", metavar="MODEL", help="an .npz trained here, or the name of a model")
    parser.add_argument("data", metavar="DIR", help="the folder or zip; of one with train/ and test/ the test part")
    parser.add_argument("--report", type=Path, metavar="OUT", help="write OUT/report.html and OUT/report.json")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    from tqdm import tqdm

    from models import report

    try:
        classifier = models.load(options.model)
        with tempfile.TemporaryDirectory(prefix="thumbscope-") as scratch:
            data = datasets.load(options.data, scratch)
            for one in data.refused:
                print(f"left out: {one.name}: {one.why}")
            data = data.part("test") if data.part("test").items else data
            with tqdm(total=len(data.items), unit="picture", disable=None) as bar:
                found = evaluate(classifier, data, seed=options.seed, advance=bar.update)
            print("\n".join(table(found)))
            if options.report:
                page, facts = options.report / "report.html", options.report / "report.json"
                curves = classifier.figures.get("curves") if isinstance(classifier, Trained) else None
                write_atomically(page, report.page(found, lambda _: classifier, curves).encode())
                write_atomically(facts, json.dumps(found.facts(), indent=2).encode())
                print(f"wrote {page} and {facts}")
    except UserError as error:
        print(f"models.evaluate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
