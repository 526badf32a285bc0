"""Methods for transformers: they follow the attention between tokens from layer to layer.

In the formulas, A is the attention of one layer (heads, tokens, tokens); row i has the shares that token i takes from each
token. y is the score (objective . logits). Every method takes the `view` of a picture and the `objective` (classes,).
"""

from __future__ import annotations

import numpy as np

from explain.registry import register
from explain.view import View


@register(
    "attention-rollout", title="Attention rollout", family="attention", backward_passes=1, passes_sanity_check=False,
    summary="Follows the attention through all layers of a transformer. The target class has no effect.",
    paper="Abnar & Zuidema 2020, Quantifying Attention Flow in Transformers",
    link="https://arxiv.org/abs/2005.00928",
)  # fmt: skip
def attention_rollout(view: View, objective: np.ndarray) -> np.ndarray:
    """The product over the layers of (mean over the heads of A + identity) / 2 (Abnar & Zuidema 2020, eq. 1).

    (rows, columns) of the tokens, not negative: the share that the class token takes from each cell, or the mean over all
    tokens that the score depends on. The identity stands for the path around the attention. `view` is the picture; the
    `objective` only tells on which tokens the score depends.
    """
    attention, _, is_used = view.attention(objective)
    identity = np.eye(len(is_used))
    rollout = identity
    for layer in attention:
        rollout = (layer + identity) / 2 @ rollout
    return _cells(view, rollout, is_used)


@register(
    "gradient-attention", title="Gradient attention", family="attention", backward_passes=1,
    summary="Follows the attention that raises the score of the class through all layers of a transformer.",
    paper="Chefer et al. 2021, Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder "
    "Transformers",
    link="https://arxiv.org/abs/2103.15679",
)  # fmt: skip
def gradient_attention(view: View, objective: np.ndarray) -> np.ndarray:
    """R = R + B R from layer to layer, where B is the mean over the heads of relu(A * dy/dA), and R is the identity at first.

    Chefer et al. 2021, eq. 5 and 6. (rows, columns) of the tokens, not negative: what the class token takes from each cell, or
    the mean over all tokens that the score depends on. The first identity is left out of the map: it is the same everywhere.
    """
    _, effect, is_used = view.attention(objective)
    identity = np.eye(len(is_used))
    relevance = identity
    for layer in effect:
        relevance = relevance + layer @ relevance
    return _cells(view, relevance - identity, is_used)


def _cells(view: View, flow: np.ndarray, is_used: np.ndarray) -> np.ndarray:
    """The mean row of `flow` (tokens, tokens) over the tokens that the score depends on, as a map of the cells.

    Tokens that are no cell, such as a class token, come before the cells.
    """
    rows, columns = view.features.shape[:2]
    row = is_used @ flow / max(is_used.sum(), 1)
    return row[len(row) - rows * columns :].reshape(rows, columns)
