"""Gradients of the score by the pixels."""

from __future__ import annotations

import numpy as np

from explain.registry import register
from explain.view import View


@register(
    "saliency",
    title="Saliency",
    family="gradient",
    summary="Which pixels would change the score fastest if they changed a little. Fine but grainy.",
    cost="1 forward and 1 backward pass",
    paper="Simonyan et al. 2014, Deep Inside Convolutional Networks",
    percentile=99.0,
)
def saliency(view: View, target: np.ndarray) -> np.ndarray:
    """max over the channels of |d y / d pixel| (Simonyan et al. 2014, section 3.1). (h, w), not negative."""
    return np.abs(view.gradient(view.canvas[None], target)[0]).max(-1)
