"""Whether a second network recognises feature visualisations of a first: python -m benchmarks.visualise [--out DIR]

For ten classes, chosen before the first run, one embedded classifier makes a visualisation from noise with the default
options. The table shows the probability of the class for this classifier, and the rank and probability of the class for the
other embedded classifier, which took no part in the optimisation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from benchmarks import machine
from models import DEFAULT, load
from models.embedded import ARCHITECTURES
from visualise import visualise

CLASSES = (
    "tarantula", "goldfish", "hen", "espresso", "flamingo", "pineapple", "strawberry", "zebra", "school bus", "volcano",
)  # fmt: skip


def main() -> None:
    """Print the table."""
    embedded = list(ARCHITECTURES)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT, choices=embedded, help="the classifier that is visualised")
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    arguments = parser.parse_args()
    classifier, judge = (load(name) for name in sorted(embedded, key=lambda name: name != arguments.model))
    print(f"{machine.describe()}\nvisualisations of {classifier.name}, classified by {judge.name}\n")
    print(f"{'class':12} {'own %':>7} {'rank':>5} {'other %':>8} {'seconds':>8}   first class of the other network")
    in_first_five = 0
    visualise(classifier, CLASSES[0], steps=1)  # imports TensorFlow and traces
    for label in CLASSES:
        visualisation = visualise(classifier, label, every=1000)
        predictions = judge.predict(visualisation.pixels, len(judge.labels))
        rank = [prediction.label for prediction in predictions].index(label)
        in_first_five += rank < 5
        first, own = predictions[0], visualisation.score
        print(
            f"{label:12} {100 * own:7.1f} {rank + 1:5} {100 * predictions[rank].probability:8.1f} "
            f"{visualisation.seconds:8.1f}   {first.label} {first.probability:.0%}",
            flush=True,
        )
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            Image.fromarray(visualisation.pixels).save(arguments.out / f"{label}.png")
    print(f"\nAmong the first five classes of the other network: {in_first_five} of {len(CLASSES)}")


if __name__ == "__main__":
    main()
