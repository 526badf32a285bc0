"""Adversarial attacks: small changes of a picture that change its classification.

An attack changes the picture's own 8-bit values, whatever the picture's size. Every picture that it classifies is a real
uint8 picture, placed on the network's canvas like any other. Gradients go back from the canvas to the picture
(`Geometry.pull_back`). So the result survives a PNG file and is classified as reported after it is read back. Between steps,
perturbations keep fractions of a level, because rounding at every step would remove small changes.

Norms: "linf" is the largest change of any value in levels, so epsilon 2 means 2/255. "l2" is the Euclidean norm of the
perturbation with pixels in [0, 1], as in the literature.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from core.errors import UserError, unknown
from core.images import Source, read
from core.iterate import last_of
from models.classifier import Classifier, Prediction
from robustness.attack_methods import ATTACKS, AttackMethod
from robustness.problem import DEFAULT_EPSILON, AttackProblem, AttackResult


@dataclass(frozen=True)
class AttackSettings:
    """The settings that all attacks share. None means the default of the method or of the norm.

    `norm`: "linf" or "l2". `epsilon`: the perturbation budget, in levels of 255 (linf) or as a Euclidean norm with pixels in
    [0, 1] (l2). `steps`: the number of steps. `seed`: the seed of the random start. `early_stop`: stop at the first success.
    """

    norm: str | None = None
    epsilon: float | None = None
    steps: int | None = None
    seed: int = 0
    early_stop: bool = False

    def with_defaults(self, method: AttackMethod) -> tuple[str, float, int]:
        """Norm, epsilon and number of steps, with the defaults of `method`. Raises UserError if they do not fit it."""
        norm = self.norm or method.norms[0]
        if norm not in DEFAULT_EPSILON:
            raise unknown("norm", norm, DEFAULT_EPSILON)
        if norm not in method.norms:
            raise UserError(
                f"{method.title} is defined for {' and '.join(method.norms)}, not for {norm}; choose another method."
            )
        epsilon = DEFAULT_EPSILON[norm] if self.epsilon is None else float(self.epsilon)
        if norm == "linf" and not 1 <= epsilon <= 255:
            raise UserError(
                f"Epsilon must be 1 to 255 levels, because 1 level is the smallest change of an 8-bit picture; got {epsilon:g}."
            )
        if not 0 < epsilon < math.inf:
            raise UserError(f"Epsilon must be a number above 0; got {epsilon:g}.")
        steps = method.steps if self.steps is None else self.steps
        if steps < 1:
            raise UserError(f"An attack takes at least 1 step; got {steps}.")
        return norm, epsilon, steps


def attack(
    image: Source, classifier: Classifier, method: str = "pgd", target: int | str | None = None, **settings: Any
) -> AttackResult:
    """Change `image` so that `classifier` predicts `target`, or any class except the one it predicts now.

    Args:
        image: The picture, as explain() takes it.
        classifier: The classifier to attack.
        method: A name in ATTACKS.
        target: The target class, by index or label (in any case). None means any class except the predicted one.
        settings: Fields of AttackSettings: `norm` ("linf" or "l2", by default the first one of the method), `epsilon` (by
            default 4 levels of 255 for linf, 3 for l2), `steps` (by default the method's), `seed` and `early_stop`.

    Returns:
        The best perturbed picture. Equal arguments give equal results.

    Raises:
        UserError: A name or number does not fit, or the picture is classified as the target already.

    >>> from models import load
    >>> from samples import SAMPLES
    >>> result = attack(SAMPLES[0].path, load("mobilenet_v2"), "fgsm", epsilon=4)
    >>> result.success, result.linf
    (True, 4)
    """
    return last_of(stream_attack(image, classifier, method, target, **settings))


def stream_attack(
    image: Source, classifier: Classifier, method: str = "pgd", target: int | str | None = None, **settings: Any
) -> Iterator[AttackResult]:
    """As `attack`, but yield the best AttackResult so far after every step. Closing the iterator stops the work."""
    start = time.perf_counter()
    attack_method, options = ATTACKS.find(method), AttackSettings(**settings)
    norm, epsilon, step_count = options.with_defaults(attack_method)
    class_index = None if target is None else classifier.index(target)
    problem = AttackProblem(read(image).pixels, classifier, class_index, norm, epsilon)
    best = problem.pixels, problem.clean_logits
    best_rank = (False, -math.inf)
    last_step = 1 if attack_method.single_step else step_count
    perturbations = attack_method.function(problem, step_count, np.random.default_rng(options.seed))
    perturbation = next(perturbations, None)
    early_stop = options.early_stop or attack_method.stops_at_success
    steps = 0
    while perturbation is not None:
        steps += 1
        picture, logits = problem.apply_and_classify(perturbation)
        rank = problem.is_success(logits), problem.criterion(logits)
        if rank > best_rank:
            best_rank, best = rank, (picture, logits)
        perturbation = None if early_stop and best_rank[0] else next(perturbations, None)
        yield AttackResult(
            **_compare_with_original(problem, *best),
            method=attack_method.name,
            norm=norm,
            epsilon=epsilon,
            steps=steps,
            seed=options.seed,
            seconds=time.perf_counter() - start,
            progress=1.0 if perturbation is None else steps / last_step,
        )


def _compare_with_original(problem: AttackProblem, attacked: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
    """The fields of AttackResult that compare the original picture with an attacked one and its logits."""
    classifier = problem.classifier
    before, after = classifier.probabilities(problem.clean_logits), classifier.probabilities(logits)

    def predictions_of(class_index: int) -> tuple[Prediction, Prediction]:
        """The class with its probability before and after the attack."""
        label = classifier.labels[class_index]
        return (
            Prediction(class_index, label, float(before[class_index])),
            Prediction(class_index, label, float(after[class_index])),
        )

    return {
        "original": problem.pixels,
        "attacked": attacked,
        "original_class": predictions_of(problem.original_class),
        "target": None if problem.target is None else predictions_of(problem.target),
        "before": classifier.top(problem.clean_logits),
        "after": classifier.top(logits),
        "success": problem.is_success(logits),
        "model": classifier.name,
        "forward_passes": problem.forward_passes,
        "backward_passes": problem.backward_passes,
    }


def amplified_difference(result: AttackResult, times: float) -> np.ndarray:
    """The perturbation made visible: uint8 (H, W, 3), grey where nothing changed, all changes multiplied by `times`."""
    return cv2.convertScaleAbs(np.clip(128 + result.perturbation * float(times), 0, 255))


def describe_attack(result: AttackResult) -> str:
    """One sentence about an attack: the classes before and after, the size of the change, and the cost."""
    before, after = result.original_class[0], result.after[0]
    classes = f"{before.label} {before.probability:.1%} -> {after.label} {after.probability:.1%}"
    if not result.success:
        classes += ", the attack failed" if after.index == before.index else ", not the target"
    size = f"largest change {result.linf}/255, l2 {result.l2:.2f}, SSIM {result.ssim:.4f}"
    return f"{classes}; {size}; {result.forward_passes + result.backward_passes} passes, {result.seconds:.1f} s."
