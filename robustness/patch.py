"""Adversarial patches: a small picture that makes a classifier predict one class wherever it is placed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import UserError
from core.images import Source, read
from core.optim import Adam
from models.classifier import Classifier, Prediction
from robustness.problem import AttackProblem

PLACES_PER_STEP = 4  # the gradient of a step is summed over this many random places
GRID = 5  # the patch is tested at GRID * GRID places per picture
RATE = 16  # levels, the step size at the start; it falls linearly to a tenth
TEST_EVERY = 10  # steps


@dataclass(frozen=True)
class AdversarialPatch:
    """A patch, and how well it works.

    `pixels`: uint8 (side, side, 3). `rate`: the share of the tested places where the first class is the target, in [0, 1].
    `target`: the target class with its mean probability at these places. `example`: the first picture with the patch on it.
    `steps`: the number of steps taken. `progress`: in [0, 1], 1 when finished.
    """

    pixels: np.ndarray
    rate: float
    target: Prediction
    example: np.ndarray
    steps: int
    seconds: float
    progress: float

    def to_dict(self) -> dict[str, Any]:
        """All facts except the pictures, ready for JSON."""
        return {
            "target": self.target.label,
            "rate": self.rate,
            "probability": self.target.probability,
            "steps": self.steps,
            "seconds": round(self.seconds, 2),
        }


def train_patch(
    images: Sequence[Source],
    classifier: Classifier,
    target: int | str,
    *,
    share: float = 0.5,
    steps: int = 300,
    seed: int = 0,
) -> Iterator[AdversarialPatch]:
    """Train a patch that makes pictures the target class wherever it lies on them.

    After Brown 2017, Adversarial Patch (https://arxiv.org/abs/1712.09665), but with random places only, no rotation and no
    scaling. Every step takes the sum of the gradients of the target's log-odds at 4 random places of random pictures, and one
    step of Adam.

    Args:
        images: The pictures to train on, as explain() takes them.
        classifier: The classifier to attack.
        target: The target class, by index or label.
        share: The side of the patch, as a share of the shortest side of all pictures, 0.05 to 0.9.
        steps: The number of steps.
        seed: The seed of the first patch and of the places.

    Yields:
        The patch after every 10 steps and after the last one, tested at 25 fixed places per picture.

    Raises:
        UserError: There is no picture, a number is out of range, or a picture is classified as the target already.
    """
    start = time.perf_counter()
    if not images:
        raise UserError("A patch needs at least one picture; give one or more.")
    if not 0.05 <= share <= 0.9:
        raise UserError(f"The side of a patch is 0.05 to 0.9 of the picture's shorter side; got {share:g}.")
    if steps < 1:
        raise UserError(f"The training of a patch takes at least 1 step; got {steps}.")
    class_index = classifier.index(target)
    pictures = [read(image).pixels for image in images]
    problems = [AttackProblem(pixels, classifier, class_index, "linf", 255) for pixels in pictures]
    side = max(4, round(share * min(min(pixels.shape[:2]) for pixels in pictures)))
    rng = np.random.default_rng(seed)
    patch = rng.uniform(96, 160, (side, side, 3)).astype(np.float32)
    adam = Adam(RATE, betas=(0.9, 0.99), epsilon=1e-12)
    for step in range(1, steps + 1):
        gradient = _sum_gradients(problems, patch, rng)
        patch = np.clip(patch + adam.step(gradient, RATE * (1 - 0.9 * (step - 1) / steps)), 0, 255)
        if step % TEST_EVERY == 0 or step == steps:
            rate, probability, example = _test_patch(problems, patch)
            yield AdversarialPatch(
                pixels=patch.round().astype(np.uint8),
                rate=rate,
                target=Prediction(class_index, classifier.labels[class_index], probability),
                example=example,
                steps=step,
                seconds=time.perf_counter() - start,
                progress=step / steps,
            )


def _sum_gradients(problems: list[AttackProblem], patch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The gradient of the target's log-odds with respect to the patch, (side, side, 3), summed over random places."""
    total, side = np.zeros_like(patch), len(patch)
    for _ in range(PLACES_PER_STEP):
        problem = problems[rng.integers(len(problems))]
        top, left = (int(rng.integers(length - side + 1)) for length in problem.pixels.shape[:2])
        perturbation = _place(problem.pixels, patch, top, left).astype(np.float32) - problem.pixels
        total += problem.gradient(perturbation)[top : top + side, left : left + side]
    return total


def _place(pixels: np.ndarray, patch: np.ndarray, top: int, left: int) -> np.ndarray:
    """The picture with the patch on it, rounded to uint8."""
    changed = pixels.copy()
    changed[top : top + patch.shape[0], left : left + patch.shape[1]] = patch.round()
    return changed


def _test_patch(problems: list[AttackProblem], patch: np.ndarray) -> tuple[float, float, np.ndarray]:
    """The success rate at a grid of places on every picture, the target's mean probability there, and an example."""
    successes, probabilities, examples = [], [], []
    for problem in problems:
        (height, width), side = problem.pixels.shape[:2], patch.shape[0]
        for top in np.linspace(0, height - side, GRID).astype(int):
            pictures = [_place(problem.pixels, patch, int(top), int(x)) for x in np.linspace(0, width - side, GRID)]
            logits = problem.classifier.forward(np.stack([problem.geometry.place(pixels) for pixels in pictures]))[1]
            successes += [problem.is_success(row) for row in logits]
            probabilities += list(problem.classifier.probabilities(logits)[:, problem.target])
            examples += pictures[3:4]
    return float(np.mean(successes)), float(np.mean(probabilities)), examples[3]
