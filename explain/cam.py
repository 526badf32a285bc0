"""Class activation maps: weigh the channels of the last activation. One forward pass, then the head only."""

from __future__ import annotations

import numpy as np

from explain.registry import register
from explain.view import View
from models.errors import ModelError
from models.head import LinearHead


@register(
    "grad-cam",
    title="Grad-CAM",
    family="cam",
    summary="Which regions raise the score of the class. The one to start with.",
    cost="1 forward pass",
    paper="Selvaraju et al. 2017, Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
)
def grad_cam(view: View, target: np.ndarray) -> np.ndarray:
    """Channels weighed by their mean gradient: sum_k mean(d y / d A_k) A_k (Selvaraju et al. 2017, eq. 1 and 2).

    Signed, (fh, fw); the paper's ReLU is left to the rendering. Only the head is differentiated.
    """
    gradient = view.classifier.head.gradient(view.features[None], target)[0]
    return view.features @ gradient.mean((0, 1))


@register(
    "cam",
    title="CAM",
    family="cam",
    summary="The original: the class's own weights on the last channels. Exact for pooling + one dense layer.",
    cost="1 forward pass",
    paper="Zhou et al. 2016, Learning Deep Features for Discriminative Localization",
)
def cam(view: View, target: np.ndarray) -> np.ndarray:
    """Channels weighed by the dense layer: sum_k w_k A_k (Zhou et al. 2016, eq. 2). Signed, (fh, fw).

    Its mean over the cells is the logit minus its bias. Raises ModelError unless the head is global average pooling and
    one dense layer.
    """
    head = view.classifier.head
    if not isinstance(head, LinearHead):
        raise ModelError(
            f"cam needs a model that ends in global average pooling and one dense layer, and {view.classifier.name} "
            "does not; use grad-cam."
        )
    return view.features @ (head.weights @ target)
