"""Consensus: what several methods agree on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from core.errors import UserError
from core.options import NameList
from explain import registry
from explain.metrics.similarity import correlation, ranks
from explain.registry import Step, register
from explain.view import View
from models import capabilities
from models.geometry import resample


@register(
    "consensus", title="Consensus", family="combination", forward_passes=1002, backward_passes=1,
    summary="The mean rank of each pixel over several methods. Reports the rank correlation of the methods.",
    paper="Rieger & Hansen 2020, A Simple Defense against Adversarial Attacks on Heatmap Explanations (mean of methods)",
    link="https://arxiv.org/abs/2007.06381",
)  # fmt: skip
def consensus(
    view: View, objective: np.ndarray, *, methods: NameList = "grad-cam,saliency,kernel-shap"
) -> Iterator[Step]:
    """The rank of each pixel's evidence, averaged over several methods (the idea: Rieger & Hansen 2020).

    (h, w) in [0, 1], not negative, 1 for the highest rank. The notes give the agreement of the methods: the mean rank
    correlation over all pairs. `view` and `objective` (classes,) go to each method.

    Args:
        methods: Names of two or more methods, separated by commas. They run with their default options. Those that the
            classifier cannot do are left out; if fewer than two remain, occlusion and Kernel SHAP run.

    Raises:
        UserError: There are fewer than two different methods, or consensus is one of them.
        UnknownNameError: There is no such method.
    """
    chosen = [registry.find_method(name) for name in methods.split(",")]
    if len({method.name for method in chosen}) < 2 or "consensus" in {method.name for method in chosen}:
        raise UserError("A consensus needs two or more other methods, such as methods='grad-cam,saliency'.")
    lacking = [method.name for method in chosen if capabilities.lacks(view.classifier, method.needs)]
    chosen = [method for method in chosen if method.name not in lacking]
    if len(chosen) < 2:
        chosen = [registry.find_method(name) for name in (capabilities.FALLBACK, "kernel-shap")]
    left_out = (f"{', '.join(lacking)} does not work with this model.",) if lacking else ()
    canvas = view.geometry.canvas
    ranked: list[np.ndarray] = []  # of each method, (h * w,) from 0 to 1; ties share their mean rank
    for index, method in enumerate(chosen, 1):
        raw = method.compute_last(view, objective, method.options).raw
        ranked.append(ranks(resample(raw, canvas).ravel()) / (canvas[0] * canvas[1] - 1))
        pairs = [correlation(first, second) for first, second in itertools.combinations(ranked, 2)]
        notes = (f"The mean rank correlation between the methods is {np.mean(pairs):.2f}.", *left_out) if pairs else ()
        yield Step(np.mean(ranked, axis=0).reshape(canvas).astype(np.float32), index / len(chosen), notes)
