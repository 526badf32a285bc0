"""The attack methods. Their order here is the order of every menu and table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from core.registry import Registry
from robustness.problem import AttackProblem, euclidean_norm

OVERSHOOT = 1.02  # DeepFool goes this much further than the decision boundary, as in the paper
# The number of other classes that DeepFool compares. At the first step these are the most probable ones, as in the paper. At
# the later steps they are the ones that had the nearest decision boundary.
FIRST_RIVALS, LATER_RIVALS = 10, 3
# Levels that DeepFool adds to the distance of the decision boundary, so that a step is never 0. As in the authors' code.
EXTRA_DISTANCE = 1e-4

# Args: the problem, the number of steps, the random numbers. Yields: after every step the perturbation so far, float32
# (H, W, 3) in levels.
AttackFunction = Callable[[AttackProblem, int, np.random.Generator], Iterator[np.ndarray]]


@dataclass(frozen=True)
class AttackMethod:
    """An attack method, with the facts that help a user to choose it.

    `summary`: what it does, in one or two sentences. `paper`: its citation; `link`: the paper's address. `norms`: the norms
    it is defined for; the first is the default. `steps`: the default number of steps. `function`: see AttackFunction.
    `single_step`: it takes one step, for any number of steps. `stops_at_success`: it always stops at the first success.
    """

    name: str
    title: str
    summary: str
    paper: str
    link: str
    norms: tuple[str, ...]
    steps: int
    function: AttackFunction
    single_step: bool = False
    stops_at_success: bool = False


ATTACKS = Registry("attack", AttackMethod)
register = ATTACKS.register


@register(
    "pgd",
    title="PGD",
    summary="Takes many small steps from a random start and stays within the budget. The standard attack.",
    paper="Madry et al. 2018, Towards Deep Learning Models Resistant to Adversarial Attacks",
    link="https://arxiv.org/abs/1706.06083",
    norms=("linf", "l2"),
    steps=20,
)
def pgd(problem: AttackProblem, steps: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Start at a random perturbation. Take steps along the steepest direction, projecting after each step.

    The length 2.5 epsilon / steps is that of Madry et al.: the steps can reach the border of the budget from any start.

    Args:
        problem: The picture, the classifier and the budget.
        steps: The number of steps.
        rng: The random numbers of the start.

    Yields:
        The perturbation after every step, float32 (H, W, 3) in levels.
    """
    noise = rng.uniform(-1, 1, problem.pixels.shape).astype(np.float32)
    length = problem.epsilon_in_levels if problem.norm == "linf" else problem.epsilon_in_levels / euclidean_norm(noise)
    perturbation = problem.project(noise * length)
    for _ in range(steps):
        direction = problem.steepest_direction(problem.gradient(perturbation))
        perturbation = problem.project(perturbation + 2.5 * problem.epsilon_in_levels / steps * direction)
        yield perturbation


@register(
    "fgsm",
    title="FGSM",
    summary="Takes one step: every value changes by epsilon, up or down, by the sign of its gradient.",
    paper="Goodfellow et al. 2015, Explaining and Harnessing Adversarial Examples",
    link="https://arxiv.org/abs/1412.6572",
    norms=("linf", "l2"),
    steps=1,
    single_step=True,
)
def fgsm(problem: AttackProblem, _steps: int, _rng: np.random.Generator) -> Iterator[np.ndarray]:
    """One step of length epsilon along the steepest direction.

    Args:
        problem: The picture, the classifier and the budget.
        _steps: Not used; it is always one step.
        _rng: Not used.

    Yields:
        The perturbation after every step, float32 (H, W, 3) in levels.
    """
    gradient = problem.gradient(problem.zero_perturbation())
    yield problem.project(problem.epsilon_in_levels * problem.steepest_direction(gradient))


@register(
    "mi-fgsm",
    title="MI-FGSM",
    summary="Takes FGSM steps with momentum. Its pictures also deceive other networks more often.",
    paper="Dong et al. 2018, Boosting Adversarial Attacks with Momentum",
    link="https://arxiv.org/abs/1710.06081",
    norms=("linf", "l2"),
    steps=10,
)
def mi_fgsm(problem: AttackProblem, steps: int, _rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Steps of epsilon / steps along the sum of all gradients so far, each divided by its L1 norm.

    Args:
        problem: The picture, the classifier and the budget.
        steps: The number of steps.
        _rng: Not used.

    Yields:
        The perturbation after every step, float32 (H, W, 3) in levels.
    """
    perturbation = momentum = problem.zero_perturbation()
    for _ in range(steps):
        gradient = problem.gradient(perturbation)
        momentum = momentum + gradient / (np.abs(gradient).sum() or 1)
        perturbation = problem.project(
            perturbation + problem.epsilon_in_levels / steps * problem.steepest_direction(momentum)
        )
        yield perturbation


@register(
    "deepfool",
    title="DeepFool",
    summary="Moves to the nearest decision boundary, step by step. Its changes are very small.",
    paper="Moosavi-Dezfooli et al. 2016, DeepFool: a simple and accurate method to fool deep neural networks",
    link="https://arxiv.org/abs/1511.04599",
    norms=("l2",),
    steps=50,
    stops_at_success=True,
)
def deepfool(problem: AttackProblem, steps: int, _rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Sum steps to the nearest decision boundary of the linearised classifier.

    Args:
        problem: The picture, the classifier and the budget.
        steps: The largest number of steps.
        _rng: Not used.

    Yields:
        The perturbation after every step, float32 (H, W, 3) in levels.
    """
    perturbation = total_step = problem.zero_perturbation()
    if problem.target is None:
        most_probable = np.argsort(-problem.clean_logits, kind="stable")
        rivals = [int(index) for index in most_probable[1 : 1 + FIRST_RIVALS]]
    else:
        rivals = [problem.target]
    for _ in range(steps):
        logits = problem.apply_and_classify(perturbation)[1]
        boundaries: list[tuple[float, int, np.ndarray]] = []  # distance, class and gradient of each rival
        for rival in rivals:
            objective = problem.classifier.objective(rival, against=problem.original_class)
            gradient = problem.gradient(perturbation, objective)
            distance = abs(float(logits @ objective)) / (euclidean_norm(gradient) or 1)
            boundaries.append((distance, rival, gradient))
        boundaries.sort(key=lambda boundary: boundary[0])
        distance, _, gradient = boundaries[0]
        rivals = [rival for _, rival, _ in boundaries[:LATER_RIVALS]]
        total_step = total_step + (distance + EXTRA_DISTANCE) * problem.steepest_direction(gradient)
        perturbation = problem.project(OVERSHOOT * total_step)
        yield perturbation


@register(
    "ascent",
    title="Gradient ascent",
    summary="Takes small steps that increase the target's logit, or decrease the logit of the predicted class. Stops at the "
    "first success. The simplest attack.",
    paper="Szegedy et al. 2014, Intriguing properties of neural networks (a related method)",
    link="https://arxiv.org/abs/1312.6199",
    norms=("l2", "linf"),
    steps=100,
    stops_at_success=True,
)
def gradient_ascent(problem: AttackProblem, steps: int, _rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Steps of epsilon / steps along the gradient of one logit.

    Args:
        problem: The picture, the classifier and the budget.
        steps: The largest number of steps.
        _rng: Not used.

    Yields:
        The perturbation after every step, float32 (H, W, 3) in levels.
    """
    perturbation = problem.zero_perturbation()
    if problem.target is None:
        objective = -problem.classifier.objective(problem.original_class)
    else:
        objective = problem.classifier.objective(problem.target)
    for _ in range(steps):
        direction = problem.steepest_direction(problem.gradient(perturbation, objective))
        perturbation = problem.project(perturbation + problem.epsilon_in_levels / steps * direction)
        yield perturbation
