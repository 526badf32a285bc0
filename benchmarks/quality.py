"""The qualities on pictures that were not used to choose them: python -m benchmarks.quality DIR [--json FILE]

DIR holds ImageNet validation pictures and boxes.csv, see benchmarks.faithfulness, which also says what is measured; here the
curves have 33 steps. In its order of pictures, those with an even index were used to choose methods and options
(--half choose), and those with an odd index are reported (--half report, the default).

The maps are those of the qualities, of Grad-CAM, of LIME with its defaults, and a Gaussian at the centre. Each figure is a
mean over the pictures with its 95 % bootstrap interval; "above grad-cam" is the mean of the differences on the same pictures.
Seconds are medians of explain(), from the picture's pixels to the map in these pixels, including the prediction. With --json,
the results of every picture are kept in FILE, and pictures that it holds are not measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.faithfulness import REFERENCE, Case, interval, map_centre, read_folder
from core.files import write_atomically
from core.images import Picture
from explain import QUALITIES, ExplainSettings
from explain.metrics.faithfulness import deletion, insertion
from explain.metrics.localisation import energy, pointing_game
from explain.result import Explanation
from models import DEFAULT, load

STEPS = 33  # of a curve
METHODS = (REFERENCE, "lime")
FIGURES = ("difference", "deletion", "insertion", "pointing", "energy")


def explainers() -> dict[str, Callable[[Case], Explanation]]:
    """What makes the maps that are compared, by name."""
    settings = {name: ExplainSettings(quality=name) for name in QUALITIES}
    settings |= {name: ExplainSettings(name) for name in METHODS}

    def explainer(each: ExplainSettings) -> Callable[[Case], Explanation]:
        return lambda case: replace(each, target=case.class_index).explain(Picture(case.pixels), case.view.classifier)

    return {name: explainer(each) for name, each in settings.items()}


def measure_case(case: Case, heatmap: np.ndarray) -> dict[str, float]:
    """The figures of one map (H, W)."""
    deleted, inserted = (
        curve(case.view, heatmap, case.class_index, steps=STEPS).auc for curve in (deletion, insertion)
    )
    return {
        "difference": inserted - deleted,
        "deletion": deleted,
        "insertion": inserted,
        "pointing": float(pointing_game(heatmap, case.region)),
        "energy": energy(heatmap, case.region),
    }


def format_table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """A Markdown table of the results, name -> picture -> figures; the highest insertion - deletion first."""
    lines = [
        f"| map | pictures | insertion - deletion | above {REFERENCE} | deletion | insertion | pointing | energy | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]

    def mean(values: list[float]) -> str:
        low, high = interval(np.array(values))
        return f"{np.mean(values):z.3f} ({low:z.2f} to {high:z.2f})"

    for name in sorted(results, key=lambda name: -np.mean([each["difference"] for each in results[name].values()])):
        pictures = results[name]
        shared = [file for file in pictures if file in results[REFERENCE]]
        lead = mean([pictures[file]["difference"] - results[REFERENCE][file]["difference"] for file in shared])
        first, *others = (mean([figures[figure] for figures in pictures.values()]) for figure in FIGURES)
        seconds = f"{np.median([figures['seconds'] for figures in pictures.values()]):.2f}" if name != "centre" else ""
        cells = [f"`{name}`", len(pictures), first, "" if name == REFERENCE else lead, *others, seconds]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    """Parse the arguments, measure, keep the results, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="ImageNet validation pictures with boxes.csv")
    parser.add_argument(
        "--half", choices=("choose", "report"), default="report", help="which pictures (default: report)"
    )
    parser.add_argument("--pictures", type=int, default=40, help="how many of that half (default: 40)")
    parser.add_argument("--maps", nargs="+", metavar="NAME", help="by default all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the results of every picture in this file")
    arguments = parser.parse_args()
    if not (arguments.folder / "boxes.csv").exists():
        sys.exit(f"There is no boxes.csv in {arguments.folder}.")
    results: dict[str, dict[str, dict[str, float]]] = {}
    if arguments.json and arguments.json.exists():
        results = json.loads(arguments.json.read_text())
    cases = read_folder(arguments.folder, load(DEFAULT), 2 * arguments.pictures)
    start = time.perf_counter()
    for number, case in enumerate(cases[arguments.half == "report" :: 2], 1):
        for name, make in explainers().items():
            if case.file not in results.setdefault(name, {}) and name in (arguments.maps or (name,)):
                explanation = make(case)
                figures = measure_case(case, case.view.geometry.restore(explanation.raw))
                results[name][case.file] = figures | {"seconds": explanation.seconds}
        if case.file not in results.setdefault("centre", {}):
            results["centre"][case.file] = measure_case(case, map_centre(case))
        if arguments.json:
            write_atomically(arguments.json, json.dumps(results, indent=1).encode())
        print(f"picture {number}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    print(f"{machine.describe()}\n{DEFAULT}\n\n{format_table({name: each for name, each in results.items() if each})}")


if __name__ == "__main__":
    main()
