"""How many pictures a second an audit looks at, by workers: python -m benchmarks.scale [--count 10000] [--ray]

Renders pictures into a folder, audits them in this process, with 1 and with 2 workers (and on Ray), and says whether the
figures are the same to the last bit and how much memory this process took. A picture counts as looked at when its prediction,
heatmap and shares are known; the few whose cues are exchanged are counted apart.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks import machine
from explain.audit import run as running
from models import load
from models.trained import Trained, save
from samples.scenes import VEHICLES, planted


def render(home: Path, count: int) -> Path:
    """Class folders of `count` pictures, made of 100 scenes mirrored and moved, and a head of random weights."""
    base = planted("ground", count=50, seed=0)
    rng = np.random.default_rng(0)
    for vehicle in VEHICLES:
        (home / "data" / vehicle).mkdir(parents=True)
    for number in range(count):
        scene = base[number % len(base)]
        pixels = np.roll(scene.image[:, :: 1 - 2 * int(rng.integers(2))], int(rng.integers(40)), axis=1)
        path = home / "data" / scene.vehicle / f"{number:07d}.jpg"
        cv2.imwrite(str(path), np.ascontiguousarray(pixels[..., ::-1]))
    weights = rng.normal(0, 1, (1280, 2)).astype(np.float32)
    save(Trained(load(), [(weights, np.zeros(2, np.float32))], VEHICLES, side=224), home / "model.npz")
    return home


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--sample", type=int, default=32)
    parser.add_argument("--ray", action="store_true", help="on Ray too")
    asked = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        home = render(Path(folder), asked.count)
        recipe, _ = running.folder(str(home / "model.npz"), home / "data", sample=asked.sample)
        print(f"{asked.count} pictures of 320 x 180, {2 * asked.sample} looked at closely\n")
        print(f"{'way':12} {'seconds':>8} {'pictures/s':>11} {'peak memory, MB':>16}  figures")
        first = ""
        ways: list[tuple[str, int, str | None]] = [("here", 0, None), ("1 worker", 1, None), ("2 workers", 2, None)]
        for name, workers, ray in [*ways, ("ray, 1", 1, "local"), ("ray, 2", 2, "local")][: 5 if asked.ray else 3]:
            begun = time.perf_counter()
            found = running.run(recipe, workers=workers, ray=ray)
            seconds = time.perf_counter() - begun
            facts = json.dumps(found.facts()) + str([each.heat.tobytes() for each in found.classes])
            first = first or facts
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            same = "the same" if facts == first else "DIFFERENT"
            print(f"{name:12} {seconds:8.1f} {asked.count / seconds:11.1f} {memory:16.0f}  {same}", flush=True)


if __name__ == "__main__":
    main()
