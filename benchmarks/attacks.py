"""Success rate and time of the attacks: python -m benchmarks.attacks DIR [--count 200] [--peer]

DIR holds ImageNet validation pictures and boxes.csv, as for benchmarks.accuracy. The first `count` pictures that the model
classifies correctly are attacked in their own pixels, written as PNG, read back, and classified again. An attack counts as a
success if it survives this. With --peer, Foolbox (requirements-bench.txt) and our PGD attack the same pictures, which are
placed on the canvas beforehand, because Foolbox works on canvases only. Both have the same epsilon, steps and step size, and
take all steps. The result of Foolbox is rounded to 8 bits.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import machine
from benchmarks.accuracy import Labelled, read_folder
from core.images import read
from models import DEFAULT, Classifier, load
from models.embedded import ARCHITECTURES, build_network, load_weights
from robustness.adversarial import attack

PEER_EPSILON, PEER_STEPS = 2, 10


def correctly_classified(classifier: Classifier, pictures: list[Labelled], count: int) -> list[Labelled]:
    """The first `count` pictures whose predicted class is correct."""
    chosen: list[Labelled] = []
    for picture in pictures:
        if len(chosen) < count and classifier.predict(picture.pixels, 1)[0].index == picture.class_index:
            chosen.append(picture)
    return chosen


def random_targets(classes: int, sources: list[int], seed: int = 0) -> list[int]:
    """A random other class for each class in `sources`."""
    rng = np.random.default_rng(seed)
    return [int((source + rng.integers(1, classes)) % classes) for source in sources]


def read_back(pixels: np.ndarray) -> np.ndarray:
    """The picture after it was written as PNG and read again."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return read(Image.open(file)).pixels


def print_row(
    name: str,
    attack_picture: Callable[[int], np.ndarray],
    is_success: Callable[[int, int], bool],
    classifier: Classifier,
    count: int,
) -> None:
    """Attack pictures and print the success rate and the seconds per picture.

    Args:
        name: The first column.
        attack_picture: Takes the number of a picture and returns the attacked pixels.
        is_success: Takes the number of a picture and the class predicted after the attack.
        classifier: The classifier that is attacked.
        count: The number of pictures. The time of the first one does not count, because TensorFlow traces there.
    """
    successes, seconds = 0, []
    for number in range(count):
        start = time.perf_counter()
        attacked = attack_picture(number)
        seconds.append(time.perf_counter() - start)
        successes += is_success(number, classifier.predict(read_back(attacked), 1)[0].index)
    print(f"{name:58} {100 * successes / count:9.1f} {np.mean(seconds[1:]):10.2f}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default=DEFAULT, choices=list(ARCHITECTURES))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--peer", action="store_true", help="compare with Foolbox instead")
    arguments = parser.parse_args()
    if not (arguments.folder / "boxes.csv").exists():
        sys.exit(f"There is no boxes.csv in {arguments.folder}.")
    classifier = load(arguments.model)
    pictures = correctly_classified(classifier, read_folder(arguments.folder), arguments.count)
    print(f"{machine.describe()}\n{arguments.model}, {len(pictures)} pictures that it classifies correctly\n")
    print(f"{'':58} {'success %':>9} {'s/picture':>10}")
    if arguments.peer:
        _compare_with_foolbox(classifier, pictures)
        return
    targets = random_targets(len(classifier.labels), [picture.class_index for picture in pictures])
    _measure("untargeted PGD, linf 2/255, up to 10 steps", classifier, pictures, None, epsilon=2, steps=10)
    name = "targeted PGD, linf 4/255, up to 40 steps, random classes"
    _measure(name, classifier, pictures, targets, epsilon=4, steps=40)


def _measure(
    name: str, classifier: Classifier, pictures: list[Labelled], targets: list[int] | None, epsilon: float, steps: int
) -> None:
    """Print the row of PGD with early stopping, towards one target per picture or untargeted."""

    def attack_picture(number: int) -> np.ndarray:
        target = targets[number] if targets else None
        pixels, settings = pictures[number].pixels, {"epsilon": epsilon, "steps": steps, "seed": number}
        result = attack(pixels, classifier, "pgd", target, early_stop=True, **settings)
        if result.linf > epsilon:
            raise ArithmeticError(f"The change is {result.linf} levels, but {epsilon} are allowed.")
        return result.attacked

    def is_success(number: int, class_index: int) -> bool:
        return class_index == targets[number] if targets else class_index != pictures[number].class_index

    print_row(name, attack_picture, is_success, classifier, len(pictures))


def _compare_with_foolbox(classifier: Classifier, pictures: list[Labelled]) -> None:
    import tensorflow as tf
    from foolbox import TensorFlowModel
    from foolbox.attacks import LinfPGD

    network = build_network(ARCHITECTURES[classifier.name], load_weights(classifier.name))
    logits = tf.function(lambda batch: network(batch, training=False)[1])  # traced, otherwise it is even slower
    size = (classifier.side, classifier.side)
    canvases = [np.asarray(Image.fromarray(p.pixels).resize(size[::-1], Image.Resampling.BICUBIC)) for p in pictures]
    canvases = [canvas for canvas in canvases if classifier.geometry(canvas.shape[:2]).box == (0, 0, *size)]

    sources = [classifier.predict(canvas, 1)[0].index for canvas in canvases]
    peer = LinfPGD(rel_stepsize=2.5 / PEER_STEPS, steps=PEER_STEPS)
    model = TensorFlowModel(lambda batch: logits(batch), bounds=(0, 255))

    def foolbox(number: int) -> np.ndarray:
        tf.random.set_seed(number)
        batch = tf.constant(canvases[number][None].astype(np.float32))
        _, clipped, _ = peer(model, batch, tf.constant([sources[number]], tf.int64), epsilons=float(PEER_EPSILON))
        return np.rint(np.asarray(clipped)[0]).astype(np.uint8)

    def thumbscope(number: int) -> np.ndarray:
        settings = {"epsilon": PEER_EPSILON, "steps": PEER_STEPS, "seed": number}
        return attack(canvases[number], classifier, "pgd", **settings).attacked

    def is_success(number: int, class_index: int) -> bool:
        return class_index != sources[number]

    name = f"Thumbscope, PGD, linf {PEER_EPSILON}/255, {PEER_STEPS} steps"
    print_row(name, thumbscope, is_success, classifier, len(canvases))
    print_row("Foolbox 3.3.4, the same settings", foolbox, is_success, classifier, len(canvases))


if __name__ == "__main__":
    main()
