"""Qualities: how much time a map may take. Each chooses a method and its options, by the measurement in docs/METHODS.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.errors import unknown
from explain.methods import find_method
from models import capabilities
from models.classifier import Classifier


@dataclass(frozen=True)
class Quality:
    """A method with options. `fallback`: the same for a transformer, and for a classifier that lacks what the method needs.

    `seconds`: about how long it takes with MobileNetV2 on 2 cores.
    """

    seconds: float
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    fallback: tuple[str, Mapping[str, Any]] | None = None


QUALITIES = {
    "quick": Quality(0.05, "finer-cam", fallback=("bay-lime", {"samples": 32})),
    "good": Quality(0.5, "bay-lime"),
    "best": Quality(5.0, "bay-lime", {"samples": 800, "segments": "60,120"}),
}


def choose_quality(name: str, classifier: Classifier) -> tuple[str, dict[str, Any]]:
    """The method and the options of a quality for a classifier.

    >>> from models import load
    >>> choose_quality("best", load("mobilenet_v2"))
    ('bay-lime', {'samples': 800, 'segments': '60,120'})

    Raises UnknownNameError if there is no such quality.
    """
    if name not in QUALITIES:
        raise unknown("quality", name, QUALITIES)
    quality = QUALITIES[name]
    fitting = capabilities.choose_method(classifier, quality.method, find_method(quality.method).needs)
    if quality.fallback and fitting != quality.method:
        return quality.fallback[0], dict(quality.fallback[1])
    return quality.method, dict(quality.options)
