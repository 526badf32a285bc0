"""What several methods agree on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from explain import registry
from explain.faithfulness import ranks, spearman
from explain.registry import Step, register
from explain.view import View
from models.errors import UserError
from models.geometry import resample


@register(
    "consensus",
    title="Consensus",
    family="combination",
    summary="The mean rank of every pixel over several methods, and how far they agree.",
    forward=1002,
    backward=1,
    paper="Rieger & Hansen 2020, A Simple Defense against Adversarial Attacks on Heatmap Explanations (mean of methods)",
)
def consensus(view: View, target: np.ndarray, *, methods: str = "grad-cam,saliency,kernel-shap") -> Iterator[Step]:
    """The rank of each pixel's evidence, averaged over `methods` (names with commas; the idea: Rieger & Hansen 2020).

    (h, w) in [0, 1], not negative, 1 the highest.

    Their agreement, the mean rank correlation of all pairs, is in the notes. Raises UserError for fewer than two methods.
    """
    chosen = [registry.method(name) for name in methods.split(",")]
    if len({method.name for method in chosen}) < 2 or "consensus" in {method.name for method in chosen}:
        raise UserError("A consensus needs two or more other methods, such as methods='grad-cam,saliency'.")
    canvas = view.geometry.canvas
    found: list[np.ndarray] = []
    for index, method in enumerate(chosen, 1):
        raw = method.last(view, target, method.options).raw
        found.append(ranks(resample(raw, canvas).ravel()) / (canvas[0] * canvas[1] - 1))
        pairs = [spearman(a, b) for a, b in itertools.combinations(found, 2)]
        words = (f"The methods agree by {np.mean(pairs):.2f} (mean rank correlation).",) if pairs else ()
        yield Step(np.mean(found, axis=0).reshape(canvas).astype(np.float32), index / len(chosen), words)
