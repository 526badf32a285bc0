"""Compare several methods on one picture: presets of methods, sort orders, expected cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explain import result
from explain.metrics.sanity import Trust
from explain.registry import METHODS
from explain.result import Explanation
from models.classifier import Classifier

PRESETS: dict[str, tuple[str, ...]] = {
    "fast": ("grad-cam", "hires-cam", "layer-cam", "eigen-cam", "recipro-cam", "saliency"),
    "thorough": (
        "grad-cam", "layer-cam", "score-cam", "saliency", "smoothgrad", "integrated-gradients", "occlusion", "rise", "lime",
        "hsic",
    ),
    "all": tuple(METHODS),
}  # fmt: skip
CURVE_PASSES = 59  # forward passes of the deletion and insertion curves of one map
REPEATS = 4  # maps that the stability of a method takes
BACKWARD_COST = 6  # the time of one backward pass in forward passes, measured on 2 cores


@dataclass(frozen=True)
class Graded:
    """An explanation and its metrics."""

    explanation: Explanation
    trust: Trust

    def to_dict(self) -> dict[str, Any]:
        """Everything except the maps and the curves, ready for JSON."""
        return self.explanation.to_dict() | {"trust": self.trust.to_dict()}


# Sort orders, best first.
SORTS: dict[str, Callable[[Graded], float]] = {
    "selection order": lambda _: 0,
    "time": lambda graded: graded.explanation.seconds,
    "passes": lambda graded: graded.explanation.forward_passes + graded.explanation.backward_passes,
    "deletion": lambda graded: graded.trust.deletion.auc,
    "insertion": lambda graded: -graded.trust.insertion.auc,
    "insertion - deletion": lambda graded: graded.trust.deletion.auc - graded.trust.insertion.auc,
    "stability": lambda graded: -1.0 if graded.trust.stability is None else -graded.trust.stability,
}


def sort_graded(graded: Iterable[Graded], by: str) -> list[Graded]:
    """Sorted by one of SORTS, best first; equal ones keep their order."""
    return sorted(graded, key=SORTS[by])


def estimate_passes(methods: Iterable[str], repeats: int = REPEATS) -> float:
    """The cost of methods and their metrics, in forward passes; `repeats` is 0 if stability is not measured."""
    return sum(
        (METHODS[name].forward_passes + BACKWARD_COST * METHODS[name].backward_passes) * (1 + repeats) + CURVE_PASSES
        for name in methods
    )


def seconds_per_pass(classifier: Classifier, tries: int = 5) -> float:
    """Seconds of one forward pass, measured now: the median of a few tries."""
    canvas = np.zeros((1, *(classifier.canvas or (classifier.side, classifier.side)), 3), np.float32)
    times = []
    for _ in range(tries):
        start = time.perf_counter()
        classifier.forward(canvas)
        times.append(time.perf_counter() - start)
    return sorted(times)[tries // 2]


def method_titles(graded: Sequence[Graded]) -> list[str]:
    """The methods' titles."""
    return [METHODS[entry.explanation.method].title for entry in graded]


def caption(graded: Graded) -> str:
    """The cost and the metrics of a map, in short lines."""
    cost, trust = result.describe_cost(graded.explanation), graded.trust
    stability = "" if trust.stability is None else f"\nstability {trust.stability:.2f}"
    return f"{cost}\ndeletion {trust.deletion.auc:.2f}, insertion {trust.insertion.auc:.2f}{stability}"
