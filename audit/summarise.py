"""From measured rows to an audit."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from audit.auditor import FILLS, REGIONS, Auditor, Rows
from audit.clusters import cluster_heatmaps, most_typical
from audit.cues import KINDS, STATISTICS
from audit.results import Audit, ClassAudit, Cluster
from audit.verdict import ADVICE, Reliance, describe_verdict, judge

PROBE_SAMPLE = 400  # pictures per class for the linear probe and the clusters; their rows stay in memory


def summarise(auditor: Auditor, chunks: Iterable[tuple[Rows, list[tuple[int, str]]]]) -> Audit:
    """Turn rows into an audit.

    It keeps sums for every class. It keeps rows only of the sampled pictures, and of PROBE_SAMPLE pictures per class. So
    memory does not grow with the number of pictures.

    Args:
        auditor: The auditor that measured the rows.
        chunks: What `Auditor.measure` returned, in the order of the pictures.

    Returns:
        The verdicts and figures.
    """
    sums: dict[int, _Sums] = {int(class_index): _Sums(auditor.grid) for class_index in auditor.classes}
    wanted = {class_index: set(auditor.pick_pictures(class_index, PROBE_SAMPLE)) for class_index in sums}
    kept: list[Rows] = []
    excluded: list[tuple[int, str]] = []
    for rows, unreadable in chunks:
        excluded += unreadable
        if not rows:
            continue
        for class_index in np.unique(rows["label"]).tolist():
            mine = rows["label"] == class_index
            sums[class_index].add({name: values[mine] for name, values in rows.items()})
        pairs = zip(rows["index"].tolist(), rows["label"].tolist(), strict=True)
        chosen = [index in wanted[class_index] for index, class_index in pairs]
        kept.append({name: values[chosen] for name, values in rows.items()})
    sample = {name: np.concatenate([rows[name] for rows in kept]) for name in kept[0]} if kept else {}
    classes = [
        _audit_class(auditor, class_index, sums[class_index], sample) for class_index in sums if sums[class_index].count
    ]
    probe, strongest = (
        _probe(sample["statistics"], sample["label"], auditor.settings.seed) if sample else (float("nan"), ())
    )
    count = sum(total.count for total in sums.values())
    return Audit(
        model=auditor.classifier.name,
        method=auditor.method.name,
        pictures=count,
        accuracy=sum(total.correct for total in sums.values()) / max(1, count),
        classes=tuple(classes),
        probe=probe,
        chance=1 / max(1, len(classes)),
        strongest_statistics=strongest,
        excluded=tuple(excluded),
        subjects_given=auditor.subjects is not None,
    )


class _Sums:
    """Running sums over the pictures of one class."""

    def __init__(self, grid: tuple[int, int]) -> None:
        self.count = self.correct = 0
        self.heat, self.square = np.zeros(grid), np.zeros(grid)
        self.shares, self.measured = np.zeros((2, len(REGIONS))), np.zeros(len(REGIONS))

    def add(self, rows: Rows) -> None:
        self.count += len(rows["label"])
        self.correct += int((rows["logits"].argmax(1) == rows["label"]).sum())
        self.heat += rows["heat"].sum(0, dtype=np.float64)
        self.square += (rows["heat"].astype(np.float64) ** 2).sum(0)
        self.shares += np.nansum([rows["share"], rows["area"]], axis=1, dtype=np.float64)
        self.measured += np.isfinite(rows["share"]).sum(0)


def _audit_class(auditor: Auditor, class_index: int, sums: _Sums, sample: Rows) -> ClassAudit:
    label, given = auditor.classifier.labels[class_index], auditor.subjects is not None
    mean = sums.heat / sums.count
    reliances = _measure_reliances(sample, class_index)
    judgement = judge(reliances, given)
    strongest = judgement.strongest
    rows = {name: values[sample["label"] == class_index] for name, values in sample.items()}
    evidence = {
        part: dict(zip(FILLS, _finite_means(rows["evidence"][:, at]), strict=True))
        for at, part in enumerate(("kept", "replaced"))
    }
    shares = {
        region: (sums.shares[0, at] / sums.measured[at], sums.shares[1, at] / sums.measured[at])
        for at, region in enumerate(REGIONS)
        if sums.measured[at] > 0
    }
    return ClassAudit(
        label=label,
        pictures=sums.count,
        accuracy=sums.correct / sums.count,
        heat=mean.astype(np.float32),
        standard_deviation=np.sqrt(np.maximum(sums.square / sums.count - mean**2, 0)).astype(np.float32),
        shares=shares,
        clusters=_find_clusters(rows, auditor.settings.seed),
        reliances=reliances,
        evidence=evidence,
        verdict=judgement.verdict,
        kind=strongest.kind if strongest else "",
        sentence=describe_verdict(label, judgement, reliances, given),
        advice=ADVICE[strongest.kind].format(label=label) if strongest else "",
    )


def _finite_means(values: np.ndarray) -> list[float]:
    """Column means over the rows that were measured, which are finite; NaN where there are none."""
    measured = values[np.isfinite(values).all(1)]
    return measured.mean(0).tolist() if len(measured) else [float("nan")] * values.shape[1]


def _measure_reliances(sample: Rows, class_index: int) -> tuple[Reliance, ...]:
    """The effect of every cue, from all pairs with this class: its own pictures, and the pictures whose rival it was."""
    mine = (sample["label"] == class_index) | (sample["rival"] == class_index)
    pairs = np.isfinite(sample["margin"]) & mine
    if pairs.sum() < 2:
        return ()
    margin = float(np.abs(sample["margin"][pairs]).mean())
    loss = sample["exchanged"][pairs, :, 0] - sample["exchanged"][pairs, :, 1]
    effects, errors = loss.mean(0) / margin, loss.std(0, ddof=1) / np.sqrt(pairs.sum()) / margin
    correct = sample["kept_class"][pairs].mean(0)
    return tuple(
        Reliance(kind, float(effects[at]), float(errors[at]), float(correct[at, 0]), float(correct[at, 1]))
        for at, kind in enumerate(KINDS)
    )


def _find_clusters(rows: Rows, seed: int) -> tuple[Cluster, ...]:
    maps, correct = rows["heat"], rows["logits"].argmax(1) == rows["label"]
    labels = cluster_heatmaps(maps, seed).labels
    clusters = []
    for number in range(labels.max(initial=-1) + 1):
        inside = np.flatnonzero(labels == number)
        if inside.size:
            members = rows["index"][inside]
            typical = members[most_typical(maps[inside])].tolist()
            clusters.append(Cluster(members.tolist(), typical, float(correct[inside].mean()), maps[inside].mean(0)))
    return tuple(clusters)


def _probe(statistics: np.ndarray, labels: np.ndarray, seed: int) -> tuple[float, tuple[str, ...]]:
    """Fit a linear model to global statistics alone.

    Returns its balanced accuracy over 5 folds, and the up to three statistics with the largest weights. NaN and none where a
    class has fewer than 5 pictures.
    """
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
