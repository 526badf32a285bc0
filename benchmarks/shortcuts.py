"""Does the audit find what a classifier cheats by? python -m benchmarks.shortcuts [--seeds 100 120] [--out FILE]

For every seed and every cue of samples/scenes.py a classifier is trained on 60 rendered pictures a class (a linear head on
MobileNetV2) in which the cue goes with the class in 100, 95 or 80 % of the pictures, and on the clean counterpart. It is
audited on held-out pictures of the same kind. Printed: how often a planted shortcut is called suspect or shortcut, how often
by its right name, how often clean is called clean; and how far the share of the heat on the cue alone, by method, would have
told planted from clean (area under the ROC curve; 0.5 is a coin). Figures go to FILE, a line a run, and runs found there are
not done again. The thresholds of explain/audit/result.py were set on seeds 0 to 5: report others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from explain import METHODS
from explain.audit import Reliance, audit
from explain.audit.result import judge
from explain.view import View
from models import Classifier, load
from models.embeddings import embed
from models.geometry import resample
from models.train import Trainer, learn
from models.trained import Trained
from samples.scenes import CUES, VEHICLES, Scene, planted

SIDE = 224
TRAINED, AUDITED, TESTED = 60, 10, 20  # pictures a class
CORRELATIONS = (1.0, 0.95, 0.8, 0.5)
NAMES = {
    "ground": {"background"},
    "weather": {"brightness"},
    "watermark": {"corners", "text"},
    "border": {"border"},
    "text": {"text"},
    "jpeg": {"compression", "sharpness"},
}
HEAT = ("grad-cam", "grad-cam++", "layer-cam", "recipro-cam", "ablation-cam")
LOCAL = ("ground", "watermark", "border", "text")  # cues that are somewhere


def train(scenes: list[Scene], trainer: Trainer, seed: int) -> Classifier:
    """A linear head on the embedded backbone."""
    backbone = load()
    labels = np.array([VEHICLES.index(scene.vehicle) for scene in scenes], np.int32)
    embeddings = embed(backbone, (scene.image for scene in scenes), side=SIDE)
    *_, (_, layers) = learn(trainer, embeddings, labels, len(VEHICLES), seed=seed)
    return Trained(backbone, layers, VEHICLES, side=SIDE)


def accuracy(classifier: Classifier, scenes: list[Scene]) -> float:
    """The share told right."""
    place = classifier.geometry(scenes[0].image.shape[:2]).place
    logits = classifier.forward(np.stack([place(scene.image) for scene in scenes]))[1]
    return float(np.mean([VEHICLES[k] == scene.vehicle for k, scene in zip(logits.argmax(1), scenes, strict=True)]))


def heat_on_cue(classifier: Classifier, scenes: list[Scene]) -> dict[str, float]:
    """By method, the mean share of the heat that lies on the cue, where there is one, over its share of the picture."""
    found: dict[str, list[float]] = {name: [] for name in HEAT}
    for scene in scenes:
        if not scene.cue.any():
            continue
        view = View(classifier, classifier.geometry(scene.image.shape[:2]), scene.image)
        target = np.eye(len(VEHICLES), dtype=np.float32)[VEHICLES.index(scene.vehicle)]
        for name in HEAT:
            heat = np.maximum(METHODS[name].last(view, target, METHODS[name].options).raw, 0)
            cover = resample(scene.cue.astype(np.float32), heat.shape)
            if heat.sum() > 0:
                found[name].append(float((heat * cover).sum() / heat.sum() / cover.mean()))
    return {name: float(np.mean(values)) if values else float("nan") for name, values in found.items()}


def run(cue: str, correlation: float, seed: int, trainer: Trainer) -> dict[str, Any]:
    """Train, audit, and note what is needed to judge."""
    sets = [
        planted(cue, correlation=correlation, count=count, seed=3 * seed + part)
        for part, count in enumerate((TRAINED, AUDITED))
    ]
    classifier = train(sets[0], trainer, seed)
    held = sets[1]
    found = audit(
        classifier,
        [scene.image for scene in held],
        [scene.vehicle for scene in held],
        subjects=[scene.subject for scene in held],
        sample=AUDITED,
        seed=seed,
    )
    return {
        "cue": cue,
        "correlation": correlation,
        "seed": seed,
        "held": found.accuracy,
        "elsewhere": accuracy(classifier, planted(cue, correlation=0.5, count=TESTED, seed=3 * seed + 2)),
        "probe": found.probe,
        "reliances": {
            each.label: [[r.kind, r.part, r.error, r.own, r.other] for r in each.reliances] for each in found.classes
        },
        "heat": heat_on_cue(classifier, held) if cue in LOCAL else {},
    }


def called(record: dict[str, Any]) -> tuple[str, str]:
    """The verdict and kind of a run, by the thresholds as they are now: those of its worst class."""
    judged = [judge([Reliance(*row) for row in rows]) for rows in record["reliances"].values()]
    worst = max(judged, key=lambda each: each[1].part if each[1] else -1.0)
    return worst[0], worst[1].kind if worst[1] else ""


def roc(planted_values: Iterable[float], clean_values: Iterable[float]) -> float:
    """Area under the ROC curve: how often a planted run's value is the larger."""
    high, low = (np.array([v for v in values if np.isfinite(v)]) for values in (planted_values, clean_values))
    if not high.size or not low.size:
        return float("nan")
    return float((high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean())


def table(records: list[dict[str, Any]]) -> str:
    """The figures."""
    seeds = sorted({record["seed"] for record in records})
    lines = [f"{len(records)} runs, seeds {seeds[0]} to {seeds[-1]}", ""]
    lines.append(
        f"{'cue':10} {'correlation':>11} {'runs':>5} {'held-out':>9} {'elsewhere':>10} {'found':>7} {'right kind':>11}"
    )
    totals: dict[str, list[tuple[bool, bool]]] = {"planted": [], "clean": []}
    for cue in CUES:
        for correlation in CORRELATIONS:
            some = [r for r in records if r["cue"] == cue and r["correlation"] == correlation]
            if not some:
                continue
            calls = [called(record) for record in some]
            pairs = [(verdict != "clean", kind in NAMES[cue]) for verdict, kind in calls]
            if correlation >= 0.95:
                totals["planted"] += pairs
            elif correlation == 0.5:
                totals["clean"] += pairs
            found, right = np.mean(pairs, axis=0)
            held, elsewhere = (float(np.mean([record[name] for record in some])) for name in ("held", "elsewhere"))
            name = "clean" if correlation == 0.5 else f"{correlation:.0%}"
            lines.append(
                f"{cue:10} {name:>11} {len(some):5} {held:9.1%} {elsewhere:10.1%} {found:7.1%} "
                + (f"{right:11.1%}" if correlation > 0.5 else "")
            )
    if totals["planted"]:
        found, right = np.mean(totals["planted"], axis=0)
        lines += [
            "",
            f"planted at 100 and 95 %: found {found:.1%}, right kind {right:.1%} ({len(totals['planted'])} runs)",
        ]
    if totals["clean"]:
        false = np.mean([pair[0] for pair in totals["clean"]])
        lines.append(f"clean called clean: {1 - false:.1%} ({len(totals['clean'])} runs)")
    lines += [
        "",
        "By the share of heat on the cue alone (area under the ROC curve, planted at 100 and 95 % against clean)",
    ]
    lines.append(f"{'method':14}" + "".join(f"{cue:>11}" for cue in LOCAL))
    for name in HEAT:
        cells = []
        for cue in LOCAL:
            mine = [r for r in records if r["cue"] == cue]
            values = [
                [r["heat"][name] for r in mine if test(r["correlation"])]
                for test in (lambda c: c >= 0.95, lambda c: c == 0.5)
            ]
            cells.append(f"{roc(*values):11.2f}")
        lines.append(f"{name:14}" + "".join(cells))
    return "\n".join(lines)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs=2, default=(100, 120), metavar=("FIRST", "END"))
    parser.add_argument("--cues", nargs="+", default=list(CUES), choices=list(CUES))
    parser.add_argument("--correlations", type=float, nargs="+", default=list(CORRELATIONS))
    parser.add_argument("--out", type=Path, default=Path("shortcuts.jsonl"))
    parser.add_argument("--turns", action="store_true", help="one cue a seed, in turn, in place of all of them")
    parser.add_argument("--print", action="store_true", help="print what there is and run nothing")
    asked = parser.parse_args()
    lines = asked.out.read_text().splitlines() if asked.out.exists() else []
    records = [json.loads(line) for line in lines]
    done = {(r["cue"], r["correlation"], r["seed"]) for r in records}
    if not asked.print:
        trainer = Trainer(1280, len(VEHICLES), "linear")
        for seed in range(*asked.seeds):
            for cue in [asked.cues[seed % len(asked.cues)]] if asked.turns else asked.cues:
                for correlation in asked.correlations:
                    if (cue, correlation, seed) not in done:
                        records.append(run(cue, correlation, seed, trainer))
                        with asked.out.open("a") as file:
                            file.write(json.dumps(records[-1]) + "\n")
    chosen = [record for record in records if record["seed"] in range(*asked.seeds)]
    print(f"{machine.describe()}\n{table(chosen)}")


if __name__ == "__main__":
    main()
