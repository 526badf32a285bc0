"""What the heatmap of a signed map should show: python -m benchmarks.signs DIR [--half choose] [--json FILE]

DIR holds ImageNet validation pictures and boxes.csv, see benchmarks.faithfulness, which also says what is measured; the curves
have 33 steps, as in benchmarks.quality. The methods are those with the option "sign". "positive" keeps the positive part of
the map, "absolute" takes its absolute values, and "signed" leaves it as it is, so that negative pixels come last. "above
positive" is the mean of the differences on the same pictures, with its 95 % bootstrap interval.

In the order of benchmarks.faithfulness, pictures with an even index choose the default (--half choose), and those with an odd
index are reported (--half report, the default).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.faithfulness import interval, read_folder
from benchmarks.quality import measure_case
from core.files import write_atomically
from explain import explain
from models import DEFAULT, load

METHODS = ("gradient-x-input", "integrated-gradients", "blur-ig", "guided-ig")
SIGNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "positive": lambda raw: np.maximum(raw, 0),
    "absolute": np.abs,
    "signed": lambda raw: raw,
}
Results = dict[str, dict[str, dict[str, dict[str, float]]]]  # method -> sign -> picture -> figures


def format_table(results: Results) -> str:
    """A Markdown table of the results."""
    lines = [
        "| method | sign | pictures | insertion - deletion | above positive | pointing | energy |",
        "|---|---|---|---|---|---|---|",
    ]
    for method, signs in results.items():
        for sign, pictures in signs.items():
            differences, leads = (
                np.array(
                    [
                        each["difference"] - shift * signs["positive"][file]["difference"]
                        for file, each in pictures.items()
                    ]
                )
                for shift in (0, 1)
            )
            low, high = interval(leads)
            lead = "" if sign == "positive" else f"{leads.mean():z.3f} ({low:z.2f} to {high:z.2f})"
            means = [np.mean([each[figure] for each in pictures.values()]) for figure in ("pointing", "energy")]
            cells = [f"`{method}`", sign, str(len(pictures)), f"{differences.mean():z.3f}", lead]
            lines.append(f"| {' | '.join(cells + [f'{mean:.3f}' for mean in means])} |")
    return "\n".join(lines)


def main() -> None:
    """Parse the arguments, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="ImageNet validation pictures with boxes.csv")
    parser.add_argument(
        "--half", choices=("choose", "report"), default="report", help="which pictures (default: report)"
    )
    parser.add_argument("--pictures", type=int, default=30, help="how many of that half (default: 30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results of every picture to this file")
    arguments = parser.parse_args()
    if not (arguments.folder / "boxes.csv").exists():
        sys.exit(f"There is no boxes.csv in {arguments.folder}.")
    results: Results = {method: {sign: {} for sign in SIGNS} for method in METHODS}
    cases = read_folder(arguments.folder, load(DEFAULT), 2 * arguments.pictures)
    for case in cases[arguments.half == "report" :: 2]:
        for method in METHODS:
            raw = explain(case.pixels, case.view.classifier, method, case.class_index).raw
            for sign, choose in SIGNS.items():
                results[method][sign][case.file] = measure_case(case, case.view.geometry.restore(choose(raw)))
        print(case.file, file=sys.stderr, flush=True)
        if arguments.json:
            write_atomically(arguments.json, json.dumps(results, indent=1).encode())
    print(f"{machine.describe()}\n{DEFAULT}\n\n{format_table(results)}")


if __name__ == "__main__":
    main()
