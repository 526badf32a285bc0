"""How many pictures per second does an audit measure? python -m benchmarks.scale [--count 10000] [--ray]

Renders pictures into a folder and audits them in this process, with 1 and with 2 workers, and with --ray on Ray. The table
shows the speed, whether the figures are equal to the last bit, and the peak memory of this process. A picture counts when its
prediction, heatmap and shares are known. The few pictures whose cues are exchanged are counted separately.
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

from audit.auditor import AuditSettings
from audit.run import run_audit
from audit.shards import recipe_from_folder
from benchmarks import machine
from models import load
from models.trained_head import TrainedClassifier, save
from samples.shortcuts import VEHICLES, render_scenes


def make_folder(home: Path, count: int) -> Path:
    """Make class folders with `count` pictures (100 scenes, mirrored and moved) and a model with a random linear head."""
    base = render_scenes("ground", count=50, seed=0)
    rng = np.random.default_rng(0)
    for vehicle in VEHICLES:
        (home / "data" / vehicle).mkdir(parents=True)
    for number in range(count):
        scene = base[number % len(base)]
        pixels = np.roll(scene.image[:, :: 1 - 2 * int(rng.integers(2))], int(rng.integers(40)), axis=1)
        path = home / "data" / scene.vehicle / f"{number:07d}.jpg"
        cv2.imwrite(str(path), np.ascontiguousarray(pixels[..., ::-1]))
    weights = rng.normal(0, 1, (1280, 2)).astype(np.float32)
    save(TrainedClassifier(load(), [(weights, np.zeros(2, np.float32))], VEHICLES, side=224), home / "model.npz")
    return home


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--sample", type=int, default=32)
    parser.add_argument("--ray", action="store_true", help="also on Ray")
    options = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        home = make_folder(Path(folder), options.count)
        recipe, _ = recipe_from_folder(
            str(home / "model.npz"), home / "data", settings=AuditSettings(sample=options.sample)
        )
        print(f"{options.count} pictures of 320 x 180, cues exchanged in {2 * options.sample}\n")
        print(f"{'way':12} {'seconds':>8} {'pictures/s':>11} {'peak memory, MB':>16}  figures")
        first = ""
        backends: list[tuple[str, int, str | None]] = [("here", 0, None), ("1 worker", 1, None), ("2 workers", 2, None)]
        if options.ray:
            backends += [("ray, 1", 1, "local"), ("ray, 2", 2, "local")]
        for name, workers, ray in backends:
            start = time.perf_counter()
            result = run_audit(recipe, workers=workers, ray=ray)
            seconds = time.perf_counter() - start
            facts = json.dumps(result.to_dict()) + str([class_audit.heat.tobytes() for class_audit in result.classes])
            first = first or facts
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            same = "the same" if facts == first else "DIFFERENT"
            print(f"{name:12} {seconds:8.1f} {options.count / seconds:11.1f} {memory:16.0f}  {same}", flush=True)


if __name__ == "__main__":
    main()
