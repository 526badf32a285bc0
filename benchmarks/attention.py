"""How often the hottest cell of a method lies on a planted disc: small vision transformers, trained here.

Each network tells red from blue discs among grey ones. "one disc": 60 pictures with a red or a blue disc, explained for the
class of this disc. "both": the same pictures with a disc of the other class too; the disc of the explained class counts. By
chance, about 4 of 60 are found. It takes some minutes on two cores:

    python -m benchmarks.attention
"""

from __future__ import annotations

import itertools

import numpy as np

from benchmarks import machine
from explain import explain
from models import Classifier
from models.from_keras import from_keras
from tests.transformers import SIDE, add_other_discs, discs, train, vit

METHODS = ("attention-rollout", "gradient-attention", "grad-cam", "saliency", "occlusion")
NEAR = 8  # pixels from the centre of a cell to the centre of a disc on which it lies, in each direction


def is_hit(picture: np.ndarray, classifier: Classifier, method: str, class_index: int, centre: tuple[int, int]) -> bool:
    """Whether the hottest cell of a map lies on the disc."""
    raw = explain(picture, classifier, method, class_index).raw
    row, column = np.unravel_index(raw.argmax(), raw.shape)
    place = (np.array([column, row]) + 0.5) * SIDE / len(raw)
    return bool(np.abs(place - centre).max() <= NEAR)


def main() -> None:
    """Train, measure and print the table."""
    print(f"{machine.describe()}\n")
    heads = " | ".join(f"{method}, {kind}" for method in METHODS for kind in ("one disc", "both"))
    print(
        f"| end of the network | blocks | seed | accuracy | {heads} |\n{'|---' * (4 + 2 * len(METHODS))}|", flush=True
    )
    pixels, classes, centres = discs(60, 2)
    both = add_other_discs(pixels, classes, centres)
    for class_token, blocks, seed in itertools.product((False, True), (2, 3), (1, 2, 3)):
        model = train(vit(class_token, blocks=blocks, seed=seed))
        accuracy = (model.predict(pixels.astype(np.float32), verbose=0).argmax(1) == classes).mean()
        classifier = from_keras(model)
        hits = [
            sum(
                is_hit(picture, classifier, method, int(class_index), centre)
                for picture, class_index, centre in zip(pictures, classes, centres, strict=True)
            )
            for method in METHODS
            for pictures in (pixels, both)
        ]
        end = "class token" if class_token else "mean of the tokens"
        print(f"| {end} | {blocks} | {seed} | {accuracy:.2f} | {' | '.join(map(str, hits))} |", flush=True)


if __name__ == "__main__":
    main()
