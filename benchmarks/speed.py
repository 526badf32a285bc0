"""Ours beside the libraries people use: python -m benchmarks.speed [--json FILE] [--methods NAME ...] [--repeat N]

Every method that Xplique, tf-keras-vis or tf-explain also has, on mobilenet_v2: the same network, the same photograph on a
canvas of 224x224, the same class and the same budget (passes, samples, steps, patches), ours and theirs in turn in one run,
medians. Ours is explain(), from the picture's pixels to the map in the picture's own pixels; theirs is their own call, warm,
from the canvas to the map on it. Memory is the peak of a fresh process of each over what it held with network and libraries
loaded (Linux only). Needs requirements-bench.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks import machine
from benchmarks.peers import MODULES, PEERS, installed, missing, network_of, options_of, versions
from explain import METHODS, explain
from models import load
from models.engine import write_atomically
from models.picture import read, resize

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "samples" / "photos" / "cat.jpg"
MODEL = "mobilenet_v2"
OURS = "thumbscope"
SPAN, LEAST = 8.0, 2  # seconds that one contender gets, and turns that the slow ones get even so
TARGETS = {
    **dict.fromkeys(("grad-cam", "grad-cam++", "layer-cam"), 5.0),
    **dict.fromkeys(("occlusion", "rise", "hsic", "sobol", "score-cam", "lime"), 2.5),
    **dict.fromkeys(("saliency", "smoothgrad", "integrated-gradients"), 1.5),
}


def contenders(method: str) -> list[str]:
    """Ours, and the peers that have this method and are here."""
    return [OURS, *(peer for peer in PEERS[method] if installed(peer))]


def prepare(method: str, who: str) -> Callable[[], np.ndarray]:
    """A call that makes one contender's map of the photograph, with everything it needs loaded."""
    classifier = load(MODEL)
    pixels = resize(read(PHOTO).pixels, (classifier.side, classifier.side))
    canvas = pixels.astype(np.float32)[None]
    index = int(classifier.forward(canvas)[1][0].argmax())
    options = options_of(method)
    network = network_of(classifier)
    if who == OURS:
        return lambda: explain(pixels, classifier, method, index, **options).heatmap
    return lambda: PEERS[method][who](network, canvas, index, options)[0]


def seconds(method: str, repeat: int) -> dict[str, float]:
    """The median seconds of each contender, in turns so that whatever else the machine does hits all alike."""
    works = {who: prepare(method, who) for who in contenders(method)}
    for work in works.values():
        work()  # traces
    times: dict[str, list[float]] = {who: [] for who in works}
    begin = time.perf_counter()
    for turn in range(repeat):
        if turn >= LEAST and time.perf_counter() - begin > SPAN * len(works):
            break
        for who, work in works.items():
            start = time.perf_counter()
            work()
            times[who].append(time.perf_counter() - start)
    return {who: median(found) for who, found in times.items()}


def peak(method: str, who: str) -> float:
    """MB by which a contender's memory rises above what is loaded, at most, in two calls of a fresh process."""
    command = [sys.executable, "-m", "benchmarks.speed", "--peak", method, who]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _measure_peak(method: str, who: str) -> float:
    work = prepare(method, who)
    if who in MODULES:
        __import__(MODULES[who])
    Path("/proc/self/clear_refs").write_text("5")  # the kernel's high-water mark starts again from here
    before = _status("VmRSS")
    work()
    work()
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    """kB from /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field)))


def row(method: str) -> dict[str, object]:
    """What does not have to be measured."""
    return {
        "cost": METHODS[method].cost,
        "options": options_of(method),
        "target": TARGETS.get(method, 1.0),
        "seconds": {},
        "peak_mb": {},
    }


def line(method: str, found: dict) -> str:
    """A line of the table."""
    took, peaks = found["seconds"], found["peak_mb"]
    theirs = {who: seconds for who, seconds in took.items() if who != OURS}
    ratio = min(theirs.values()) / took[OURS] if theirs else float("nan")
    cells = [
        method,
        f"{1000 * took[OURS]:.0f}" if took else "",
        ", ".join(f"{who} {1000 * seconds:.0f}" for who, seconds in theirs.items()),
        f"{ratio:.1f}",
        f"{found['target']:.1f}",
        f"{peaks[OURS]:.0f}" if peaks else "",
        ", ".join(f"{who} {peak:.0f}" for who, peak in peaks.items() if who != OURS),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, one method after the other, write the JSON, and print the table of all that it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="kept there, and added to what it holds")
    parser.add_argument("--methods", nargs="*", choices=list(PEERS), default=list(PEERS), metavar="NAME")
    parser.add_argument("--repeat", type=int, default=25, help="turns of the quick methods; slow ones get two")
    parser.add_argument("--only", choices=("time", "memory"), help="measure one of the two")
    parser.add_argument("--peak", nargs=2, metavar=("METHOD", "WHO"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        print(_measure_peak(*arguments.peak))
        return
    if missing():
        print(missing())
    if not any(map(installed, MODULES)):
        sys.exit("There is nobody to compare with.")
    facts = {"machine": machine.describe(), "peers": versions(), "model": MODEL, "rows": {}}
    if arguments.json and arguments.json.exists():
        facts["rows"] = json.loads(arguments.json.read_text(encoding="utf-8"))["rows"]
    rows: dict = facts["rows"]  # type: ignore[assignment]
    for method in arguments.methods:
        if len(contenders(method)) == 1:
            continue
        found = rows[method] = row(method) | {
            name: rows.get(method, {}).get(name, {}) for name in ("seconds", "peak_mb")
        }
        if arguments.only != "memory":
            found["seconds"] = seconds(method, arguments.repeat)
        if arguments.only != "time" and Path("/proc/self/clear_refs").exists():
            found["peak_mb"] = {who: peak(method, who) for who in contenders(method)}
        if arguments.json:
            write_atomically(arguments.json, json.dumps(facts, indent=1).encode())
    print(f"{machine.describe()}, {versions()}\n{MODEL}, 224x224, equal budgets; peak MB above what is loaded\n")
    print("| method | ours, ms | peers, ms | times the fastest | wanted | ours, MB | peers, MB |")
    print("|---|--:|---|--:|--:|--:|---|")
    for method in filter(rows.__contains__, PEERS):
        print(line(method, rows[method]))


if __name__ == "__main__":
    main()
