"""How surely and how fast pictures are attacked: python -m benchmarks.attacks DIR [--count 200] [--peer]

DIR holds ImageNet validation pictures and boxes.csv, as for benchmarks.accuracy. The first `count` pictures that the model
gets right are attacked in their own pixels, written as PNG, read back, and classified again: that is what counts as
success. With --peer, Foolbox (requirements-bench.txt) and our PGD attack the same pictures laid on the canvas beforehand,
since Foolbox knows only canvases: same limit, steps, step size, all steps taken; its result is rounded to 8 bits.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import machine
from benchmarks.accuracy import Labelled, read_folder
from explain.adversarial import attack, targets
from models import DEFAULT, Classifier, load
from models.embedded import ARCHITECTURES, _weights, build
from models.picture import read

LIMIT, STEPS = 2, 10


def chosen(classifier: Classifier, pictures: list[Labelled], count: int) -> list[Labelled]:
    """The first `count` of those whose first class is right."""
    found: list[Labelled] = []
    for picture in pictures:
        if len(found) < count and classifier.predict(picture.pixels, 1)[0].index == picture.index:
            found.append(picture)
    return found


def read_back(pixels: np.ndarray) -> np.ndarray:
    """The picture after a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return read(Image.open(file)).pixels


def row(
    what: str, work: Callable[[int], np.ndarray], fooled: Callable[[int, int], bool], classifier: Classifier, count: int
) -> None:
    """Attack so many pictures and print success and seconds a picture, of which the first, which traces, is left out."""
    won, took = 0, []
    for number in range(count):
        start = time.perf_counter()
        attacked = work(number)
        took.append(time.perf_counter() - start)
        won += fooled(number, classifier.predict(read_back(attacked), 1)[0].index)
    print(f"{what:58} {100 * won / count:9.1f} {np.mean(took[1:]):10.2f}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default=DEFAULT, choices=list(ARCHITECTURES))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--peer", action="store_true", help="against Foolbox instead")
    arguments = parser.parse_args()
    if not (arguments.folder / "boxes.csv").exists():
        sys.exit(f"There is no boxes.csv in {arguments.folder}.")
    classifier = load(arguments.model)
    pictures = chosen(classifier, read_folder(arguments.folder), arguments.count)
    print(f"{machine.describe()}\n{arguments.model}, {len(pictures)} pictures that it gets right\n")
    print(f"{'':58} {'success %':>9} {'s/picture':>10}")
    if arguments.peer:
        _beside_foolbox(classifier, pictures)
        return

    sources = [picture.index for picture in pictures]
    others = targets(classifier, sources)
    asked: list[tuple[str, float, int, list[int] | None, bool]] = [
        ("untargeted PGD, linf 2/255, up to 10 steps", 2, 10, None, True),
        ("targeted PGD, linf 4/255, up to 40 steps, random classes", 4, 40, others, True),
    ]
    for what, epsilon, steps, wanted, early in asked:

        def work(
            number: int, epsilon: float = epsilon, steps: int = steps, wanted: Any = wanted, early: bool = early
        ) -> Any:
            target = wanted[number] if wanted else None
            found = attack(
                pictures[number].pixels,
                classifier,
                "pgd",
                target,
                epsilon=epsilon,
                steps=steps,
                seed=number,
                early=early,
            )
            if found.linf > epsilon:
                raise ArithmeticError(f"a change of {found.linf} levels where {epsilon} were allowed")
            return found.attacked

        def fooled(number: int, seen: int, wanted: Any = wanted) -> bool:
            return seen == wanted[number] if wanted else seen != sources[number]

        row(what, work, fooled, classifier, len(pictures))


def _beside_foolbox(classifier: Classifier, pictures: list[Labelled]) -> None:
    import tensorflow as tf
    from foolbox import TensorFlowModel
    from foolbox.attacks import LinfPGD

    network = build(ARCHITECTURES[classifier.name], _weights(classifier.name))
    logits = tf.function(lambda batch: network(batch, training=False)[1])  # traced, or it would be slower still
    size = (classifier.side, classifier.side)
    canvases = [np.asarray(Image.fromarray(p.pixels).resize(size[::-1], Image.Resampling.BICUBIC)) for p in pictures]
    canvases = [canvas for canvas in canvases if classifier.geometry(canvas.shape[:2]).box == (0, 0, *size)]

    sources = [classifier.predict(canvas, 1)[0].index for canvas in canvases]
    peer = LinfPGD(rel_stepsize=2.5 / STEPS, steps=STEPS)
    model = TensorFlowModel(lambda batch: logits(batch), bounds=(0, 255))

    def theirs(number: int) -> np.ndarray:
        tf.random.set_seed(number)
        batch = tf.constant(canvases[number][None].astype(np.float32))
        _, clipped, _ = peer(model, batch, tf.constant([sources[number]], tf.int64), epsilons=float(LIMIT))
        return np.rint(np.asarray(clipped)[0]).astype(np.uint8)

    def ours(number: int) -> np.ndarray:
        return attack(canvases[number], classifier, "pgd", epsilon=LIMIT, steps=STEPS, seed=number).attacked

    def fooled(number: int, seen: int) -> bool:
        return seen != sources[number]

    row(f"Thumbscope, PGD, linf {LIMIT}/255, {STEPS} steps", ours, fooled, classifier, len(canvases))
    row("Foolbox 3.3.4, the same", theirs, fooled, classifier, len(canvases))


if __name__ == "__main__":
    main()
