"""How far to trust a method: whether its maps hold still when the picture does, and change when the network does.

These ask a method again, with another picture or another network. A method is an `Explainer` here: one of the register with
its options (`explainer`, `repeat`), or anybody's function of a classifier and a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from explain import explain, registry
from explain.faithfulness import Curve, agreement, deletion, insertion
from explain.result import Explanation
from explain.view import View
from models.classifier import Classifier
from models.geometry import Geometry
from models.picture import Picture

NOISE = 2  # grey levels, of 255: nobody sees them
SHIFTS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # pixels down and to the right

# What a classifier sees in a picture, uint8 RGB (H, W, 3): a map (H, W) in [0, 1].
Explainer = Callable[[Classifier, np.ndarray], np.ndarray]


def explainer(
    method: str, target: int | str, *, against: int | str | None = None, canvas: int | None = None, smooth: str = "",
    **options: Any,
) -> Explainer:  # fmt: skip
    """A method of the register as an Explainer; arguments as for `explain`. Of methods that refine, the last map counts."""

    def ask(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
        picture = Picture(pixels)
        asked = {"against": against, "canvas": canvas, "smooth": smooth, **options}
        return explain(picture, classifier, method, target, **asked).heatmap

    return ask


def repeat(found: Explanation) -> Explainer:
    """The Explainer that made an explanation: its method, classes, canvas, smoothing and options."""
    asked = found.parameters
    options = {name: asked[name] for name in registry.method(found.method).options}
    against = None if found.against is None else found.against.index
    return explainer(
        found.method, found.target, against=against, canvas=asked["side"], smooth=asked["smooth"], **options
    )


def stability(
    ask: Explainer, classifier: Classifier, pixels: np.ndarray, *, original: np.ndarray | None = None, samples: int = 4,
    seed: int = 0,
) -> float:  # fmt: skip
    """How far a map stays when the picture changes as nobody would see: a mean rank correlation in [-1, 1], 1 the best.

    After Alvarez-Melis & Jaakkola 2018 (robustness of explanations), with changes that leave the picture what it is. Of
    the `samples` copies of the picture, uint8 (H, W, 3), half carry noise of up to 2 grey levels, drawn by `seed`, and half
    are shifted by one pixel, edges repeated; the map of a shifted picture is shifted back, and compared where both know the
    picture. `original`: the map of the picture itself, if it is there already. Costs `samples` maps. A map that never
    changes scores 1 whatever the picture, so stability alone is no virtue.
    """
    base = ask(classifier, pixels) if original is None else original
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
        scores.append(agreement(base[known], ask(classifier, changed)[moved]).spearman)
    return float(np.mean(scores))


@dataclass(frozen=True)
class Stage:
    """A map after some of the network's weights were shuffled: all those from the logits down to `name`, or none of them.

    `heatmap` float32 (H, W) in [0, 1]. `spearman` and `ssim`: how alike it is to the trained network's map; see `Agreement`.
    `progress` in [0, 1].
    """

    name: str
    heatmap: np.ndarray
    spearman: float
    ssim: float
    progress: float


def randomisation(
    ask: Explainer, classifier: Classifier, pixels: np.ndarray, *, original: np.ndarray | None = None, seed: int = 0
) -> Iterator[Stage]:
    """A method's maps while the network forgets what it learned, from the logits down (Adebayo et al. 2018, cascading).

    Yields the trained network's map, named "trained", and then one for each stage of `models.randomised`, up to 8 of them,
    as they come. A method that explains the model must lose its map: correlations of nearly 1 to the end mean that it
    draws the picture, not what the network makes of it. The weights of a layer are shuffled by `seed`, which keeps their
    distribution and scale. The classifier stays as it is; a copy of its network is made once, and threads take turns at
    it. `original`: the trained map, if it is there already. Closing the iterator stops the work.
    """
    trained = ask(classifier, pixels) if original is None else original
    yield Stage("trained", trained, 1.0, 1.0, 0.0)
    copy = classifier.randomised()
    for index, name in enumerate(copy.stages):
        with copy.down_to(index, seed) as forgetful:
            heatmap = ask(forgetful, pixels)
        alike = agreement(trained, heatmap)
        yield Stage(name, heatmap, alike.spearman, alike.ssim, (index + 1) / len(copy.stages))


@dataclass(frozen=True)
class Trust:
    """The grades of one explanation. Low `deletion.auc`, high `insertion.auc` and high `stability` are good.

    `stability` is None where it was not measured.
    """

    deletion: Curve
    insertion: Curve
    stability: float | None

    def facts(self) -> dict[str, float | None]:
        """The figures by name, rounded, as JSON allows it."""
        figures = {"deletion": self.deletion.auc, "insertion": self.insertion.auc, "stability": self.stability}
        return {name: None if figure is None else round(figure, 4) for name, figure in figures.items()}


def trust(found: Explanation, classifier: Classifier, pixels: np.ndarray, *, samples: int = 4, seed: int = 0) -> Trust:
    """Grade a finished explanation of a picture, uint8 RGB (H, W, 3); its map is not made again.

    The curves follow its signed map: what speaks against the class goes last, and not in the order of reading.
    Costs 59 forward passes for the curves, and `samples` times the method itself for its stability; 0 leaves that out.
    """
    asked = found.parameters
    view = View(classifier, Geometry(asked["size"], asked["canvas"], asked["box"]), pixels)
    signed = view.geometry.restore(found.raw)
    return Trust(
        deletion=deletion(view, signed, found.target),
        insertion=insertion(view, signed, found.target),
        stability=stability(repeat(found), classifier, pixels, original=found.heatmap, samples=samples, seed=seed)
        if samples
        else None,
    )
