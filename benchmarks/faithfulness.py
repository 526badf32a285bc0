"""How well maps follow the model, and find the object: python -m benchmarks.faithfulness DIR [--peers] [--json FILE]

DIR holds ImageNet validation pictures and boxes.csv, see benchmarks.accuracy. Every method with its default options, three
maps that know nothing of the network (a Gaussian at the centre, chance, edges), and with --peers the same methods as
other libraries make them (see benchmarks.peers; same budget) are graded on pictures spread over DIR that the classifier
gets right, squashed to its square canvas as they come:

- deletion (low is good) and insertion (high is good): areas under the curves of explain.faithfulness, in 15 steps, and
  insertion - deletion. Signed maps are ordered as they are, ties in reading order.
- above grad-cam: the same less that of Grad-CAM on the same pictures.
- pointing: how often the highest pixel lies in a box of the object; energy: the share of the positive heat in the boxes.

Means with 95 % bootstrap intervals over the pictures. Methods of more than 400 passes are slow and get a quarter of the
pictures, the first of the same list; so do other libraries' methods of more than 50. With --json the results are kept,
picture by picture, and added to what FILE holds: run the benchmark in pieces with --methods, and with --methods none for
the table alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks import machine
from explain import METHODS, explain
from explain.faithfulness import deletion, energy, insertion, pointing_game, regions
from explain.view import View
from models import DEFAULT, Classifier, load
from models.engine import write_atomically
from models.picture import read

SLOW, SLOW_PEER = 400, 50  # passes; one backwards counts as five
REFERENCE = "grad-cam"  # what people use: slow methods are read beside it, on the few pictures that they got
STEPS = 15  # of a curve: 16 canvases, one batch
FIGURES = ("difference", "deletion", "insertion", "pointing", "energy")


@dataclass(frozen=True)
class Case:
    """A picture on its canvas, the class to explain, and where the object is: (H, W) of True."""

    file: str
    pixels: np.ndarray
    view: View
    target: int
    region: np.ndarray


Mapper = Callable[[Case], np.ndarray]  # a map in the picture's own pixels, (H, W), signed


def read_folder(folder: Path, classifier: Classifier, count: int) -> list[Case]:
    """So many pictures, spread evenly over those that the classifier gets right."""
    boxes: dict[str, list[dict[str, str]]] = {}
    with (folder / "boxes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            boxes.setdefault(row["file"], []).append(row)
    files = np.array(list(boxes))[np.argsort(np.arange(len(boxes)) * 0.618034 % 1)]  # any first few are spread over DIR
    cases: list[Case] = []
    for name in files:
        if len(cases) == count:
            break
        rows, pixels = boxes[name], read(folder / str(name)).pixels
        view = View(classifier, classifier.geometry(pixels.shape[:2]), pixels)
        target = int(rows[0]["class_index"])
        if int(view.logits.argmax()) == target:
            corners = [tuple(float(row[f"{side}_227"]) for side in ("x0", "y0", "x1", "y1")) for row in rows]
            cases.append(Case(str(name), pixels, view, target, regions(corners, pixels.shape[:2])))  # type: ignore[arg-type]
    return cases


def centre(case: Case) -> np.ndarray:
    """A Gaussian at the centre, a quarter of each side wide."""
    rows, columns = (np.exp(-(np.linspace(-2, 2, side) ** 2) / 2) for side in case.pixels.shape[:2])
    return np.outer(rows, columns)


def chance(case: Case) -> np.ndarray:
    """A number for every pixel, by the picture's name."""
    return np.random.default_rng(list(case.file.encode())).random(case.pixels.shape[:2])


def edges(case: Case) -> np.ndarray:
    """The length of the gradient of the grey levels, by Sobel's kernels."""
    grey = cv2.cvtColor(case.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))


BASELINES: dict[str, Mapper] = {"centre": centre, "chance": chance, "edges": edges}


def ours(method: str) -> Mapper:
    """The signed map of a method of the register, with its default options."""

    def ask(case: Case) -> np.ndarray:
        found = explain(case.pixels, case.view.classifier, method, case.target)
        return case.view.geometry.restore(found.raw)

    return ask


def theirs(method: str, peer: str) -> Mapper:
    """A peer's map, on the same canvas and network."""
    from benchmarks import peers

    ask, options = peers.PEERS[method][peer], peers.options_of(method)

    def mapped(case: Case) -> np.ndarray:
        network = peers.network_of(case.view.classifier)
        return case.view.geometry.restore(ask(network, case.view.canvas[None], case.target, options)[0])

    return mapped


def grade(case: Case, heatmap: np.ndarray) -> dict[str, float]:
    """All figures of one map."""
    removed, added = (curve(case.view, heatmap, case.target, steps=STEPS).auc for curve in (deletion, insertion))
    return {
        "deletion": removed,
        "insertion": added,
        "difference": added - removed,
        "pointing": float(pointing_game(heatmap, case.region)),
        "energy": energy(heatmap, case.region),
    }


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean: percentiles over 2000 resamples."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (2000, len(values)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


Results = dict[str, dict[str, dict[str, float]]]  # by "method, by whom": picture -> figures


def measure(cases: list[Case], mappers: dict[str, Mapper], results: Results, keep: Callable[[], None]) -> None:
    """Grade all of them and put what is found into `results`, to be kept after each."""
    for name, mapper in mappers.items():
        start = time.perf_counter()
        found = {}
        for case in cases[: max(1, len(cases) // 4)] if _is_slow(name) else cases:
            figures = grade(case, mapper(case))
            found[case.file] = {what: round(figure, 5) for what, figure in figures.items()}
        results[name] = found
        keep()
        print(f"{name}: {len(found)} pictures in {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)


def _is_slow(name: str) -> bool:
    method, _, peer = name.partition(", ")
    passes = METHODS[method].forward + 5 * METHODS[method].backward if method in METHODS else 0
    return passes > (SLOW_PEER if peer else SLOW)


def table(results: Results) -> str:
    """Our methods and the maps that know nothing, in Markdown, by how far they are above the reference."""
    lines = [
        f"| map | pictures | insertion - deletion | above {REFERENCE} | deletion | insertion | pointing | energy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    leads = {name: np.subtract(*_on_the_same(results, name, REFERENCE)) for name in results if "," not in name}
    for name in sorted(leads, key=lambda name: -leads[name].mean() if len(leads[name]) else np.inf):
        found = results[name]
        difference, *cells = (_mean([figures[what] for figures in found.values()]) for what in FIGURES)
        lead = _mean(leads[name]) if len(leads[name]) and name != REFERENCE else ""
        lines.append(f"| `{name}` | {len(found)} | {difference} | {lead} | {' | '.join(cells)} |")
    return "\n".join(lines)


def comparison(results: Results) -> str:
    """Insertion - deletion of ours and of other libraries' on the same pictures, in Markdown; empty if there are none."""
    lines = [
        "| method | library | pictures | ours | theirs | ours less theirs |",
        "|---|---|---|---|---|---|",
    ]
    for name in results:
        method, _, peer = name.partition(", ")
        own, other = _on_the_same(results, method, name)
        if peer and len(own):
            means = f"{own.mean():.3f} | {other.mean():.3f} | {_mean(own - other, 3)}"
            lines.append(f"| `{method}` | {peer} | {len(own)} | {means} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _on_the_same(results: Results, first: str, second: str) -> tuple[np.ndarray, np.ndarray]:
    """Insertion - deletion of two maps on the pictures that both were graded on."""
    both = [file for file in results.get(first, {}) if file in results.get(second, {})]
    one, other = (np.array([results[name][file]["difference"] for file in both]) for name in (first, second))
    return one, other


def _mean(values: Sequence[float] | np.ndarray, digits: int = 2) -> str:
    low, high = interval(np.asarray(values))
    return f"{np.mean(values):z.3f} ({low:z.{digits}f} to {high:z.{digits}f})"


def mappers(methods: list[str], peers: bool) -> dict[str, Mapper]:
    """What is to be graded, by name: "rise", or "rise, xplique"."""
    found: dict[str, Mapper] = {name: mapper for name, mapper in BASELINES.items() if name in methods}
    found |= {method: ours(method) for method in METHODS if method in methods}
    if peers:
        from benchmarks import peers as known

        if known.missing():
            print(known.missing(), file=sys.stderr)
        for method, by in known.PEERS.items():
            found |= {
                f"{method}, {peer}": theirs(method, peer) for peer in by if known.installed(peer) and method in methods
            }
    return found


def main() -> None:
    """Measure what was asked for, keep it, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--methods", nargs="+", default=[*BASELINES, *METHODS], metavar="NAME")
    parser.add_argument("--peers", action="store_true", help="and the same methods of other libraries")
    parser.add_argument("--only-peers", action="store_true", help="of those methods, the other libraries' alone")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    if not (asked.folder / "boxes.csv").exists():
        sys.exit(f"There is no boxes.csv in {asked.folder}.")
    kept: dict[str, Any] = {"machine": machine.describe(), "model": asked.model, "results": {}}
    if asked.json and asked.json.exists():
        kept["results"] = json.loads(asked.json.read_text())["results"]

    def keep() -> None:
        if asked.json:
            write_atomically(asked.json, json.dumps(kept, indent=1).encode())

    chosen = mappers(asked.methods, asked.peers or asked.only_peers)
    if asked.only_peers:
        chosen = {name: mapper for name, mapper in chosen.items() if "," in name}
    if chosen:
        measure(read_folder(asked.folder, load(asked.model), asked.pictures), chosen, kept["results"], keep)
    print(f"{kept['machine']}\n{kept['model']}\n\n{table(kept['results'])}\n\n{comparison(kept['results'])}")


if __name__ == "__main__":
    main()
