"""Whether what one network paints is a picture of the class to another: python -m benchmarks.dreams [--out DIR]

For ten classes, named before any was painted, the defaults of explain.visualise on one embedded classifier, from noise,
with the probability it gives its own picture, and what the other embedded classifier, which took no part, makes of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from benchmarks import machine
from explain.visualise import dream
from models import DEFAULT, load
from models.embedded import ARCHITECTURES

CLASSES = (
    "tarantula", "goldfish", "hen", "espresso", "flamingo", "pineapple", "strawberry", "zebra", "school bus", "volcano",
)  # fmt: skip


def main() -> None:
    """Print the table."""
    embedded = list(ARCHITECTURES)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT, choices=embedded, help="who paints")
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    arguments = parser.parse_args()
    painter, judge = (load(name) for name in sorted(embedded, key=lambda name: name != arguments.model))
    print(f"{machine.describe()}\n{painter.name} paints, {judge.name} looks\n")
    print(f"{'class':12} {'own %':>7} {'rank':>5} {'other %':>8} {'seconds':>8}   seen first by the other")
    within = 0
    for number, label in enumerate(CLASSES):
        if number == 0:
            dream(painter, label, steps=1)  # imports TensorFlow and traces
        found = dream(painter, label, every=1000)
        seen = judge.predict(found.pixels, len(judge.labels))
        rank = [prediction.label for prediction in seen].index(label)
        within += rank < 5
        print(
            f"{label:12} {100 * found.score:7.1f} {rank + 1:5} {100 * seen[rank].probability:8.1f} {found.seconds:8.1f}   "
            f"{seen[0].label} {seen[0].probability:.0%}",
            flush=True,
        )
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            Image.fromarray(found.pixels).save(arguments.out / f"{label}.png")
    print(f"\nWithin the other's first five: {within} of {len(CLASSES)}")


if __name__ == "__main__":
    main()
