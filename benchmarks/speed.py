"""Speed and memory beside other libraries: python -m benchmarks.speed [--json FILE] [--methods NAME ...] [--repeat N]

Covers every method that Xplique, tf-keras-vis or tf-explain also has. All libraries get the same network (mobilenet_v2), the
same photograph on a canvas of 224x224, the same class and the same budget (passes, samples, steps, patches). They run in
turns; the figures are medians. Our time is that of explain(), from the picture's pixels to the map in these pixels. The time
of another library (peer) is that of its own call, from the canvas to the map on it, after a first call. Memory is the peak of
a new process, minus its memory after network and libraries are loaded (Linux only). Needs requirements-bench.txt.
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

import numpy as np

from benchmarks import machine
from benchmarks.peers import (
    MODULES,
    PEERS,
    comparison_network,
    comparison_options,
    describe_missing,
    describe_versions,
    installed,
)
from core.files import write_atomically
from core.images import read, resize
from explain import METHODS, explain
from models import load

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "samples" / "photos" / "cat.jpg"
MODEL = "mobilenet_v2"
OURS = "thumbscope"
SPAN, LEAST = 8.0, 2  # seconds per library, and the number of turns that slow ones get in any case
# How many times faster than the fastest other library our method has to be; 1 for all others.
TARGETS = {
    **dict.fromkeys(("grad-cam", "grad-cam++", "layer-cam"), 5.0),
    **dict.fromkeys(("occlusion", "rise", "hsic", "sobol", "score-cam", "lime"), 2.5),
    **dict.fromkeys(("saliency", "smoothgrad", "integrated-gradients"), 1.5),
}


def installed_libraries(method: str) -> list[str]:
    """Our library, and the installed peers that have this method."""
    return [OURS, *(peer for peer in PEERS[method] if installed(peer))]


def prepare_call(method: str, library: str) -> Callable[[], np.ndarray]:
    """A function that makes the map of a library. Everything it needs is loaded beforehand."""
    classifier = load(MODEL)
    pixels = resize(read(PHOTO).pixels, (classifier.side, classifier.side))
    canvas = pixels.astype(np.float32)[None]
    class_index = int(classifier.forward(canvas)[1][0].argmax())
    options = comparison_options(method)
    network = comparison_network(classifier)
    if library == OURS:
        return lambda: explain(pixels, classifier, method, class_index, **options).heatmap
    return lambda: PEERS[method][library](network, canvas, class_index, options)[0]


def measure_seconds(method: str, repeat: int) -> dict[str, float]:
    """The median seconds of each library. Measured in turns, so that other work of the machine affects all of them alike."""
    calls = {library: prepare_call(method, library) for library in installed_libraries(method)}
    for call in calls.values():
        call()  # traces
    times: dict[str, list[float]] = {library: [] for library in calls}
    begin = time.perf_counter()
    for turn in range(repeat):
        if turn >= LEAST and time.perf_counter() - begin > SPAN * len(calls):
            break
        for library, call in calls.items():
            start = time.perf_counter()
            call()
            times[library].append(time.perf_counter() - start)
    return {library: median(values) for library, values in times.items()}


def measure_peak(method: str, library: str) -> float:
    """Peak memory in MB of two calls in a new process, without what is loaded before the calls."""
    command = [sys.executable, "-m", "benchmarks.speed", "--peak", method, library]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _measure_own_peak(method: str, library: str) -> float:
    """The peak memory of this process."""
    call = prepare_call(method, library)
    if library in MODULES:
        __import__(MODULES[library])
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak that the kernel records
    before = _status_kb("VmRSS")
    call()
    call()
    return (_status_kb("VmHWM") - before) / 1024


def _status_kb(field: str) -> int:
    """A field of /proc/self/status, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field)))


def empty_row(method: str) -> dict[str, object]:
    """The facts about a method that are not measured."""
    return {
        "cost": METHODS[method].cost,
        "options": comparison_options(method),
        "target": TARGETS.get(method, 1.0),
        "seconds": {},
        "peak_mb": {},
    }


def format_row(method: str, row: dict) -> str:
    """A line of the table."""
    times, peaks = row["seconds"], row["peak_mb"]
    theirs = {library: seconds for library, seconds in times.items() if library != OURS}
    ratio = min(theirs.values()) / times[OURS] if theirs else float("nan")
    cells = [
        method,
        f"{1000 * times[OURS]:.0f}" if times else "",
        ", ".join(f"{library} {1000 * seconds:.0f}" for library, seconds in theirs.items()),
        f"{ratio:.1f}",
        f"{row['target']:.1f}",
        f"{peaks[OURS]:.0f}" if peaks else "",
        ", ".join(f"{library} {peak:.0f}" for library, peak in peaks.items() if library != OURS),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure one method after the other, save the results, and print a table of all saved results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="add the results to this file")
    parser.add_argument("--methods", nargs="*", choices=list(PEERS), default=list(PEERS), metavar="NAME")
    parser.add_argument("--repeat", type=int, default=25, help="turns of the fast methods; slow ones get two")
    parser.add_argument("--only", choices=("time", "memory"), help="measure only one of them")
    parser.add_argument("--peak", nargs=2, metavar=("METHOD", "LIBRARY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        print(_measure_own_peak(*arguments.peak))
        return
    if describe_missing():
        print(describe_missing())
    if not any(map(installed, MODULES)):
        sys.exit("No other library is installed; there is nothing to compare with.")
    facts = {"machine": machine.describe(), "peers": describe_versions(), "model": MODEL, "rows": {}}
    if arguments.json and arguments.json.exists():
        facts["rows"] = json.loads(arguments.json.read_text(encoding="utf-8"))["rows"]
    rows: dict = facts["rows"]  # type: ignore[assignment]
    for method in arguments.methods:
        if len(installed_libraries(method)) == 1:
            continue
        row = rows[method] = empty_row(method) | {
            name: rows.get(method, {}).get(name, {}) for name in ("seconds", "peak_mb")
        }
        if arguments.only != "memory":
            row["seconds"] = measure_seconds(method, arguments.repeat)
        if arguments.only != "time" and Path("/proc/self/clear_refs").exists():
            row["peak_mb"] = {library: measure_peak(method, library) for library in installed_libraries(method)}
        if arguments.json:
            write_atomically(arguments.json, json.dumps(facts, indent=1).encode())
    print(f"{machine.describe()}, {describe_versions()}")
    print(f"{MODEL}, 224x224, equal budgets; peak MB without what is loaded before\n")
    print("| method | ours, ms | peers, ms | times faster than the fastest peer | wanted | ours, MB | peers, MB |")
    print("|---|--:|---|--:|--:|--:|---|")
    for method in filter(rows.__contains__, PEERS):
        print(format_row(method, rows[method]))


if __name__ == "__main__":
    main()
