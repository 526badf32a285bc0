"""How long a user waits: python -m benchmarks.latency [--page]

Without a flag: the time of explain() on a 1280x720 picture, for the fast methods and occlusion. It is compared with the bare
forward pass of the same network on the same canvas. All are measured in turns; the figures are medians.

With --page (needs requirements-dev.txt): the time from `python app.py` to the first answer of the page. Then, in a real
browser, the time from a new picture to its heatmap on the screen, while TensorFlow is being imported and afterwards.
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
from models import load
from models.embedded import ARCHITECTURES

ROOT = Path(__file__).parents[1]
FAST = ("grad-cam", "cam", "layer-cam", "saliency")


def measure_seconds(work: Callable[[], object]) -> float:
    """The wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def medians_in_turns(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median seconds of each. Measured in turns, so that other work of the machine affects all of them alike."""
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(measure_seconds(work))
    return {name: median(values) for name, values in times.items()}


def measure_methods(name: str, rounds: int) -> None:
    """Print the table of methods for one model."""
    pixels = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    classifier = load(name)
    canvas = classifier.geometry((720, 1280)).place(pixels)[None]
    works: dict[str, Callable[[], object]] = {"bare forward pass": lambda: classifier.engine.forward(canvas)}
    works |= {method: lambda method=method: explain(pixels, classifier, method) for method in FAST}  # type: ignore[misc]
    times = medians_in_turns(works, rounds)
    times |= medians_in_turns({"occlusion": lambda: explain(pixels, classifier, "occlusion")}, 3)
    print(f"\n{name}, 1280x720 on a canvas of {canvas.shape[2]}x{canvas.shape[1]}\n{'':20} {'ms':>8} {'ratio':>7}")
    for work, seconds in times.items():
        print(f"{work:20} {seconds * 1000:8.1f} {seconds / times['bare forward pass']:7.1f}")


def measure_page() -> None:
    """Print the time until the page answers, and the time until it has explained a picture."""
    from tests.browser.app import chromium, running

    start = time.perf_counter()
    with running() as address:
        print(f"\n`python app.py` to the first answer: {time.perf_counter() - start:.1f} s")
        with chromium() as browser:
            _time_upload(browser, address, "while TensorFlow is being imported")
            time.sleep(20)
            _time_upload(browser, address, "afterwards")


def _time_upload(browser: object, address: str, when: str) -> None:
    """Print the time from the load of the page to its example on the screen, and from an upload to its heatmap there."""
    tab = browser.new_page()  # type: ignore[attr-defined]
    painted = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    tab.goto(address)
    start = time.perf_counter()
    tab.wait_for_selector("#viewer .viewer[data-drawn]")
    print(f"page to example on screen, {when}: {time.perf_counter() - start:.2f} s")
    start = time.perf_counter()
    tab.locator("#picture input[type=file]").set_input_files(ROOT / "samples" / "thumbnails" / "orbit-0.jpg")
    tab.wait_for_selector("#viewer .viewer[data-sample='orbit-0']")
    tab.evaluate(painted)
    print(f"1280x720 picture to heatmap on screen, {when}: {time.perf_counter() - start:.2f} s")
    tab.close()


def main() -> None:
    """Parse the arguments, measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="measure the page in a browser instead")
    parser.add_argument("--rounds", type=int, default=30, help="of the fast methods (default: 30)")
    arguments = parser.parse_args()
    print(machine.describe())
    if arguments.page:
        measure_page()
        return
    for name in ARCHITECTURES:
        measure_methods(name, arguments.rounds)


if __name__ == "__main__":
    main()
