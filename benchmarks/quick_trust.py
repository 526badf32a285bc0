"""Choose and test the rule of the quick check: python -m benchmarks.quick_trust DIR [--pictures 40]

DIR holds ImageNet validation pictures and boxes.csv, see benchmarks.faithfulness. On each picture `explain.metrics.quick_trust`
checks maps of the predicted class, and maps that should not pass: of a class drawn at random, of a network with shuffled
weights, of an edge detector, of a Gaussian at the centre, and random numbers. Every second picture is for choosing: PARTLY is
the limit that separates maps of the class from the other maps best (the mean of both rates of correct answers), FOUND the
limit that one of five of the other maps reaches. The table is measured on the remaining pictures.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.faithfulness import Case, map_centre, map_chance, map_edges, read_folder
from core.files import write_atomically
from explain import explain
from explain.metrics.quick_trust import FOUND, PARTLY, QuickTrust, check_map
from models import DEFAULT, Classifier, load
from models.randomised import randomised

OWN = ("grad-cam", "layer-cam", "saliency")  # methods whose maps are of the predicted class
VERDICTS = ("found", "partly", "little", "unlikely")
FALSE_FOUND = 0.2  # of the maps that should not pass reach FOUND


def method_map(case: Case, method: str, classifier: Classifier, target: int) -> np.ndarray:
    """The signed map (H, W) of a method for a class."""
    return case.view.geometry.restore(explain(case.pixels, classifier, method, target).raw)


def other_class(case: Case) -> int:
    """A class drawn at random, not one of the five most probable ones; the file name is the seed."""
    top = {prediction.index for prediction in case.view.classifier.top(case.view.logits)}
    rng = np.random.default_rng(list(case.file.encode()))
    return next(int(index) for index in rng.permutation(len(case.view.classifier.labels)) if index not in top)


def measure(cases: list[Case], classifier: Classifier) -> dict[str, list[QuickTrust]]:
    """The checks of every kind of map, in the order of the pictures."""
    makers: dict[str, Callable[[Case], np.ndarray]] = {
        **{name: lambda case, name=name: method_map(case, name, classifier, case.class_index) for name in OWN},  # type: ignore[misc]
        "grad-cam, another class": lambda case: method_map(case, "grad-cam", classifier, other_class(case)),
        "centre": map_centre,
        "edges": map_edges,
        "chance": map_chance,
    }
    copy = randomised(classifier)
    with copy.randomise_down_to(len(copy.stages) - 1, 0) as shuffled:
        maps = [method_map(case, "grad-cam", shuffled, case.class_index) for case in cases]
    checks: dict[str, list[QuickTrust]] = {}
    for name, make in makers.items():
        start = time.perf_counter()
        checks[name] = [check_map(case.view, make(case), case.class_index) for case in cases]
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    checks["grad-cam, randomised network"] = [
        check_map(case.view, heatmap, case.class_index) for case, heatmap in zip(cases, maps, strict=True)
    ]
    return checks


def choose_limits(checks: dict[str, list[QuickTrust]]) -> tuple[float, float]:
    """FOUND and PARTLY, from these checks; "centre" does not count, because most subjects are at the centre."""
    own = np.concatenate([[check.advantage for check in checks[name]] for name in OWN])
    foreign = np.concatenate(
        [[check.advantage for check in values] for name, values in checks.items() if name not in (*OWN, "centre")]
    )
    limits = np.arange(-0.2, 0.6, 0.01)
    balanced = [((own >= limit).mean() + (foreign < limit).mean()) / 2 for limit in limits]
    return float(np.quantile(foreign, 1 - FALSE_FOUND)), float(limits[int(np.argmax(balanced))])


def main() -> None:
    """Parse the arguments, measure, and print the limits and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="ImageNet validation pictures with boxes.csv")
    parser.add_argument("--pictures", type=int, default=40, help="half to choose, half to test (default: 40)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the curves of every check to this file")
    arguments = parser.parse_args()
    classifier = load(DEFAULT)
    cases = read_folder(arguments.folder, classifier, arguments.pictures)
    checks = measure(cases, classifier)
    if arguments.json:
        curves = ("deletion", "insertion", "control_deletion", "control_insertion")
        rows = {
            name: [{curve: getattr(check, curve).scores.tolist() for curve in curves} for check in values]
            for name, values in checks.items()
        }
        write_atomically(arguments.json, json.dumps(rows).encode())
    chosen = choose_limits({name: values[::2] for name, values in checks.items()})
    print(
        f"{machine.describe()}\n\n{len(cases)} pictures. Limits of the first half: {chosen[0]:.2f} and {chosen[1]:.2f};"
    )
    print(f"in use: {FOUND} and {PARTLY}. The other half:\n")
    print("| map | advantage | " + " | ".join(VERDICTS) + " |\n|---|---|" + "---|" * len(VERDICTS))
    for name, values in checks.items():
        half = values[1::2]
        shares = [np.mean([check.verdict == verdict for check in half]) for verdict in VERDICTS]
        cells = " | ".join(f"{share:.0%}" for share in shares)
        print(f"| {name} | {np.mean([check.advantage for check in half]):.2f} | {cells} |")


if __name__ == "__main__":
    main()
