"""Faithfulness and localisation of the methods: python -m benchmarks.faithfulness DIR [--peers] [--json FILE]

DIR holds ImageNet validation pictures and boxes.csv, see benchmarks.accuracy. The pictures are spread over DIR, and the
classifier is correct on each. They are not stretched back to their original aspect ratio. Measured are all methods with their
default options, and three maps that do not depend on the network: a Gaussian at the centre, random numbers ("chance"), and
edges. With --peers also the same methods of other libraries with the same budget, see benchmarks.peers.

- deletion (lower is better) and insertion (higher is better): the areas under the curves of explain.metrics.faithfulness,
  in 15 steps. Also their difference, insertion - deletion. Signed maps keep their signs; ties are in reading order.
- above grad-cam: this difference minus that of Grad-CAM on the same pictures.
- pointing: how often the highest pixel lies in a box of the object. energy: the share of the positive heat in the boxes.

The figures are means with 95 % bootstrap intervals over the pictures. Slow methods get the first quarter of the pictures:
those with more than 400 passes, and those of other libraries with more than 50. With --json, the results of every picture
are added to FILE. So the benchmark can run in pieces with --methods; --methods none only prints the table.
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
from core.files import write_atomically
from core.images import read
from explain import METHODS, explain
from explain.metrics.faithfulness import deletion, insertion
from explain.metrics.localisation import energy, pointing_game, regions
from explain.view import View
from models import DEFAULT, Classifier, load
from models.capabilities import lacks

SLOW, SLOW_PEER = 400, 50  # passes; a backward pass counts as five
REFERENCE = "grad-cam"  # the most common method; slow methods are compared with it on their few pictures
STEPS = 15  # of a curve; 16 canvases are one batch
FIGURES = ("difference", "deletion", "insertion", "pointing", "energy")


@dataclass(frozen=True)
class Case:
    """A picture on its canvas, the class to explain, and the region (H, W) of the object."""

    file: str
    pixels: np.ndarray
    view: View
    class_index: int
    region: np.ndarray


Mapper = Callable[[Case], np.ndarray]  # makes a signed map (H, W) in the picture's own pixels


def read_folder(folder: Path, classifier: Classifier, count: int) -> list[Case]:
    """The first `count` correctly classified pictures, in an order that spreads them evenly over the folder."""
    boxes: dict[str, list[dict[str, str]]] = {}
    with (folder / "boxes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            boxes.setdefault(row["file"], []).append(row)
    # The golden ratio spreads any number of pictures over the folder.
    files = np.array(list(boxes))[np.argsort(np.arange(len(boxes)) * 0.618034 % 1)]
    cases: list[Case] = []
    for name in files:
        if len(cases) == count:
            break
        rows, pixels = boxes[name], read(folder / str(name)).pixels
        view = View(classifier, classifier.geometry(pixels.shape[:2]), pixels)
        class_index = int(rows[0]["class_index"])
        if int(view.logits.argmax()) == class_index:
            corners = [tuple(float(row[f"{side}_227"]) for side in ("x0", "y0", "x1", "y1")) for row in rows]
            cases.append(Case(str(name), pixels, view, class_index, regions(corners, pixels.shape[:2])))  # type: ignore[arg-type]
    return cases


def map_centre(case: Case) -> np.ndarray:
    """A Gaussian at the centre. Its standard deviation is a quarter of each side."""
    rows, columns = (np.exp(-(np.linspace(-2, 2, side) ** 2) / 2) for side in case.pixels.shape[:2])
    return np.outer(rows, columns)


def map_chance(case: Case) -> np.ndarray:
    """A random number for every pixel; the file name is the seed."""
    return np.random.default_rng(list(case.file.encode())).random(case.pixels.shape[:2])


def map_edges(case: Case) -> np.ndarray:
    """The magnitude of the gradient of the grey levels, with Sobel's kernels."""
    grey = cv2.cvtColor(case.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))


BASELINES: dict[str, Mapper] = {"centre": map_centre, "chance": map_chance, "edges": map_edges}


def own_mapper(method: str) -> Mapper:
    """A function that makes the signed map of one of our methods, with its default options."""

    def compute_map(case: Case) -> np.ndarray:
        explanation = explain(case.pixels, case.view.classifier, method, case.class_index)
        return case.view.geometry.restore(explanation.raw)

    return compute_map


def peer_mapper(method: str, peer: str) -> Mapper:
    """A function that makes the map of a method of another library, on the same canvas and network."""
    from benchmarks import peers

    compute, options = peers.PEERS[method][peer], peers.comparison_options(method)

    def compute_map(case: Case) -> np.ndarray:
        network = peers.comparison_network(case.view.classifier)
        return case.view.geometry.restore(compute(network, case.view.canvas[None], case.class_index, options)[0])

    return compute_map


def measure_map(case: Case, heatmap: np.ndarray) -> dict[str, float]:
    """All figures of one map."""
    deleted, inserted = (
        curve(case.view, heatmap, case.class_index, steps=STEPS).auc for curve in (deletion, insertion)
    )
    return {
        "deletion": deleted,
        "insertion": inserted,
        "difference": inserted - deleted,
        "pointing": float(pointing_game(heatmap, case.region)),
        "energy": energy(heatmap, case.region),
    }


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean: percentiles over 2000 resamples."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (2000, len(values)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


Results = dict[str, dict[str, dict[str, float]]]  # "method" or "method, library" -> picture -> figures


def measure(cases: list[Case], mappers: dict[str, Mapper], results: Results, save: Callable[[], None]) -> None:
    """Measure every map on every picture.

    Args:
        cases: The pictures.
        mappers: What makes the maps, by name.
        results: Receives the figures.
        save: Called after each name.
    """
    for name, mapper in mappers.items():
        start = time.perf_counter()
        figures = {}
        for case in cases[: max(1, len(cases) // 4)] if _is_slow(name) else cases:
            figures[case.file] = {figure: round(value, 5) for figure, value in measure_map(case, mapper(case)).items()}
        results[name] = figures
        save()
        print(f"{name}: {len(figures)} pictures in {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)


def _is_slow(name: str) -> bool:
    """Whether a map gets only a quarter of the pictures."""
    method, _, peer = name.partition(", ")
    passes = METHODS[method].forward_passes + 5 * METHODS[method].backward_passes if method in METHODS else 0
    return passes > (SLOW_PEER if peer else SLOW)


def format_table(results: Results) -> str:
    """Our methods and the maps without a network as a Markdown table, those furthest above the reference first."""
    lines = [
        f"| map | pictures | insertion - deletion | above {REFERENCE} | deletion | insertion | pointing | energy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    leads = {name: np.subtract(*_shared_differences(results, name, REFERENCE)) for name in results if "," not in name}
    for name in sorted(leads, key=lambda name: -leads[name].mean() if len(leads[name]) else np.inf):
        pictures = results[name].values()
        difference, *cells = (_mean([figures[figure] for figures in pictures]) for figure in FIGURES)
        lead = _mean(leads[name]) if len(leads[name]) and name != REFERENCE else ""
        lines.append(f"| `{name}` | {len(pictures)} | {difference} | {lead} | {' | '.join(cells)} |")
    return "\n".join(lines)


def format_comparison(results: Results) -> str:
    """Our methods and those of other libraries on the same pictures, as a Markdown table; empty without other libraries."""
    lines = [
        "| method | library | pictures | ours | theirs | ours - theirs |",
        "|---|---|---|---|---|---|",
    ]
    for name in results:
        method, _, peer = name.partition(", ")
        own, other = _shared_differences(results, method, name)
        if peer and len(own):
            means = f"{own.mean():.3f} | {other.mean():.3f} | {_mean(own - other, 3)}"
            lines.append(f"| `{method}` | {peer} | {len(own)} | {means} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _shared_differences(results: Results, first: str, second: str) -> tuple[np.ndarray, np.ndarray]:
    """Insertion - deletion of two maps, on the pictures for which both have results."""
    both = [file for file in results.get(first, {}) if file in results.get(second, {})]
    left, right = (np.array([results[name][file]["difference"] for file in both]) for name in (first, second))
    return left, right


def _mean(values: Sequence[float] | np.ndarray, digits: int = 2) -> str:
    """The mean and its interval, as text."""
    low, high = interval(np.asarray(values))
    return f"{np.mean(values):z.3f} ({low:z.{digits}f} to {high:z.{digits}f})"


def choose_mappers(methods: list[str], with_peers: bool) -> dict[str, Mapper]:
    """What makes the maps of these methods, by name: "rise", or "rise, xplique"."""
    chosen: dict[str, Mapper] = {name: mapper for name, mapper in BASELINES.items() if name in methods}
    chosen |= {method: own_mapper(method) for method in METHODS if method in methods}
    if with_peers:
        from benchmarks import peers

        if peers.describe_missing():
            print(peers.describe_missing(), file=sys.stderr)
        for method in filter(methods.__contains__, peers.PEERS):
            installed = filter(peers.installed, peers.PEERS[method])
            chosen |= {f"{method}, {peer}": peer_mapper(method, peer) for peer in installed}
    return chosen


def main() -> None:
    """Parse the arguments, measure, save the results, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="ImageNet validation pictures with boxes.csv")
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--pictures", type=int, default=24, help="how many (default: 24)")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="default: all that the model allows")
    parser.add_argument("--peers", action="store_true", help="also the same methods of other libraries")
    parser.add_argument("--only-peers", action="store_true", help="only the methods of other libraries")
    parser.add_argument("--json", type=Path, metavar="FILE", help="add the results of every picture to this file")
    arguments = parser.parse_args()
    if not (arguments.folder / "boxes.csv").exists():
        sys.exit(f"There is no boxes.csv in {arguments.folder}.")
    saved: dict[str, Any] = {"machine": machine.describe(), "model": arguments.model, "results": {}}
    if arguments.json and arguments.json.exists():
        saved["results"] = json.loads(arguments.json.read_text())["results"]

    def save() -> None:
        if arguments.json:
            write_atomically(arguments.json, json.dumps(saved, indent=1).encode())

    classifier = load(arguments.model)
    able = [name for name, method in METHODS.items() if not lacks(classifier, method.needs)]
    chosen = choose_mappers(arguments.methods or [*BASELINES, *able], arguments.peers or arguments.only_peers)
    if arguments.only_peers:
        chosen = {name: mapper for name, mapper in chosen.items() if "," in name}
    if chosen:
        measure(read_folder(arguments.folder, classifier, arguments.pictures), chosen, saved["results"], save)
    print(
        f"{saved['machine']}\n{saved['model']}\n\n{format_table(saved['results'])}\n\n{format_comparison(saved['results'])}"
    )


if __name__ == "__main__":
    main()
