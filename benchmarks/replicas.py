"""Explanations on Ray, while replicas are killed: python -m benchmarks.replicas [--count 200] [--replicas 2]

Needs requirements-ray.txt. Starts Ray here, asks for explanations from several threads, kills one replica after the other
with SIGKILL, and compares every answer with the one of this process. Prints how many answers came, from where, and how fast.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from core.images import Picture, read
from explain import Explanation
from explain.api import ExplainSettings
from models import load
from samples import SAMPLES
from ui import monitor
from ui.ray_explainers import RayExplainers, connect

THREADS = 8
METHODS = ("grad-cam", "layer-cam", "occlusion")
OPTIONS: dict[str, dict[str, Any]] = {"occlusion": {"patch": 64, "stride": 32}}


def replica_processes() -> list[int]:
    """The processes of the replicas, from their titles."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if title.startswith("ray::ServeReplica:thumbscope"):
            found.append(int(folder.name))
    return found


def settings_of(method: str) -> ExplainSettings:
    """The settings of a request."""
    return ExplainSettings(method, options=OPTIONS.get(method, {}))


def run(explainers: RayExplainers, count: int, kill: bool) -> str:
    """Ask for explanations and compare them. Returns a line of figures."""
    classifier = load()
    pictures: list[Picture] = [read(sample.path) for sample in SAMPLES]
    right = {
        (place, method): settings_of(method).explain(picture, classifier)
        for place, picture in enumerate(pictures)
        for method in METHODS
    }
    done = threading.Event()
    killed = 0
    fallbacks = monitor.fallbacks._value.get()

    def kill_replicas() -> None:
        nonlocal killed
        while not done.wait(4):
            for process in replica_processes()[:1]:
                os.kill(process, signal.SIGKILL)
                killed += 1

    def ask(number: int) -> bool:
        place, method = number % len(pictures), METHODS[number % len(METHODS)]
        *_, explanation = explainers.stream(settings_of(method), pictures[place], classifier, lambda: False)
        return same(explanation, right[place, method])

    killer = threading.Thread(target=kill_replicas)
    if kill:
        killer.start()
    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(ask, range(count)))
    seconds = time.perf_counter() - start
    done.set()
    if kill:
        killer.join()
    here = monitor.fallbacks._value.get() - fallbacks
    return (
        f"{count} asked, {len(answers)} answered, {answers.count(False)} wrong, {killed} replicas killed, "
        f"{here:.0f} computed by the page, {count / seconds:.1f} per second"
    )


def same(first: Explanation, second: Explanation) -> bool:
    """Whether both have the same classes and map."""
    near = np.allclose(first.raw, second.raw, rtol=0, atol=1e-5 * max(1.0, float(np.abs(second.raw).max())))
    return near and [prediction.label for prediction in first.top] == [prediction.label for prediction in second.top]


def main() -> None:
    """Parse the arguments, start Ray, measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replicas", description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--replicas", type=int, default=2, help="at most (default: 2)")
    parser.add_argument("--address", default="local", help="of a Ray cluster; by default Ray starts here")
    arguments = parser.parse_args()
    print(machine.describe())
    explainers = connect(arguments.address, (1, arguments.replicas))
    run(explainers, 8, kill=False)  # the first requests are slower
    print("undisturbed:", run(explainers, arguments.count, kill=False), flush=True)
    print("with kills:", run(explainers, arguments.count, kill=True), flush=True)
    print("replicas at the end:", len(replica_processes()), flush=True)
    import ray

    ray.shutdown()
    print("without Ray:", run(explainers, arguments.count // 10, kill=False))


if __name__ == "__main__":
    main()
