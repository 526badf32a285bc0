"""Sanity checks of a method: its maps must stay if the picture hardly changes, and must change with the network.

The checks run a method again, on another picture or another network. Here a method is an `Explainer`: a question with its
options (`make_explainer`, `repeat_explainer`), or any function of a classifier and a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from core.images import Picture
from explain.api import ExplainSettings
from explain.metrics.faithfulness import Curve, deletion, insertion
from explain.metrics.similarity import agreement
from explain.result import Explanation
from explain.view import View
from models.classifier import Classifier
from models.randomised import randomised

NOISE = 2  # grey levels of 255: invisible
SHIFTS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # pixels down and to the right

# A function of a classifier and a picture, uint8 RGB (H, W, 3), that gives a map (H, W) in [0, 1].
Explainer = Callable[[Classifier, np.ndarray], np.ndarray]


def make_explainer(settings: ExplainSettings) -> Explainer:
    """A question as an Explainer; a method that gives a series of maps gives its last one."""
    return lambda classifier, pixels: settings.explain(Picture(pixels), classifier).heatmap


def repeat_explainer(explanation: Explanation) -> Explainer:
    """The Explainer that made an explanation: the same method, classes, canvas, smoothing and options."""
    return make_explainer(ExplainSettings.from_explanation(explanation))


def stability(
    explainer: Explainer, classifier: Classifier, pixels: np.ndarray, *, original: np.ndarray | None = None,
    samples: int = 4, seed: int = 0,
) -> float:  # fmt: skip
    """How similar the map stays if the picture changes invisibly.

    After Alvarez-Melis & Jaakkola 2018, https://arxiv.org/abs/1806.08049, but with changes that keep the content. One half
    of the changed pictures has noise of up to 2 grey levels. The other half is shifted by one pixel, with repeated edges;
    its maps are shifted back and compared where both show the same part of the picture.

    Args:
        explainer: The method to check.
        classifier: The classifier to explain.
        pixels: uint8 RGB (H, W, 3).
        original: The map of the picture itself, if it exists already.
        samples: How many changed pictures; each takes one map.
        seed: Of the noise.

    Returns:
        The mean rank correlation in [-1, 1], 1 is best. A map that is the same for every picture also scores 1, so a high
        stability alone does not make a good method.
    """
    base = explainer(classifier, pixels) if original is None else original
    height, width = pixels.shape[:2]
    rng = np.random.default_rng(seed)
    scores = []
    for index in range(samples):
        down, right = SHIFTS[index // 2 % len(SHIFTS)] if index % 2 else (0, 0)
        if index % 2:
            rows, columns = np.arange(height) - down, np.arange(width) - right
            changed = pixels[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)]
        else:
            noise = rng.integers(-NOISE, NOISE + 1, pixels.shape, np.int16)
            changed = np.clip(pixels + noise, 0, 255).astype(np.uint8)
        known = np.s_[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
        moved = np.s_[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
        scores.append(agreement(base[known], explainer(classifier, changed)[moved]).spearman)
    return float(np.mean(scores))


@dataclass(frozen=True)
class Stage:
    """A map after the weights from the logits down to the layer `name` were shuffled; no weights if it is "trained".

    `heatmap` float32 (H, W) in [0, 1]. `spearman` and `ssim`: its similarity to the trained network's map, see `Agreement`.
    `progress` in [0, 1].
    """

    name: str
    heatmap: np.ndarray
    spearman: float
    ssim: float
    progress: float


def randomisation(
    explainer: Explainer,
    classifier: Classifier,
    pixels: np.ndarray,
    *,
    original: np.ndarray | None = None,
    seed: int = 0,
) -> Iterator[Stage]:
    """The cascading parameter-randomisation test: maps while more and more layers lose their trained weights.

    Adebayo et al. 2018, https://arxiv.org/abs/1810.03292. The map of a method that explains the model must change. If the
    correlation stays near 1 to the end, the method shows the picture and not the model.

    Args:
        explainer: The method to check.
        classifier: The classifier to explain. It does not change: the test uses one copy of its network, one thread at a
            time.
        pixels: uint8 RGB (H, W, 3).
        original: The map of the trained network, if it exists already.
        seed: Of the shuffles. They keep the distribution and the scale of the weights of each layer.

    Returns:
        An iterator of the stage "trained" and then up to 8 stages of `models.randomised`, from the logits down. Closing it
        stops the work.
    """
    trained = explainer(classifier, pixels) if original is None else original
    yield Stage("trained", trained, 1.0, 1.0, 0.0)
    copy = randomised(classifier)
    for index, name in enumerate(copy.stages):
        with copy.randomise_down_to(index, seed) as shuffled:
            heatmap = explainer(shuffled, pixels)
        similarity = agreement(trained, heatmap)
        yield Stage(name, heatmap, similarity.spearman, similarity.ssim, (index + 1) / len(copy.stages))


@dataclass(frozen=True)
class Trust:
    """The metrics of one explanation. Low `deletion.auc`, high `insertion.auc` and high `stability` are good.

    `stability` is None if it was not measured.
    """

    deletion: Curve
    insertion: Curve
    stability: float | None

    def to_dict(self) -> dict[str, float | None]:
        """The metrics by name, rounded, ready for JSON."""
        metrics = {"deletion": self.deletion.auc, "insertion": self.insertion.auc, "stability": self.stability}
        return {name: None if value is None else round(value, 4) for name, value in metrics.items()}


def trust(
    explanation: Explanation, classifier: Classifier, pixels: np.ndarray, *, samples: int = 4, seed: int = 0
) -> Trust:
    """Measure deletion, insertion and stability of a finished explanation; its own map is not computed again.

    The curves follow `explanation.ranking`: pixels with negative values come last, the most negative ones at the end.

    >>> from core.images import read
    >>> from explain import explain
    >>> from models import load
    >>> classifier, pixels = load("mobilenet_v2"), read("samples/photos/cat.jpg").pixels
    >>> metrics = trust(explain(pixels, classifier), classifier, pixels, samples=2)
    >>> metrics.insertion.auc > metrics.deletion.auc, metrics.stability > 0.9
    (True, True)

    Args:
        explanation: Of this picture, by this classifier.
        classifier: The classifier that was explained.
        pixels: The picture, uint8 RGB (H, W, 3).
        samples: Maps for the stability; 0 leaves it out. The curves take 59 forward passes more.
        seed: Of the noise for the stability.
    """
    view = View(classifier, explanation.geometry, pixels)
    stable = None
    if samples:
        explainer = repeat_explainer(explanation)
        stable = stability(explainer, classifier, pixels, original=explanation.heatmap, samples=samples, seed=seed)
    return Trust(
        deletion=deletion(view, explanation.ranking, explanation.class_index),
        insertion=insertion(view, explanation.ranking, explanation.class_index),
        stability=stable,
    )
