"""Class activation maps: weigh the channels of the last activation. One forward pass, then the head only.

In the formulas A_k is channel k of the features, y the score (target . logits), and ij a cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import cv2
import numpy as np

from explain.baseline import baseline
from explain.masks import blend
from explain.registry import Step, register
from explain.view import View
from models.engine import BATCH
from models.errors import ModelError, UserError, unknown
from models.geometry import resample
from models.head import LinearHead

MEMORY = 16 << 20  # bytes of masked features at a time


@register(
    "grad-cam",
    title="Grad-CAM",
    family="cam",
    summary="Which regions raise the score of the class. The one to start with.",
    paper="Selvaraju et al. 2017, Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
)
def grad_cam(view: View, target: np.ndarray) -> np.ndarray:
    """Channels weighed by their mean gradient: sum_k mean(d y / d A_k) A_k (Selvaraju et al. 2017, eq. 1 and 2).

    Signed, (fh, fw); the paper's ReLU is left to the rendering. Only the head is differentiated.
    """
    return view.features @ _gradient(view, target).mean((0, 1))


@register(
    "cam",
    title="CAM",
    family="cam",
    summary="The original: the class's own weights on the last channels. Exact for pooling + one dense layer.",
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


@register(
    "grad-cam++",
    title="Grad-CAM++",
    family="cam",
    summary="Grad-CAM with weights that do justice to several objects of the class in one picture.",
    paper="Chattopadhay et al. 2018, Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep CNNs",
)
def grad_cam_plus_plus(view: View, target: np.ndarray) -> np.ndarray:
    """sum_k w_k A_k, w_k = sum_ij a_ij relu(g_ij), a_ij = g_ij^2 / (2 g_ij^2 + S g_ij^3), S = sum_ij A_ij.

    g = d y / d A. Chattopadhay et al. 2018, eq. 19 for exp(y), whose common factor exp(y) is left out: it changes no
    relation between cells, and overflows. Signed, (fh, fw), though rarely negative.
    """
    gradient = _gradient(view, target)
    square = gradient**2
    below = 2 * square + view.features.sum((0, 1)) * gradient * square
    share = np.divide(square, below, out=np.zeros_like(below), where=below != 0)
    return view.features @ (share * np.maximum(gradient, 0)).sum((0, 1))


@register(
    "hires-cam",
    title="HiRes-CAM",
    family="cam",
    summary="Every cell weighed by its own gradient. With pooling and one dense layer, cells sum to the score less its bias.",
    paper="Draelos & Carin 2020, Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks",
)
def hires_cam(view: View, target: np.ndarray) -> Step:
    """sum_k (d y / d A_k) A_k, cell by cell (Draelos & Carin 2020). Signed, (fh, fw).

    Behind pooling and one dense layer the cells sum to the score less its bias: both figures are in the notes.
    """
    raw = (_gradient(view, target) * view.features).sum(-1)
    head = view.classifier.head
    if not isinstance(head, LinearHead):
        return Step(raw)
    score = float((view.logits - head.bias) @ target)
    return Step(raw, notes=(f"Its cells sum to {raw.sum():.3f}, the score less its bias is {score:.3f}.",))


@register(
    "xgrad-cam",
    title="XGrad-CAM",
    family="cam",
    summary="Grad-CAM with gradients averaged where each channel is active; its cells sum to what those of HiRes-CAM do.",
    paper="Fu et al. 2020, Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs",
)
def xgrad_cam(view: View, target: np.ndarray) -> np.ndarray:
    """sum_k w_k A_k, w_k = sum_ij (A_ij / sum_ab A_ab) d y / d A_ij (Fu et al. 2020). Signed, (fh, fw)."""
    total = view.features.sum((0, 1))
    weighted = (view.features * _gradient(view, target)).sum((0, 1))
    return view.features @ np.divide(weighted, total, out=np.zeros_like(total), where=total != 0)


@register(
    "layer-cam",
    title="Layer-CAM",
    family="cam",
    summary="Cells weighed by their own positive gradients; also for earlier layers, where the map is finer.",
    paper="Jiang et al. 2021, LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
)
def layer_cam(view: View, target: np.ndarray, *, layers: str = "") -> np.ndarray:
    """sum_k relu(d y / d A_k) A_k, cell by cell (Jiang et al. 2021). Signed, on the grid of its layer.

    `layers`: names of layers of the Keras network, separated by commas; by default the last activation. Of several, the
    positive parts are scaled by tanh(2 M / max M) (eq. 9), brought to the finest grid, and their maximum is taken. Raises
    UnknownNameError for a name that is not a spatial map.
    """
    names = [name.strip() for name in layers.split(",") if name.strip()]
    pairs = [view.layer(name, target) for name in names] or [(view.features, _gradient(view, target))]
    maps = [(np.maximum(gradient, 0) * activation).sum(-1) for activation, gradient in pairs]
    if len(maps) == 1:
        return maps[0]
    height, width = (max(extents) for extents in zip(*(found.shape for found in maps), strict=True))
    scaled = [np.tanh(2 * np.maximum(found, 0) / (found.max() if found.max() > 0 else 1)) for found in maps]
    return np.max([resample(found, (height, width)) for found in scaled], axis=0)


@register(
    "eigen-cam",
    title="Eigen-CAM",
    family="cam",
    summary="The pattern that the most channels share. It hardly asks for the class: that only decides which side is positive.",
    paper="Muhammad & Yeasin 2020, Eigen-CAM: Class Activation Map using Principal Components",
)
def eigen_cam(view: View, target: np.ndarray) -> np.ndarray:
    """The cells projected on the first principal component of the channels (Muhammad & Yeasin 2020).

    Signed, (fh, fw), of mean 0. A principal component has no sign; the map gets the one with which it correlates with the
    evidence for the class, cell by cell (HiRes-CAM).
    """
    cells = view.features.reshape(-1, view.features.shape[-1]).astype(np.float64)
    centred = cells - cells.mean(0)
    if len(cells) < cells.shape[1]:  # the smaller matrix: products of cells, whose eigenvectors are the projections
        squares, vectors = np.linalg.eigh(centred @ centred.T)
        projected = vectors[:, -1] * np.sqrt(max(squares[-1], 0))
    else:
        projected = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
    sign = -1 if projected @ hires_cam(view, target).raw.ravel() < 0 else 1
    return (sign * projected).reshape(view.features.shape[:2])


@register(
    "score-cam",
    title="Score-CAM",
    family="cam",
    summary="Shows the network the picture through each channel and weighs it by the score that comes back. No gradients.",
    forward=66,
    paper="Wang et al. 2020, Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks",
)
def score_cam(view: View, target: np.ndarray, *, channels: int = 64, fill: str = "grey") -> Iterator[Step]:
    """sum_k w_k A_k, w_k = y(picture seen through A_k) - y(nothing) (Wang et al. 2020).

    Seen through: A_k at the size of the canvas, scaled to [0, 1], mixes the picture with the `fill` (see explain.baseline;
    grey is the zero of the normalised pixels that the paper multiplies). `channels`: how many, those that vary most over
    the picture; 0 for all. Logits, without the softmax. Signed, (fh, fw); the strongest channels come first.
    """
    if channels < 0:
        raise UserError(f"channels is how many to use, or 0 for all; got {channels}.")
    empty = baseline(view, fill)
    spread = view.features.std((0, 1))
    chosen = np.argsort(-spread, kind="stable")[: channels or None]
    chosen = chosen[spread[chosen] > 0]  # a channel that is everywhere the same shows nothing
    shown, lowest = view.canvas - empty, view.scores(empty[None], target)[0]
    raw = np.zeros(view.features.shape[:2], np.float32)
    if not chosen.size:
        yield Step(raw)
    for start in range(0, len(chosen), BATCH):
        some = view.features[..., chosen[start : start + BATCH]]
        masks = (_unit(resample(channel, view.geometry.canvas)) for channel in np.moveaxis(some, -1, 0))
        found = view.scores(np.stack([blend(empty, shown, mask) for mask in masks]), target)
        raw = raw + some @ (found - lowest)
        yield Step(raw, min(start + BATCH, len(chosen)) / len(chosen))


@register(
    "ablation-cam",
    title="Ablation-CAM",
    family="cam",
    summary="Channels weighed by how much of the score goes when they are taken away. No gradients.",
    paper="Desai & Ramaswamy 2020, Ablation-CAM: Visual Explanations for Deep CNNs via Gradient-free Localization",
)
def ablation_cam(view: View, target: np.ndarray) -> np.ndarray:
    """sum_k w_k A_k, w_k = (y - y without channel k) / |y| (Desai & Ramaswamy 2020). Signed, (fh, fw).

    The paper divides by y, which would turn the map over where y is negative. A linear head has the closed form
    y - y_k = mean(A_k) d y / d mean(A_k); any other is asked once a channel.
    """
    head, score = view.classifier.head, float(view.logits @ target)
    count = view.features.shape[-1]
    if isinstance(head, LinearHead):
        drops = view.features.mean((0, 1)) * (head.weights @ target)
    else:
        drops = score - _through_head(view, (np.arange(count) != channel for channel in range(count)), target)
    return view.features @ (drops / (abs(score) or 1)).astype(np.float32)


@register(
    "recipro-cam",
    title="Recipro-CAM",
    family="cam",
    summary="Leaves the network one cell of its features at a time and shows how much of the score that cell gives alone.",
    paper="Byun & Lee 2022, Recipro-CAM: Fast gradient-free visual explanations for convolutional neural networks",
)
def recipro_cam(view: View, target: np.ndarray, *, mask: str = "gaussian") -> np.ndarray:
    """y(features through a mask around each cell) - y(no features) (Byun & Lee 2022). Signed, (fh, fw).

    `mask`: "gaussian", 3x3 cells that sum to 1, or "cell", that one alone. What no features give is taken off so that
    zero means no evidence. With a linear head, "cell" is CAM over the number of cells.
    """
    if mask not in _MASKS:
        raise unknown("mask for recipro-cam", mask, _MASKS)
    kernel, head = _MASKS[mask], view.classifier.head
    height, width = view.features.shape[:2]
    if isinstance(head, LinearHead):
        alone = view.features @ (head.weights @ target.astype(np.float32)) / (height * width)
        return cv2.filter2D(alone, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    around = kernel.shape[0] // 2

    def masks() -> Iterator[np.ndarray]:
        for y, x in np.ndindex(height, width):
            padded = np.zeros((height + 2 * around, width + 2 * around, 1), np.float32)
            padded[y : y + len(kernel), x : x + len(kernel), 0] = kernel
            yield padded[around : around + height, around : around + width]

    nothing = float(head.logits(np.zeros_like(view.features)[None])[0] @ target)
    return _through_head(view, masks(), target).reshape(height, width) - nothing


_MASKS: dict[str, np.ndarray] = {
    "gaussian": np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16,
    "cell": np.ones((1, 1), np.float32),
}


def _gradient(view: View, target: np.ndarray) -> np.ndarray:
    """d y / d A, (fh, fw, C)."""
    return view.classifier.head.gradient(view.features[None], target)[0]


def _through_head(view: View, masks: Iterable[np.ndarray], target: np.ndarray) -> np.ndarray:
    """The score (N,) that the head gives to the features times each mask, in chunks of bounded memory."""
    pending, scores = iter(masks), []
    while chunk := list(islice(pending, max(1, MEMORY // view.features.nbytes))):
        masked = np.stack([view.features * mask for mask in chunk])
        scores.append(view.classifier.head.logits(masked) @ target)
    return np.concatenate(scores)


def _unit(values: np.ndarray) -> np.ndarray:
    """Scaled to [0, 1]; zero where it is constant."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
