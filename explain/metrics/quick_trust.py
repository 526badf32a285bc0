"""A quick check of one map: does the prediction depend on the pixels that the map marks? It takes at most 20 passes.

The pixels with the highest values are blurred. To rank them, the map is smoothed a little, because blurring scattered single
pixels removes nothing: their neighbours show the same. A control blurs as many pixels: the same map, moved to random places.
If the map marks what the prediction depends on, the probability falls more than in the control.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from explain.baselines import make_baseline
from explain.metrics.faithfulness import Curve, class_probabilities, order_in_box, replace_pixels
from explain.result import Explanation
from explain.view import View
from models.classifier import Classifier

SHARES = (0.1, 0.25, 0.5)  # of the pixels that are blurred, and that are kept
CONTROLS = 2  # how many times the map is moved
SMOOTHING = 0.03  # of a map before its pixels are ranked, as a share of the longer side: single pixels become regions
GROUP = 5  # canvases in one call of the network: a run that is stopped ends after them
FOUND, PARTLY = 0.25, 0.08  # least advantage for each verdict, chosen by benchmarks.quick_trust
UNLIKELY = 0.05  # a class below this probability can lose too little to measure anything

Verdict = Literal["found", "partly", "little", "unlikely"]
VERDICTS: dict[Verdict, str] = {
    "found": "The map marks what the prediction depends on.",
    "partly": "The map marks a part of what the prediction depends on.",
    "little": "The prediction hardly depends on what the map marks. Do not rely on this map.",
    "unlikely": "The class is too improbable here for this check.",
}


@dataclass(frozen=True)
class QuickTrust:
    """The result of the check for one class.

    `probability`: of the class, for the whole picture. `deletion`, `insertion`: the probability against the share of pixels
    that are blurred, or that are kept in the blurred picture, highest values first. `control_deletion`, `control_insertion`:
    means over the moved maps. `pictures`: uint8 RGB (h, w, 3), what the network sees when the SHARES[0] of highest values is
    blurred, and in the first control.
    """

    probability: float
    deletion: Curve
    insertion: Curve
    control_deletion: Curve
    control_insertion: Curve
    passes: int
    pictures: tuple[np.ndarray, np.ndarray]

    @property
    def blurred(self) -> float:
        """The probability with the SHARES[0] of highest values blurred."""
        return float(self.deletion.scores[1])

    @property
    def blurred_control(self) -> float:
        """The probability with as many pixels blurred elsewhere."""
        return float(self.control_deletion.scores[1])

    @property
    def advantage(self) -> float:
        """How much better the map is than the control, in [-1, 1]: the mean of both curves' distances, as a share of the
        probability of the whole picture; 0 for a map that is no better than chance.
        """
        gained = np.mean(self.insertion.scores[1:-1] - self.control_insertion.scores[1:-1])
        lost = np.mean(self.control_deletion.scores[1:-1] - self.deletion.scores[1:-1])
        return float(np.clip((gained + lost) / 2 / max(self.probability, 1e-6), -1, 1))

    @property
    def verdict(self) -> Verdict:
        """A key of VERDICTS, by the limits FOUND and PARTLY of `advantage`."""
        if self.probability < UNLIKELY:
            return "unlikely"
        return "found" if self.advantage >= FOUND else "partly" if self.advantage >= PARTLY else "little"

    def to_dict(self) -> dict[str, Any]:
        """The verdict and its figures, rounded, ready for JSON."""
        figures = {"blurred": self.blurred, "blurred_control": self.blurred_control, "advantage": self.advantage}
        return {"verdict": self.verdict, **{name: round(value, 4) for name, value in figures.items()}}


def quick_trust(explanation: Explanation, classifier: Classifier, pixels: np.ndarray, *, seed: int = 0) -> QuickTrust:
    """Check a finished explanation; its own map is not computed again.

    >>> from core.images import read
    >>> from explain import explain
    >>> from models import load
    >>> classifier, pixels = load("mobilenet_v2"), read("samples/photos/coffee.jpg").pixels
    >>> check = quick_trust(explain(pixels, classifier), classifier, pixels)
    >>> check.verdict, check.passes
    ('found', 20)

    Args:
        explanation: Of this picture, by this classifier.
        classifier: The classifier that was explained.
        pixels: The picture, uint8 RGB (H, W, 3).
        seed: Of the places to which the control moves the map.
    """
    view = View(classifier, explanation.geometry, pixels)
    return check_map(view, explanation.ranking, explanation.class_index, seed=seed)


def check_map(view: View, values: np.ndarray, class_index: int, *, seed: int = 0) -> QuickTrust:
    """Check any map.

    Args:
        view: The picture on the classifier's canvas; every pass is counted there.
        values: The map (H, W) in the picture's own pixels; higher means more important.
        class_index: The class whose probability is measured.
        seed: Of the places to which the control moves the map.
    """
    rng = np.random.default_rng(seed)
    on_canvas = view.geometry.place_map(values)
    moves = [[int(rng.uniform(0.25, 0.75) * side) for side in on_canvas.shape] for _ in range(CONTROLS)]
    smooth = cv2.GaussianBlur(on_canvas, (0, 0), SMOOTHING * max(on_canvas.shape))
    maps = [smooth, *(np.roll(smooth, move, (0, 1)) for move in moves)]
    blurred = make_baseline(view, "blur")
    canvases = [blurred[None]]
    for each in maps:
        order = order_in_box(view, each)
        counts = np.round(np.multiply(SHARES, len(order))).astype(int)
        canvases += [replace_pixels(a, b, order, counts) for a, b in ((view.canvas, blurred), (blurred, view.canvas))]
    batch = np.concatenate(canvases)
    groups = [batch[start : start + GROUP] for start in range(0, len(batch), GROUP)]
    scores = np.concatenate([class_probabilities(view, group, class_index) for group in groups])
    whole, empty = float(view.classifier.probabilities(view.logits)[class_index]), float(scores[0])
    parts = scores[1:].reshape(len(maps), 2, len(SHARES))
    deleted, inserted = ([parts[0, kind], parts[1:, kind].mean(0)] for kind in (0, 1))

    def curve(start: float, middle: np.ndarray, end: float) -> Curve:
        return Curve(np.array([0, *SHARES, 1]), np.array([start, *middle, end]))

    top, left, height, width = view.geometry.box
    first, control = (batch[1 + 2 * len(SHARES) * number] for number in (0, 1))
    return QuickTrust(
        probability=whole,
        deletion=curve(whole, deleted[0], empty),
        insertion=curve(empty, inserted[0], whole),
        control_deletion=curve(whole, deleted[1], empty),
        control_insertion=curve(empty, inserted[1], whole),
        passes=view.forward_passes,
        pictures=tuple(
            canvas[top : top + height, left : left + width].round().astype(np.uint8) for canvas in (first, control)
        ),
    )
