"""Several methods beside each other: which, in what order, at what price."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explain import words
from explain.registry import METHODS
from explain.result import Explanation
from explain.sanity import Trust
from models.classifier import Classifier

PRESETS: dict[str, tuple[str, ...]] = {
    "fast": ("grad-cam", "hires-cam", "layer-cam", "eigen-cam", "recipro-cam", "saliency"),
    "thorough": (
        "grad-cam", "layer-cam", "score-cam", "saliency", "smoothgrad", "integrated-gradients", "occlusion", "rise", "lime",
        "hsic",
    ),
    "all": tuple(METHODS),
}  # fmt: skip
CURVES = 59  # forward passes for deletion and insertion
REPEATS = 4  # of a method, for its stability
BACKWARD = 6  # forward passes in the time of one backward pass, measured on 2 cores


@dataclass(frozen=True)
class Graded:
    """An explanation and its grades."""

    found: Explanation
    trust: Trust

    def facts(self) -> dict[str, Any]:
        """Everything but the maps and the curves, as JSON allows it."""
        return self.found.facts() | {"trust": self.trust.facts()}


# How to sort, best first.
SORTS: dict[str, Callable[[Graded], float]] = {
    "order asked for": lambda _: 0,
    "time": lambda graded: graded.found.seconds,
    "passes": lambda graded: graded.found.forward_passes + graded.found.backward_passes,
    "deletion": lambda graded: graded.trust.deletion.auc,
    "insertion": lambda graded: -graded.trust.insertion.auc,
    "insertion - deletion": lambda graded: graded.trust.deletion.auc - graded.trust.insertion.auc,
    "stability": lambda graded: -1.0 if graded.trust.stability is None else -graded.trust.stability,
}


def ordered(graded: Iterable[Graded], by: str) -> list[Graded]:
    """Sorted by one of SORTS, best first; equals stay as they were."""
    return sorted(graded, key=SORTS[by])


def passes(methods: Iterable[str], repeats: int = REPEATS) -> float:
    """What methods and their grades cost, in the time of one forward pass; `repeats` 0 leaves stability out."""
    return sum((METHODS[name].forward + BACKWARD * METHODS[name].backward) * (1 + repeats) + CURVES for name in methods)


def pace(classifier: Classifier, tries: int = 5) -> float:
    """Seconds of one forward pass, here and now: the median of a few."""
    canvas = np.zeros((1, *(classifier.canvas or (classifier.side, classifier.side)), 3), np.float32)
    times = []
    for _ in range(tries):
        start = time.perf_counter()
        classifier.forward(canvas)
        times.append(time.perf_counter() - start)
    return sorted(times)[tries // 2]


def names(graded: Sequence[Graded]) -> list[str]:
    """The methods' titles."""
    return [METHODS[each.found.method].title for each in graded]


def caption(graded: Graded) -> str:
    """What a map took and how it was graded, in short lines."""
    found, trust = graded.found, graded.trust
    steady = "" if trust.stability is None else f"\nstability {trust.stability:.2f}"
    return f"{words.cost(found)}\ndeletion {trust.deletion.auc:.2f}, insertion {trust.insertion.auc:.2f}{steady}"
