"""How long one waits: python -m benchmarks.latency [--page]

Without a flag: the quick methods and occlusion through explain() on a 1280x720 picture against the bare forward pass of
the same network on the same canvas, in turns, medians. With --page: the page from `python app.py` to its first answer,
and in a real browser from a picture's arrival to its heatmap on screen, before TensorFlow is loaded and after (needs
requirements-dev.txt).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import machine
from explain import explain
from models import MODELS, load

ROOT = Path(__file__).parents[1]
QUICK = ("grad-cam", "cam", "layer-cam", "saliency")


def seconds(work: Callable[[], object]) -> float:
    """The wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median seconds of each, measured in turns so that whatever else the machine does hits all alike."""
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    return {name: median(found) for name, found in times.items()}


def methods(name: str, rounds: int) -> None:
    """Print the table of methods for one model."""
    pixels = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    classifier = load(name)
    canvas = classifier.geometry((720, 1280)).place(pixels)[None]
    works: dict[str, Callable[[], object]] = {"bare forward pass": lambda: classifier.engine.forward(canvas)}
    works |= {method: lambda method=method: explain(pixels, classifier, method) for method in QUICK}  # type: ignore[misc]
    found = in_turns(works, rounds)
    found |= in_turns({"occlusion": lambda: explain(pixels, classifier, "occlusion")}, 3)
    print(f"\n{name}, 1280x720 on a canvas of {canvas.shape[2]}x{canvas.shape[1]}\n{'':20} {'ms':>8} {'ratio':>7}")
    for what, took in found.items():
        print(f"{what:20} {took * 1000:8.1f} {took / found['bare forward pass']:7.1f}")


def page() -> None:
    """Print how long the page takes to answer, and a picture to be explained on it."""
    from tests.browser.app import chromium, running

    start = time.perf_counter()
    with running() as address:
        print(f"\n`python app.py` to the first answer: {time.perf_counter() - start:.1f} s")
        with chromium() as browser:
            _visit(browser, address, "while TensorFlow is being imported")
            time.sleep(20)
            _visit(browser, address, "afterwards")


def _visit(browser: object, address: str, when: str) -> None:
    tab = browser.new_page()  # type: ignore[attr-defined]
    tab.goto(address)
    tab.wait_for_selector("#picture input[type=file]", state="attached")
    start = time.perf_counter()
    tab.locator("#picture input[type=file]").set_input_files(ROOT / "samples" / "thumbnails" / "orbit-0.jpg")
    tab.wait_for_function("() => document.querySelectorAll('#overlay img').length == 2")
    tab.wait_for_function("() => [...document.querySelectorAll('#overlay img')].every((img) => img.complete)")
    print(f"1280x720 picture to heatmap on screen, {when}: {time.perf_counter() - start:.2f} s")
    tab.close()


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="measure the page instead")
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    print(machine.describe())
    if arguments.page:
        page()
        return
    for name in (name for name, facts in MODELS.items() if facts.embedded):
        methods(name, arguments.rounds)


if __name__ == "__main__":
    main()
