"""The minimal perturbation: a search for the smallest epsilon at which an attack succeeds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from core.errors import unknown
from core.images import Source
from core.iterate import last_of
from models.classifier import Classifier
from robustness.adversarial import attack
from robustness.problem import DEFAULT_EPSILON, AttackResult

LARGEST = {"linf": 64.0, "l2": 50.0}  # the search stops without success above this epsilon
SMALLEST_L2 = 0.01  # the search stops with success below this epsilon


@dataclass(frozen=True)
class MinimalPerturbation:
    """The state of a search for the smallest epsilon.

    `tried`: pairs (epsilon, success) in the order of the search. `attack`: the attack with the smallest epsilon that
    succeeded, None if none succeeded yet. `progress`: in [0, 1], 1 when finished.
    """

    norm: str
    tried: tuple[tuple[float, bool], ...]
    attack: AttackResult | None
    progress: float

    @property
    def epsilon(self) -> float | None:
        """The smallest epsilon that succeeded, None if none did."""
        return self.attack.epsilon if self.attack else None


def find_minimal_perturbation(
    image: Source, classifier: Classifier, target: int | str | None = None, **settings: Any
) -> MinimalPerturbation:
    """Find the smallest epsilon at which an attack succeeds, by doubling and then by bisection.

    For linf the result is exact to 1 level, which is the smallest change. For l2 it is exact to 5 %. The result depends on
    the attack, so it is an upper bound of the smallest perturbation that exists.

    Args:
        image: The picture, as explain() takes it.
        classifier: The classifier to attack.
        target: The target class, by index or label. None means any class except the predicted one.
        settings: `norm` (by default "linf"), `method` (by default "pgd"), `steps` and `seed`, as for `attack`.

    Returns:
        The finished search. Its `attack` is None if no epsilon up to 64 levels (linf) or 50 (l2) succeeded.

    Raises:
        UserError: A name or number does not fit, or the picture is classified as the target already.
    """
    return last_of(stream_minimal_perturbation(image, classifier, target, **settings))


def stream_minimal_perturbation(
    image: Source,
    classifier: Classifier,
    target: int | str | None = None,
    *,
    norm: str = "linf",
    method: str = "pgd",
    steps: int | None = None,
    seed: int = 0,
) -> Iterator[MinimalPerturbation]:
    """As `find_minimal_perturbation`, but yield the state of the search after every epsilon tried."""
    if norm not in DEFAULT_EPSILON:
        raise unknown("norm", norm, DEFAULT_EPSILON)
    tried: list[tuple[float, bool]] = []
    smallest: AttackResult | None = None
    low, high = 0.0, math.inf  # the attack fails at `low` and succeeds at `high`
    epsilon = 1.0 if norm == "linf" else 0.05
    while epsilon <= LARGEST[norm]:
        result = attack(
            image, classifier, method, target, norm=norm, epsilon=epsilon, steps=steps, seed=seed, early_stop=True
        )
        tried.append((epsilon, result.success))
        if result.success:
            smallest, high = result, epsilon
        else:
            low = epsilon
        epsilon = _next_epsilon(norm, low, high, epsilon)
        finished = _is_exact(norm, low, high) or epsilon > LARGEST[norm]
        yield MinimalPerturbation(norm, tuple(tried), smallest, 1.0 if finished else len(tried) / (len(tried) + 4))
        if finished:
            return


def _next_epsilon(norm: str, low: float, high: float, epsilon: float) -> float:
    """The epsilon to try next: twice the last one until an attack succeeds, then between the two bounds."""
    if high == math.inf:
        return 2 * epsilon
    if norm == "linf":
        return float((low + high) // 2)
    return math.sqrt(max(low, high / 4) * high)


def _is_exact(norm: str, low: float, high: float) -> bool:
    """Whether the bounds are near enough to each other."""
    return high - low <= 1 if norm == "linf" else high <= 1.05 * low or high < SMALLEST_L2
