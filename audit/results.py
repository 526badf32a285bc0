"""The result of an audit: figures per class, and the verdict in plain sentences."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from audit.verdict import CUE_NAMES, Reliance, Verdict

# audit.json is a file format: its keys stay the same where a field has got a clearer name.
JSON_KEYS = {
    "effect_size": "part",
    "standard_error": "error",
    "accuracy_with_own_cue": "own",
    "accuracy_with_other_cue": "other",
    "excluded": "refused",
    "strongest_statistics": "telling",
    "subjects_given": "given",
}
SEVERITY: tuple[Verdict, ...] = ("clean", "suspect", "shortcut")
"""The verdicts, the worst last."""


@dataclass(frozen=True)
class Cluster:
    """A strategy cluster: pictures of one class with similar heatmaps.

    `members`: the indices of its pictures. `typical`: the members nearest to the mean heatmap, nearest first. `accuracy`: of
    the members. `heat`: their mean heatmap (rows, columns).
    """

    members: list[int]
    typical: list[int]
    accuracy: float
    heat: np.ndarray


@dataclass(frozen=True)
class ClassAudit:
    """The audit of one class.

    `heat`, `standard_deviation` (rows, columns): of the heatmaps, each of which sums to 1. `shares`: by region, the share of
    the heat and the share of the area. `evidence`: the share of pictures that are classified correctly with only the evidence
    kept ("kept") and with the evidence replaced ("replaced"), by the replacement ("blur", "mean", "other"). `kind`: the cue
    with the strongest effect, or "".
    """

    label: str
    pictures: int
    accuracy: float
    heat: np.ndarray
    standard_deviation: np.ndarray
    shares: dict[str, tuple[float, float]]
    clusters: tuple[Cluster, ...]
    reliances: tuple[Reliance, ...]
    evidence: dict[str, dict[str, float]]
    verdict: Verdict
    kind: str
    sentence: str
    advice: str


@dataclass(frozen=True)
class Audit:
    """The result of an audit.

    `probe`: the balanced accuracy of a linear model that knows only the global STATISTICS of each picture, over 5 folds.
    `chance`: the accuracy of guessing. `strongest_statistics`: the statistics with the largest weights. `excluded`: index and
    reason of each picture that could not be read. `subjects_given`: whether masks of the subjects were given.
    """

    model: str
    method: str
    pictures: int
    accuracy: float
    classes: tuple[ClassAudit, ...]
    probe: float
    chance: float
    strongest_statistics: tuple[str, ...]
    excluded: tuple[tuple[int, str], ...]
    subjects_given: bool

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of any class."""
        return max((result.verdict for result in self.classes), key=SEVERITY.index, default="clean")

    @property
    def kind(self) -> str:
        """The cue with the strongest effect on any class, or ""."""

        def strongest(result: ClassAudit) -> float:
            effects = (reliance.effect_size for reliance in result.reliances if reliance.kind == result.kind)
            return max(effects, default=-1)

        return max(self.classes, key=strongest).kind

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        labels = [result.label for result in self.classes if result.verdict != "clean"]
        if not labels:
            return f"Clean: no class of “{self.model}” depends on any of the tested cues."
        names = ", ".join(labels) if len(labels) <= 4 else f"{len(labels)} of {len(self.classes)} classes"
        return f"{self.verdict.capitalize()}: “{self.model}” uses {CUE_NAMES[self.kind]} to recognise {names}."

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready facts: everything except the maps. Unknown numbers are None."""
        content = asdict(self) | {"verdict": self.verdict, "kind": self.kind, "sentence": self.sentence}
        for result in content["classes"]:
            for name in ("heat", "standard_deviation"):
                del result[name]
            for group in result["clusters"]:
                del group["heat"]
        return _to_json(content)


def _to_json(content: Any) -> Any:
    """The same with the keys of audit.json, and None in place of NaN, which JSON does not have."""
    if isinstance(content, dict):
        return {JSON_KEYS.get(key, key): _to_json(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_to_json(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content
