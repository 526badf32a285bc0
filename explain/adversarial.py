"""Pictures changed a little so that a classifier takes them for something else, and what undoes that.

An attack works on the picture's own 8-bit values, whatever its size: every picture it looks at is a real uint8 picture, laid
on the canvas as any other, and gradients are taken back from the canvas to the picture (`Geometry.pull`). So what is found
survives a PNG file, and is classified as claimed when read back. In between, perturbations are kept in fractions of a
level, since rounding them at every step would swallow small ones.

Norms: "linf" is the largest change of any value in levels, so that epsilon 2 is 2/255; "l2" is the Euclidean length of all
changes with pixels in [0, 1], as the literature gives it.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from explain import Source
from explain.odds import log_odds, weights
from models.classifier import Classifier, Prediction
from models.distortions import DISTORTIONS
from models.errors import UserError, unknown
from models.geometry import Geometry
from models.picture import read, resize

EPSILON = {"linf": 4.0, "l2": 3.0}  # the largest change unless another is asked for, by norm
LARGEST = {"linf": 64.0, "l2": 50.0}  # where the search for the smallest gives up
RIVALS = (
    10,
    3,
)  # classes that DeepFool compares: the most probable at the first step, as its authors do; then the nearest
OVERSHOOT = 1.02  # how far DeepFool steps over the border, as its authors do


@dataclass(frozen=True)
class Attack:
    """A picture, the same picture attacked, and what the classifier made of both.

    `original`, `attacked`: uint8 (H, W, 3). `source`: the class seen before, with its probability before and after.
    `target`: the same for the class it was to be taken for, None if any other would do. `before`, `after`: the most
    probable classes. `success`: whether the attacked picture's first class is the target, or is not the source. `steps`:
    those taken. `progress`: 1 when finished.
    """

    original: np.ndarray
    attacked: np.ndarray
    source: tuple[Prediction, Prediction]
    target: tuple[Prediction, Prediction] | None
    before: tuple[Prediction, ...]
    after: tuple[Prediction, ...]
    success: bool
    method: str
    model: str
    norm: str
    epsilon: float
    steps: int
    seed: int
    seconds: float
    forward_passes: int
    backward_passes: int
    progress: float

    @cached_property
    def perturbation(self) -> np.ndarray:
        """What was added, int16 (H, W, 3) in levels."""
        return self.attacked.astype(np.int16) - self.original

    @cached_property
    def linf(self) -> int:
        """The largest change of any value, in levels of 255."""
        return int(np.abs(self.perturbation).max())

    @cached_property
    def l2(self) -> float:
        """The Euclidean length of the change, with pixels in [0, 1]."""
        return _length(self.perturbation) / 255

    @cached_property
    def ssim(self) -> float:
        """Structural similarity of the two pictures, 1 where they look the same (Wang et al. 2004)."""
        from skimage.metrics import structural_similarity

        return float(structural_similarity(self.original, self.attacked, channel_axis=2))

    def facts(self) -> dict[str, Any]:
        """Everything but the pictures, as JSON allows it."""

        def both(pair: tuple[Prediction, Prediction]) -> dict[str, Any]:
            first, second = pair
            return {
                "index": first.index,
                "label": first.label,
                "before": first.probability,
                "after": second.probability,
            }

        return {
            "model": self.model,
            "method": self.method,
            "success": self.success,
            "source": both(self.source),
            "target": both(self.target) if self.target else None,
            "after": [{"index": p.index, "label": p.label, "probability": p.probability} for p in self.after],
            "norm": self.norm,
            "epsilon": self.epsilon,
            "linf": self.linf,
            "l2": round(self.l2, 4),
            "ssim": round(self.ssim, 5),
            "steps": self.steps,
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
            "forward_passes": self.forward_passes,
            "backward_passes": self.backward_passes,
        }


@dataclass(frozen=True)
class AttackMethod:
    """A way to attack and what one should know before choosing it.

    `function` takes (problem, steps, rng) and yields a float perturbation (H, W, 3) in levels after every step. `norms`:
    those it is defined for, the usual one first. `steps`: how many unless another number is asked for.
    """

    name: str
    title: str
    summary: str
    paper: str
    norms: tuple[str, ...]
    steps: int
    function: Callable[[_Problem, int, np.random.Generator], Iterator[np.ndarray]]


class _Problem:
    """One picture, one classifier, one wish and one limit; it looks at pictures for the methods and counts the passes."""

    def __init__(
        self, pixels: np.ndarray, classifier: Classifier, target: int | None, norm: str, epsilon: float
    ) -> None:
        self.pixels, self.classifier = pixels, classifier
        self.geometry: Geometry = classifier.geometry(pixels.shape[:2])
        self.norm = norm
        self.epsilon = epsilon * 255 if norm == "l2" else epsilon  # in levels
        self.forward_passes = self.backward_passes = 0
        self._seen: tuple[np.ndarray | None, np.ndarray, np.ndarray] = (None, pixels, pixels)
        self.clean = self._logits(pixels)
        self.source, self.target = int(self.clean.argmax()), target
        if target == self.source:
            raise UserError(f"The picture is seen as '{classifier.labels[target]}' already; choose another class.")

    def look(self, delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The uint8 picture (H, W, 3) that comes nearest to a perturbation within the limit, and its logits."""
        if self._seen[0] is not delta:
            changed = self.pixels + _whole(delta, self.norm, self.epsilon)
            picture = np.clip(changed, 0, 255).astype(np.uint8)
            self._seen = delta, picture, self._logits(picture)
        return self._seen[1:]

    def odds(self, logits: np.ndarray) -> float:
        """What an attack raises: the log odds of the target, or those of all others against the source."""
        return -log_odds(logits, self.source) if self.target is None else log_odds(logits, self.target)

    def fooled(self, logits: np.ndarray) -> bool:
        """Whether the first class is what was wished for."""
        first = int(logits.argmax())
        return first != self.source if self.target is None else first == self.target

    def wish(self, logits: np.ndarray) -> np.ndarray:
        """The gradient of `odds` by the logits, (classes,)."""
        return -weights(logits, self.source) if self.target is None else weights(logits, self.target)

    def gradient(self, delta: np.ndarray, target: np.ndarray | None = None) -> np.ndarray:
        """d(target . logits) / d(pixels) (H, W, 3) at the picture that `look` shows; by default of the `odds`."""
        picture, logits = self.look(delta)
        self.backward_passes += 1
        canvas = self.geometry.place(picture)[None]
        target = self.wish(logits) if target is None else target
        return self.geometry.pull(self.classifier.gradient(canvas, target)[0])

    def unit(self, gradient: np.ndarray) -> np.ndarray:
        """The direction in which a step of length 1 gains most: its signs, or itself at length 1."""
        return np.sign(gradient) if self.norm == "linf" else gradient / (_length(gradient) or 1)

    def project(self, delta: np.ndarray) -> np.ndarray:
        """The nearest perturbation within epsilon that leaves pixels in [0, 255]."""
        if self.norm == "l2" and (length := _length(delta)) > self.epsilon:
            delta = delta * np.float32(self.epsilon / length)
        limit = self.epsilon if self.norm == "linf" else 255
        pixels = self.pixels.astype(np.float32)
        return np.clip(delta, np.maximum(-limit, -pixels), np.minimum(limit, 255 - pixels)).astype(
            np.float32, copy=False
        )

    def nothing(self) -> np.ndarray:
        """The perturbation that changes nothing."""
        return np.zeros(self.pixels.shape, np.float32)

    def _logits(self, picture: np.ndarray) -> np.ndarray:
        self.forward_passes += 1
        return self.classifier.forward(self.geometry.place(picture)[None])[1][0]


def _fgsm(problem: _Problem, _steps: int, _rng: np.random.Generator) -> Iterator[np.ndarray]:
    yield problem.project(problem.epsilon * problem.unit(problem.gradient(problem.nothing())))


def _pgd(problem: _Problem, steps: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    noise = rng.uniform(-1, 1, problem.pixels.shape).astype(np.float32)
    delta = problem.project(noise * (problem.epsilon if problem.norm == "linf" else problem.epsilon / _length(noise)))
    for _ in range(steps):
        delta = problem.project(delta + 2.5 * problem.epsilon / steps * problem.unit(problem.gradient(delta)))
        yield delta


def _mi_fgsm(problem: _Problem, steps: int, _rng: np.random.Generator) -> Iterator[np.ndarray]:
    delta = momentum = problem.nothing()
    for _ in range(steps):
        gradient = problem.gradient(delta)
        momentum = momentum + gradient / (np.abs(gradient).sum() or 1)
        delta = problem.project(delta + problem.epsilon / steps * problem.unit(momentum))
        yield delta


def _ascent(problem: _Problem, steps: int, _rng: np.random.Generator) -> Iterator[np.ndarray]:
    delta = problem.nothing()
    towards = np.zeros(len(problem.clean), np.float32)
    towards[problem.source if problem.target is None else problem.target] = -1 if problem.target is None else 1
    for _ in range(steps):
        delta = problem.project(delta + problem.epsilon / steps * problem.unit(problem.gradient(delta, towards)))
        yield delta
        if problem.fooled(problem.look(delta)[1]):
            return


def _deepfool(problem: _Problem, steps: int, _rng: np.random.Generator) -> Iterator[np.ndarray]:
    delta, travelled = problem.nothing(), problem.nothing()
    rivals = [int(index) for index in np.argsort(-problem.clean, kind="stable")[1 : 1 + RIVALS[0]]]
    if problem.target is not None:
        rivals = [problem.target]
    for _ in range(steps):
        logits = problem.look(delta)[1]
        ways: list[tuple[float, int, np.ndarray]] = []
        for rival in rivals:
            towards = np.zeros(len(logits), np.float32)
            towards[rival], towards[problem.source] = 1, -1
            slope = problem.gradient(delta, towards)
            ways.append((abs(float(logits @ towards)) / (_length(slope) or 1), rival, slope))
        ways.sort(key=lambda way: way[0])
        distance, _, slope = ways[0]
        rivals = [rival for _, rival, _ in ways[: RIVALS[1]]]
        travelled = travelled + (distance + 1e-4) * problem.unit(slope)
        delta = problem.project(OVERSHOOT * travelled)
        yield delta
        if problem.fooled(problem.look(delta)[1]):
            return


ATTACKS = {
    method.name: method
    for method in (
        AttackMethod(
            "pgd", "PGD", "Many small steps from a random start, each taken back within the limit. The standard.",
            "Madry et al. 2018, Towards Deep Learning Models Resistant to Adversarial Attacks",
            ("linf", "l2"), 20, _pgd,
        ),
        AttackMethod(
            "fgsm", "FGSM", "One step: every value goes up or down by epsilon, whichever the gradient says.",
            "Goodfellow et al. 2015, Explaining and Harnessing Adversarial Examples", ("linf", "l2"), 1, _fgsm,
        ),
        AttackMethod(
            "mi-fgsm", "MI-FGSM", "Steps with momentum, which other networks are more easily fooled by, too.",
            "Dong et al. 2018, Boosting Adversarial Attacks with Momentum", ("linf", "l2"), 10, _mi_fgsm,
        ),
        AttackMethod(
            "deepfool", "DeepFool", "The nearest border to another class, step by step: hardly any change at all.",
            "Moosavi-Dezfooli et al. 2016, DeepFool: a simple and accurate method to fool deep neural networks",
            ("l2",), 50, _deepfool,
        ),
        AttackMethod(
            "ascent", "Gradient ascent", "Small steps up the class's own logit, until it is the first. As taught in courses.",
            "Szegedy et al. 2014, Intriguing properties of neural networks (the idea)", ("l2", "linf"), 100, _ascent,
        ),
    )
}  # fmt: skip


def attack(
    image: Source, classifier: Classifier, method: str = "pgd", target: int | str | None = None, **how: Any
) -> Attack:
    """`image` changed so that `classifier` takes it for `target`, or for anything but what it sees now.

    `image`: as explain() takes it. `method`: see ATTACKS. `target`: a class index or label (in any case). Keywords: `norm`
    "linf" or "l2", by default the method's usual one; `epsilon`, the largest change in that norm, by default 4 (levels of
    255) or 3 (Euclidean, pixels in [0, 1]); `steps`, by default the method's; `seed` of the random start; `early`, to end
    as soon as the picture is taken for what it should be. Deterministic. Raises UserError, in one sentence, for names and
    numbers that do not fit, and for a target that is seen already.
    """
    return deque(stream(image, classifier, method, target, **how), maxlen=1).pop()


def stream(
    image: Source,
    classifier: Classifier,
    method: str = "pgd",
    target: int | str | None = None,
    *,
    norm: str | None = None,
    epsilon: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    early: bool = False,
) -> Iterator[Attack]:
    """The same, one Attack after every step: the best so far. Closing the iterator stops the work."""
    start = time.perf_counter()
    chosen = ATTACKS.get(method.strip().lower().replace("_", "-"))
    if chosen is None:
        raise unknown("attack", method, ATTACKS)
    norm, epsilon = check(chosen, norm, epsilon)
    count = chosen.steps if steps is None else steps
    if count < 1:
        raise UserError(f"An attack takes at least 1 step; got {steps}.")
    wanted = None if target is None else classifier.index(target)
    pixels = read(image).pixels
    problem = _Problem(pixels, classifier, wanted, norm, epsilon)
    best = pixels, problem.clean
    rank = (False, -math.inf)
    last = 1 if chosen.name == "fgsm" else count
    proposals = chosen.function(problem, count, np.random.default_rng(seed))
    delta = next(proposals, None)
    taken = 0
    while delta is not None:
        taken += 1
        picture, logits = problem.look(delta)
        found = problem.fooled(logits), problem.odds(logits)
        if found > rank:
            rank, best = found, (picture, logits)
        delta = None if early and rank[0] else next(proposals, None)
        yield _answer(problem, best, chosen.name, epsilon, taken, seed, start, 1.0 if delta is None else taken / last)


def check(method: AttackMethod, norm: str | None, epsilon: float | None) -> tuple[str, float]:
    """Norm and epsilon that a method shall use. Raises UserError where they do not fit."""
    if norm is not None and norm not in EPSILON:
        raise unknown("norm", norm, EPSILON)
    norm = norm or method.norms[0]
    if norm not in method.norms:
        raise UserError(
            f"{method.title} is defined for {' and '.join(method.norms)}, not for {norm}; choose another method."
        )
    epsilon = EPSILON[norm] if epsilon is None else float(epsilon)
    if norm == "linf" and not 1 <= epsilon <= 255:
        raise UserError(
            f"Epsilon is 1 to 255 levels, since a picture of 8 bits knows no smaller change; got {epsilon:g}."
        )
    if not 0 < epsilon < math.inf:
        raise UserError(f"Epsilon is a number above 0; got {epsilon:g}.")
    return norm, epsilon


def _answer(
    problem: _Problem,
    best: tuple[np.ndarray, np.ndarray],
    method: str,
    epsilon: float,
    steps: int,
    seed: int,
    start: float,
    progress: float,
) -> Attack:
    classifier = problem.classifier
    picture, logits = best
    old, new = (classifier.probabilities(values) for values in (problem.clean, logits))

    def both(index: int) -> tuple[Prediction, Prediction]:
        return tuple(Prediction(index, classifier.labels[index], float(p[index])) for p in (old, new))  # type: ignore[return-value]

    return Attack(
        original=problem.pixels,
        attacked=picture,
        source=both(problem.source),
        target=None if problem.target is None else both(problem.target),
        before=classifier.top(problem.clean),
        after=classifier.top(logits),
        success=problem.fooled(logits),
        method=method,
        model=classifier.name,
        norm=problem.norm,
        epsilon=epsilon,
        steps=steps,
        seed=seed,
        seconds=time.perf_counter() - start,
        forward_passes=problem.forward_passes,
        backward_passes=problem.backward_passes,
        progress=progress,
    )


@dataclass(frozen=True)
class Minimal:
    """The search for the smallest epsilon: `tried` are (epsilon, success) in order; `attack` is the one of the smallest
    that succeeded, None as long as none did. `progress`: 1 when finished.
    """

    norm: str
    tried: tuple[tuple[float, bool], ...]
    attack: Attack | None
    progress: float

    @property
    def epsilon(self) -> float | None:
        """The smallest that fools the classifier, of those tried."""
        return self.attack.epsilon if self.attack else None


def minimal_epsilon(image: Source, classifier: Classifier, target: int | str | None = None, **how: Any) -> Minimal:
    """What it takes to fool the classifier: the smallest epsilon, by doubling, then by bisection.

    For linf it is exact to one level, the smallest there is; for l2 to 5 %. Keywords: `norm`, `method`, `steps`, `seed` as
    for `attack`. It is what this attack needs, an upper bound of what is possible.
    """
    return deque(stream_minimal(image, classifier, target, **how), maxlen=1).pop()


def stream_minimal(
    image: Source,
    classifier: Classifier,
    target: int | str | None = None,
    *,
    norm: str = "linf",
    method: str = "pgd",
    steps: int | None = None,
    seed: int = 0,
) -> Iterator[Minimal]:
    """The same, one Minimal after every epsilon tried."""
    if norm not in EPSILON:
        raise unknown("norm", norm, EPSILON)
    tried: list[tuple[float, bool]] = []
    found: Attack | None = None
    low, high = 0.0, math.inf  # fails at the first, succeeds at the second
    epsilon = 1.0 if norm == "linf" else 0.05
    while epsilon <= LARGEST[norm]:
        result = attack(
            image, classifier, method, target, norm=norm, epsilon=epsilon, steps=steps, seed=seed, early=True
        )
        tried.append((epsilon, result.success))
        if result.success:
            found, high = result, epsilon
        else:
            low = epsilon
        if high == math.inf:
            epsilon *= 2
        elif norm == "linf":
            epsilon = float((low + high) // 2)
        else:
            epsilon = math.sqrt(max(low, high / 4) * high)
        finished = high - low <= 1 if norm == "linf" else high <= 1.05 * low or high < 0.01
        if epsilon > LARGEST[norm]:
            finished = True
        yield Minimal(norm, tuple(tried), found, 1.0 if finished else len(tried) / (len(tried) + 4))
        if finished:
            return


@dataclass(frozen=True)
class Patch:
    """A small picture that is to win wherever it is put.

    `pixels`: uint8 (side, side, 3). `rate`: the share of places, of those it was tried at, where the first class is the
    `target`, as a Prediction with the mean probability there. `example`: the first picture with the patch in one of them.
    """

    pixels: np.ndarray
    rate: float
    target: Prediction
    example: np.ndarray
    steps: int
    seconds: float
    progress: float


def patch(
    images: Sequence[Source],
    classifier: Classifier,
    target: int | str,
    *,
    share: float = 0.5,
    steps: int = 300,
    seed: int = 0,
) -> Iterator[Patch]:
    """A patch that makes pictures `target` wherever it lies on them (Brown et al. 2017, places only), ever better ones.

    `share`: its side as a share of the picture's shorter side. Every step looks at it in 4 random places of random
    pictures and climbs the mean gradient of the target's log odds; the rate is measured at 25 other places a picture.
    """
    start = time.perf_counter()
    if not images:
        raise UserError("A patch needs at least one picture to be put on.")
    if not 0.05 <= share <= 0.9:
        raise UserError(f"A patch takes 0.05 to 0.9 of the picture's shorter side; got {share:g}.")
    if steps < 1:
        raise UserError(f"A patch takes at least 1 step; got {steps}.")
    index = classifier.index(target)
    pictures = [read(image).pixels for image in images]
    problems = [_Problem(pixels, classifier, index, "linf", 255) for pixels in pictures]
    side = max(4, round(share * min(min(pixels.shape[:2]) for pixels in pictures)))
    rng = np.random.default_rng(seed)
    grown = rng.uniform(96, 160, (side, side, 3)).astype(np.float32)
    momentum, scale = np.zeros_like(grown), np.zeros_like(grown)
    for step in range(1, steps + 1):
        total = np.zeros_like(grown)
        for _ in range(4):
            problem = problems[rng.integers(len(problems))]
            top, left = (int(rng.integers(length - side + 1)) for length in problem.pixels.shape[:2])
            changed = _put(problem.pixels, grown, top, left)
            delta = changed.astype(np.float32) - problem.pixels
            total += problem.gradient(delta)[top : top + side, left : left + side]
        momentum = 0.9 * momentum + 0.1 * total
        scale = 0.99 * scale + 0.01 * total**2
        rate = 16 * (1 - 0.9 * (step - 1) / steps)  # levels: Adam, slower and slower
        unbiased = (momentum / (1 - 0.9**step)) / (np.sqrt(scale / (1 - 0.99**step)) + 1e-12)
        grown = np.clip(grown + rate * unbiased, 0, 255)
        if step % 10 == 0 or step == steps:
            won, probability, example = _tried(problems, grown)
            yield Patch(
                pixels=grown.round().astype(np.uint8),
                rate=won,
                target=Prediction(index, classifier.labels[index], probability),
                example=example,
                steps=step,
                seconds=time.perf_counter() - start,
                progress=step / steps,
            )


def _put(pixels: np.ndarray, grown: np.ndarray, top: int, left: int) -> np.ndarray:
    """A picture with a patch on it."""
    changed = pixels.copy()
    changed[top : top + grown.shape[0], left : left + grown.shape[1]] = grown.round()
    return changed


def _tried(problems: list[_Problem], grown: np.ndarray) -> tuple[float, float, np.ndarray]:
    """How often a patch wins at 25 places a picture, the target's mean probability, and the patch on the first picture."""
    won, probabilities, examples = [], [], []
    for problem in problems:
        (height, width), side = problem.pixels.shape[:2], grown.shape[0]
        for down in np.linspace(0, height - side, 5).astype(int):
            placed = [_put(problem.pixels, grown, int(down), int(x)) for x in np.linspace(0, width - side, 5)]
            logits = problem.classifier.forward(np.stack([problem.geometry.place(one) for one in placed]))[1]
            won += [problem.fooled(one) for one in logits]
            probabilities += list(problem.classifier.probabilities(logits)[:, problem.target])
            examples += placed[3:4]
    return float(np.mean(won)), float(np.mean(probabilities)), examples[3]


@dataclass(frozen=True)
class Check:
    """What is seen after the same thing happened to the original and to the attacked picture; `undone`: whether the
    attacked one is no longer taken for what the attack made of it, `restored`: whether it is again what it was.
    """

    name: str
    original: Prediction
    attacked: Prediction
    undone: bool
    restored: bool


def _screen(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    for name, strength in {"moire": 0.2, "perspective": 0.3, "glare": 0.25, "blur": 0.15, "jpeg": 0.2}.items():
        pixels = DISTORTIONS[name](pixels, strength, rng)
    return pixels


def _halved(pixels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    half = max(1, pixels.shape[0] // 2), max(1, pixels.shape[1] // 2)
    return resize(resize(pixels, half), pixels.shape[:2])


def _distorted(name: str, strength: float) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    return lambda pixels, rng: DISTORTIONS[name](pixels, strength, rng)


CURES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "kept as PNG": lambda pixels, _: pixels,
    "JPEG, quality 90": _distorted("jpeg", 1 / 18),
    "JPEG, quality 75": _distorted("jpeg", 2 / 9),
    "JPEG, quality 50": _distorted("jpeg", 0.5),
    "a little out of focus": _distorted("blur", 0.2),
    "noise": _distorted("gaussian-noise", 0.1),
    "half the size and back": _halved,
    "photographed from a screen": _screen,
}


def checks(result: Attack, classifier: Classifier, seed: int = 0) -> Iterator[Check]:
    """Which everyday handling undoes an attack: every entry of CURES, on both pictures with the same seed."""
    geometry = classifier.geometry(result.original.shape[:2])
    taken_for = (result.target or result.after)[0].index
    for name, cure in CURES.items():
        pictures = [cure(pixels, np.random.default_rng(seed)) for pixels in (result.original, result.attacked)]
        logits = classifier.forward(np.stack([geometry.place(pixels) for pixels in pictures]))[1]
        first, second = (classifier.top(one, 1)[0] for one in logits)
        yield Check(name, first, second, second.index != taken_for, second.index == result.source[0].index)


def difference(result: Attack, times: float) -> np.ndarray:
    """The perturbation to look at: uint8 (H, W, 3), grey where nothing changed, all changes `times` as large."""
    return cv2.convertScaleAbs(np.clip(128 + result.perturbation * float(times), 0, 255))


def _whole(delta: np.ndarray, norm: str, limit: float) -> np.ndarray:
    """The whole-numbered perturbation (H, W, 3) that follows `delta` best and is no larger than it and than `limit`.

    For linf that is rounding. For l2 rounding would leave nothing of a change spread thin over many pixels. Of all whole
    perturbations of a length, the one with the largest product with delta is delta times a factor, rounded (the factor is
    the multiplier of the constraint); the factor is found by bisection.
    """
    if norm == "linf":
        limit = math.floor(limit)
        return np.clip(np.rint(delta), -limit, limit)
    length = min(_length(delta), limit)
    if length == 0:
        return delta
    low, high = 0.0, length / _length(delta)
    while _length(np.rint(high * delta)) <= length:
        low, high = high, 2 * high
        if high > 1e6:
            break
    for _ in range(12):
        middle = (low + high) / 2
        if _length(np.rint(middle * delta)) <= length:
            low = middle
        else:
            high = middle
    return np.rint(low * delta)


def _length(values: np.ndarray) -> float:
    return float(cv2.norm(np.ascontiguousarray(values).ravel(), cv2.NORM_L2))


def targets(classifier: Classifier, sources: Iterable[int], seed: int = 0) -> list[int]:
    """A random other class for each."""
    rng = np.random.default_rng(seed)
    count = len(classifier.labels)
    return [int((source + rng.integers(1, count)) % count) for source in sources]


if __name__ == "__main__":
    import sys

    from explain.commands import attack as command

    sys.exit(command())
