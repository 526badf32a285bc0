"""What an audit says: figures a class, and a verdict in a plain sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from explain.audit.clusters import cluster, typical
from explain.audit.cues import KINDS, STATISTICS
from explain.audit.measure import FILLS, REGIONS, Auditor, Rows

Verdict = Literal["clean", "suspect", "shortcut"]

# Set on planted data sets: docs/SHORTCUTS.md says which seeds, and what became of others.
SUSPECT = 0.2  # part of the lead that hangs on a cue
SHORTCUT = 0.5
IN_CORNER = (
    0.7  # of what hangs on writing: if the corners carry as much, it is writing in a corner, and that says where
)
SURE = 3.5  # standard errors that the part must be above zero
PROBED = 400  # pictures a class for the probe and for clusters

CALLED = {
    "background": "the background",
    "border": "the border",
    "corners": "the corners",
    "text": "writing in the picture",
    "brightness": "how bright the picture is",
    "colour": "the colour cast",
    "sharpness": "how sharp the picture is",
    "compression": "how hard the picture was compressed",
}
ADVICE = {
    "background": "Photograph {label} on the grounds on which the other classes were photographed, and these on its own.",
    "border": "Crop the borders off, or give every class the same ones.",
    "corners": "Crop or paint over logos and timestamps in the corners, or see that every class has them.",
    "text": "Paint over the writing, or gather pictures of every class with and without it.",
    "brightness": "Photograph {label} and the other classes in the same weather and light, or vary the brightness in training.",
    "colour": "Use one white balance for every class, or vary the colours in training.",
    "sharpness": "Use the same camera and resolution for every class, or vary the blur in training.",
    "compression": "Save the pictures of every class in the same way, or vary the JPEG quality in training.",
}


@dataclass(frozen=True)
class Reliance:
    """How far the answer hangs on a cue.

    `part`: of the lead of the class over its rival, what is lost with the rival's cue and not with that of its own class;
    1 leaves nothing of it, 2 turns it round. `error`: its standard error. `own`, `other`: the share still taken for their
    class with a cue of their own class and of the rival.
    """

    kind: str
    part: float
    error: float
    own: float
    other: float

    @property
    def sure(self) -> bool:
        """Whether it is not chance."""
        return self.part > SURE * self.error


@dataclass(frozen=True)
class Cluster:
    """A way of deciding: the pictures (indices) whose heatmaps are alike, the most typical ones, and their mean map."""

    members: list[int]
    typical: list[int]
    accuracy: float
    heat: np.ndarray


@dataclass(frozen=True)
class ClassAudit:
    """What was found of a class.

    `heat`, `spread` (rows, columns): mean and standard deviation of the maps, each of which sums to 1. `shares`: of the heat
    and of the picture, by region. `evidence`: the share still taken for the class with only the evidence kept ("kept") and
    with the evidence replaced ("replaced"), by what it was replaced by.
    """

    label: str
    pictures: int
    accuracy: float
    heat: np.ndarray
    spread: np.ndarray
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
    """An audit. `probe`: balanced accuracy with which a linear model tells the classes by STATISTICS alone, over 5 folds,
    and `chance`; `telling`: the statistics that tell most. `refused`: pictures that could not be read, and why.
    """

    model: str
    method: str
    pictures: int
    accuracy: float
    classes: tuple[ClassAudit, ...]
    probe: float
    chance: float
    telling: tuple[str, ...]
    refused: tuple[tuple[int, str], ...]
    given: bool

    @property
    def verdict(self) -> Verdict:
        """The worst of any class."""
        order: tuple[Verdict, ...] = ("shortcut", "suspect", "clean")
        return next(each for each in order if each == "clean" or any(found.verdict == each for found in self.classes))

    @property
    def kind(self) -> str:
        """What the worst class hangs on, or nothing."""
        worst = max(
            self.classes, key=lambda found: max((r.part for r in found.reliances if r.kind == found.kind), default=-1)
        )
        return worst.kind

    @property
    def sentence(self) -> str:
        """The verdict in a sentence."""
        named = [found.label for found in self.classes if found.verdict != "clean"]
        if not named:
            return f"Clean: no class of {self.model} was found to hang on anything but its subject."
        what = CALLED[self.kind]
        who = ", ".join(named) if len(named) <= 4 else f"{len(named)} of {len(self.classes)} classes"
        return f"{self.verdict.capitalize()}: {self.model} tells {who} by {what}."

    def facts(self) -> dict[str, Any]:
        """All of it but the maps, as JSON can hold it; what is not known is None."""
        content = asdict(self) | {"verdict": self.verdict, "kind": self.kind, "sentence": self.sentence}
        for found in content["classes"]:
            for name in ("heat", "spread"):
                del found[name]
            for each in found["clusters"]:
                del each["heat"]
        return _plain(content)


def _plain(content: Any) -> Any:
    """The same with None for what is not known: JSON has no NaN."""
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_plain(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content


def summarise(auditor: Auditor, chunks: Iterable[tuple[Rows, list[tuple[int, str]]]]) -> Audit:
    """Rows as they come, in the order of the pictures, into an audit.

    Sums are kept for every class, rows only of the pictures looked at closely and of PROBED a class: memory does not grow
    with the number of pictures.
    """
    sums: dict[int, _Sums] = {int(label): _Sums(auditor.grid) for label in auditor.classes}
    wanted = {label: set(auditor.first(label, PROBED)) for label in sums}
    kept: list[Rows] = []
    refused: list[tuple[int, str]] = []
    for rows, failed in chunks:
        refused += failed
        if not rows:
            continue
        for label in np.unique(rows["label"]).tolist():
            sums[label].add({name: values[rows["label"] == label] for name, values in rows.items()})
        some = [
            index in wanted[label] for index, label in zip(rows["index"].tolist(), rows["label"].tolist(), strict=True)
        ]
        kept.append({name: values[some] for name, values in rows.items()})
    sample = {name: np.concatenate([rows[name] for rows in kept]) for name in kept[0]} if kept else {}
    found = [_class(auditor, label, sums[label], sample) for label in sums if sums[label].count]
    probe, telling = _probe(sample["statistics"], sample["label"], auditor.seed) if sample else (float("nan"), ())
    count = sum(each.count for each in sums.values())
    return Audit(
        model=auditor.classifier.name,
        method=auditor.method.name,
        pictures=count,
        accuracy=sum(each.right for each in sums.values()) / max(1, count),
        classes=tuple(found),
        probe=probe,
        chance=1 / max(1, len(found)),
        telling=telling,
        refused=tuple(refused),
        given=auditor.subjects is not None,
    )


class _Sums:
    """Running sums of a class."""

    def __init__(self, grid: tuple[int, int]) -> None:
        self.count = self.right = 0
        self.heat, self.square = np.zeros(grid), np.zeros(grid)
        self.shares, self.seen = np.zeros((2, len(REGIONS))), np.zeros(len(REGIONS))

    def add(self, rows: Rows) -> None:
        self.count += len(rows["label"])
        self.right += int((rows["logits"].argmax(1) == rows["label"]).sum())
        self.heat += rows["heat"].sum(0, dtype=np.float64)
        self.square += (rows["heat"].astype(np.float64) ** 2).sum(0)
        self.shares += np.nansum([rows["share"], rows["area"]], axis=1, dtype=np.float64)
        self.seen += np.isfinite(rows["share"]).sum(0)


def _class(auditor: Auditor, label: int, sums: _Sums, sample: Rows) -> ClassAudit:
    name, mine = auditor.classifier.labels[label], sample["label"] == label
    mean = sums.heat / sums.count
    reliances = _reliances(sample, label)
    verdict, found = judge(reliances, auditor.subjects is not None)
    rows = {key: values[mine] for key, values in sample.items()}
    evidence = {
        what: dict(zip(FILLS, _mean(rows["evidence"][:, at]), strict=True))
        for at, what in enumerate(("kept", "replaced"))
    }
    seen = sums.seen > 0
    shares = {
        region: (sums.shares[0, at] / sums.seen[at], sums.shares[1, at] / sums.seen[at])
        for at, region in enumerate(REGIONS)
        if seen[at]
    }
    return ClassAudit(
        label=name,
        pictures=sums.count,
        accuracy=sums.right / sums.count,
        heat=mean.astype(np.float32),
        spread=np.sqrt(np.maximum(sums.square / sums.count - mean**2, 0)).astype(np.float32),
        shares=shares,
        clusters=_clusters(rows, auditor.seed),
        reliances=reliances,
        evidence=evidence,
        verdict=verdict,
        kind=found.kind if found else "",
        sentence=_sentence(name, verdict, found, reliances, auditor.subjects is not None),
        advice=ADVICE[found.kind].format(label=name) if found else "",
    )


def _mean(values: np.ndarray) -> list[float]:
    """Column means of the rows that were looked at; NaN where none was."""
    looked = values[np.isfinite(values).all(1)]
    return looked.mean(0).tolist() if len(looked) else [float("nan")] * values.shape[1]


def _reliances(sample: Rows, label: int) -> tuple[Reliance, ...]:
    """For every cue, from all pairs that the class is part of: its own pictures, and those of which it was the rival."""
    pairs = np.isfinite(sample["margin"]) & ((sample["label"] == label) | (sample["rival"] == label))
    if pairs.sum() < 2:
        return ()
    lead = float(np.abs(sample["margin"][pairs]).mean())
    lost = sample["exchanged"][pairs, :, 0] - sample["exchanged"][pairs, :, 1]
    parts, errors = lost.mean(0) / lead, lost.std(0, ddof=1) / np.sqrt(pairs.sum()) / lead
    hits = sample["kept_class"][pairs].mean(0)
    return tuple(
        Reliance(kind, float(parts[at]), float(errors[at]), float(hits[at, 0]), float(hits[at, 1]))
        for at, kind in enumerate(KINDS)
    )


def judge(reliances: Sequence[Reliance], given: bool = True) -> tuple[Verdict, Reliance | None]:
    """The verdict on a class, and the cue that it rests on.

    Where it was not `given` what the subject is, a background is no more than suspect: the subject may be in it.
    """
    telling = [each for each in reliances if each.sure and each.part >= SUSPECT]
    if not telling:
        return "clean", None
    found = max(telling, key=lambda each: each.part)
    if found.kind == "text":
        found = next(
            (each for each in telling if each.kind == "corners" and each.part >= IN_CORNER * found.part), found
        )
    guessed = found.kind == "background" and not given
    return ("shortcut" if not guessed and found.part >= SHORTCUT else "suspect"), found


def _sentence(label: str, verdict: Verdict, found: Reliance | None, reliances: Sequence[Reliance], given: bool) -> str:
    if found is None:
        if not reliances:
            return "Too few pictures to say."
        most = max(reliances, key=lambda each: each.part)
        return (
            f"Clean: of {len(KINDS)} cues exchanged with other classes none carries the answer; the most, "
            f"{CALLED[most.kind]}, carries {max(0.0, most.part):.0%} of the lead."
        )
    words = (
        f"{verdict.capitalize()}: {found.part:.0%} of the lead of {label} hangs on {CALLED[found.kind]}. With that of another "
        f"class {found.other:.0%} are still told right, with that of another picture of their own {found.own:.0%}."
    )
    if found.kind == "background" and not given:
        words += " Where the subject is was not given; it was taken to be in the middle."
    return words


def _clusters(rows: Rows, seed: int) -> tuple[Cluster, ...]:
    maps, right = rows["heat"], rows["logits"].argmax(1) == rows["label"]
    of = cluster(maps, seed).of
    found = []
    for number in range(of.max(initial=-1) + 1):
        inside = np.flatnonzero(of == number)
        if inside.size:
            members = rows["index"][inside]
            near = members[typical(maps[inside])].tolist()
            found.append(Cluster(members.tolist(), near, float(right[inside].mean()), maps[inside].mean(0)))
    return tuple(found)


def _probe(statistics: np.ndarray, labels: np.ndarray, seed: int) -> tuple[float, tuple[str, ...]]:
    """How well a linear model tells the classes by global statistics alone: balanced accuracy over 5 folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if np.unique(labels, return_counts=True)[1].min() < 5:
        return float("nan"), ()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, class_weight="balanced"))
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    accuracy = float(balanced_accuracy_score(labels, cross_val_predict(model, statistics, labels, cv=folds)))
    weights = np.abs(model.fit(statistics, labels)[-1].coef_).max(0)
    order = np.argsort(-weights, kind="stable")[:3]
    return accuracy, tuple(STATISTICS[index] for index in order if weights[index] > 0)
