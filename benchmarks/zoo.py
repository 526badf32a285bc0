"""Open the families of keras.applications: python -m benchmarks.zoo [NAME ...] [--methods]

Each model has random weights and is opened in a process of its own. The table shows the time to open it, the engine that runs
it, the most memory that opening takes beside the model itself, the times of a forward pass and of Grad-CAM, and the methods
that it allows; with --methods each of them is run. Random weights give flat maps, so nothing is said about their quality.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from statistics import median

from benchmarks import machine

FAMILIES = (
    "ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2", "InceptionV3", "MobileNet",
    "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "NASNetMobile", "ResNet50", "ResNet50V2", "VGG16", "VGG19",
    "Xception",
)  # fmt: skip
ROUNDS = 5
SIDE = 224


def measure(name: str, methods: bool) -> dict[str, object]:
    """Open one family in this process, and measure it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np

    from explain import METHODS, explain
    from models.capabilities import lacks
    from models.from_keras import from_keras

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3

    model = getattr(keras.applications, name)(weights=None, input_shape=(SIDE, SIDE, 3))
    before, start = peak(), time.perf_counter()
    classifier = from_keras(model)
    opened, memory = time.perf_counter() - start, peak() - before
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    canvas = classifier.geometry((SIDE, SIDE)).place(pixels)[None]

    def milliseconds(work: object) -> float:
        times = []
        for _ in range(ROUNDS + 1):
            begin = time.perf_counter()
            work()  # type: ignore[operator]
            times.append(time.perf_counter() - begin)
        return 1000 * median(times[1:])

    able = [method.name for method in METHODS.values() if not lacks(classifier, method.needs)]
    if methods:
        able = [method for method in able if explain(pixels, classifier, method).heatmap.shape == (SIDE, SIDE)]
    return {
        "parameters": model.count_params() / 1e6,
        "opened": opened,
        "engine": type(classifier.engine).__name__.removesuffix("Engine"),
        "memory": memory,
        "forward": milliseconds(lambda: classifier.engine.forward(canvas)),
        "grad_cam": milliseconds(lambda: explain(pixels, classifier, "grad-cam")),
        "methods": f"{len(able)} of {len(METHODS)}",
    }


def main() -> None:
    """Parse the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(FAMILIES), help="of keras.applications")
    parser.add_argument("--methods", action="store_true", help="run every method that the model allows")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.names[0], arguments.methods)))
        return
    print(machine.describe())
    print("| model | parameters | opened in | memory for it | engine | forward pass | Grad-CAM | methods |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.names:
        command = [sys.executable, "-m", "benchmarks.zoo", name, "--one", *(["--methods"] if arguments.methods else [])]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            print(f"| {name} | {(run.stderr.strip().splitlines() or [f'status {run.returncode}'])[-1]} |")
            continue
        row = json.loads(run.stdout.splitlines()[-1])
        print(
            f"| {name} | {row['parameters']:.1f} M | {row['opened']:.0f} s | {row['memory'] / 1000:.1f} GB | {row['engine']} "
            f"| {row['forward']:.0f} ms | {row['grad_cam']:.0f} ms | {row['methods']} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
