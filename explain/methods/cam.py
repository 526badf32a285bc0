"""Class activation maps: a weighted sum of the channels of the last activation. One forward pass, then only the head.

In the formulas, A_k is channel k of the features, y is the score (objective . logits), and ij is a cell. Every method takes
the `view` of a picture and the `objective` (classes,), the weights of the logits. The docstrings list its other options. Every
method also has the option `layer`, the name of an earlier layer: the view then holds the activation and the head of that layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import cv2
import numpy as np

from core.errors import ModelError, unknown
from core.options import Channels, Name, NameList, Rivals, Share, Zoom
from explain.baselines import make_baseline
from explain.methods.masks import blend
from explain.registry import Step, register
from explain.view import View
from models.classifier import softmax
from models.engine import BATCH
from models.geometry import resample
from models.head import LinearHead

MEMORY = 16 << 20  # bytes of masked features in one chunk


@register(
    "grad-cam", title="Grad-CAM", family="cam",
    summary="Shows which regions raise the score of the class. Start with this method.",
    paper="Selvaraju et al. 2017, Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
    link="https://arxiv.org/abs/1610.02391",
)  # fmt: skip
def grad_cam(view: View, objective: np.ndarray) -> np.ndarray:
    """Weigh each channel by its mean gradient: sum_k mean(d y / d A_k) A_k (Selvaraju et al. 2017, eq. 1 and 2).

    Signed, (fh, fw). The rendering applies the ReLU of the paper. Only the head is differentiated.
    """
    return view.features @ _feature_gradient(view, objective).mean((0, 1))


@register(
    "cam", title="CAM", family="cam", requires=("features", "linear"),
    summary="The sum of the channels, each times the class weight of the last layer. Needs pooling and one dense layer.",
    paper="Zhou et al. 2016, Learning Deep Features for Discriminative Localization",
    link="https://arxiv.org/abs/1512.04150",
)  # fmt: skip
def cam(view: View, objective: np.ndarray) -> np.ndarray:
    """sum_k w_k A_k with the dense layer's w (Zhou et al. 2016, eq. 2). Its mean: logit minus bias. Signed, (fh, fw)."""
    head = view.head
    if not isinstance(head, LinearHead):  # with any layer but the last before the pooling
        raise ModelError(f"cam needs the layer before the pooling of {view.classifier.name}; leave out `layer`.")
    return view.features @ (head.weights @ objective)


@register(
    "finer-cam", title="Finer-CAM", family="cam", forward_passes=2,
    summary="Grad-CAM of the class against the classes most similar to it, on a finer canvas.",
    paper="Zhang et al. 2025, Finer-CAM: Spotting the Difference Reveals Finer Details for Visual Explanation",
    link="https://arxiv.org/abs/2501.11309",
)  # fmt: skip
def finer_cam(view: View, objective: np.ndarray, *, rivals: Rivals = 20, strength: Share = 0.5, zoom: Zoom = 3) -> Step:
    """Grad-CAM of y minus the mean logit of similar classes (Zhang et al. 2025). Signed, on the finer grid.

    The similar classes are those with the highest logits on the canvas of the prediction. Their logits are averaged with their
    probabilities as weights, as in pytorch-grad-cam. If the user chose a class to compare with, only that class is subtracted.
    The defaults are not those of the paper; they were chosen by measurement.

    Args:
        rivals: How many similar classes.
        strength: How much of their mean logit is subtracted, in [0, 1]; 0 gives Grad-CAM.
        zoom: The height and the width of the canvas are multiplied by this for the map. A network with a fixed input size, or a
            large canvas, gets a smaller factor, down to 1.
    """
    contrast = oppose_rivals(view, objective, rivals, strength)
    finer = view.zoomed(zoom, contrast)
    notes = () if finer is view else (_describe_canvases(view, finer),)
    return Step(grad_cam(finer, contrast), notes=notes)


@register(
    "grad-cam++", title="Grad-CAM++", family="cam",
    summary="Grad-CAM with other channel weights, for pictures with several objects of the class.",
    paper="Chattopadhay et al. 2018, Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep CNNs",
    link="https://arxiv.org/abs/1710.11063",
)  # fmt: skip
def grad_cam_plus_plus(view: View, objective: np.ndarray) -> np.ndarray:
    """sum_k w_k A_k, w_k = sum_ij a_ij relu(g_ij), a_ij = g_ij^2 / (2 g_ij^2 + S g_ij^3), S = sum_ij A_ij.

    g = d y / d A. This is eq. 19 of Chattopadhay et al. 2018 for exp(y). The common factor exp(y) is left out: it scales
    all cells alike, and it overflows. Signed, (fh, fw), but rarely negative.
    """
    gradient = _feature_gradient(view, objective)
    square = gradient**2
    denominator = 2 * square + view.features.sum((0, 1)) * gradient * square
    share = np.divide(square, denominator, out=np.zeros_like(denominator), where=denominator != 0)
    return view.features @ (share * np.maximum(gradient, 0)).sum((0, 1))


@register(
    "hires-cam", title="HiRes-CAM", family="cam",
    summary="Multiplies each feature cell by its gradient. With a linear head the map sums to the score minus the bias.",
    paper="Draelos & Carin 2020, Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks",
    link="https://arxiv.org/abs/2011.08891",
)  # fmt: skip
def hires_cam(view: View, objective: np.ndarray) -> Step:
    """sum_k (d y / d A_k) A_k, cell by cell (Draelos & Carin 2020). Signed, (fh, fw).

    With global average pooling and one dense layer, the cells sum to the score minus its bias. The notes then give both
    numbers.
    """
    raw = (_feature_gradient(view, objective) * view.features).sum(-1)
    head = view.head
    if not isinstance(head, LinearHead):
        return Step(raw)
    score = float((view.logits - head.bias) @ objective)
    return Step(raw, notes=(f"The cells sum to {raw.sum():.3f}; the score minus its bias is {score:.3f}.",))


@register(
    "xgrad-cam", title="XGrad-CAM", family="cam",
    summary="Grad-CAM that averages the gradient of each channel over the cells where the channel is active.",
    paper="Fu et al. 2020, Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs",
    link="https://arxiv.org/abs/2008.02312",
)  # fmt: skip
def xgrad_cam(view: View, objective: np.ndarray) -> np.ndarray:
    """sum_k w_k A_k, w_k = sum_ij (A_ij / sum_ab A_ab) d y / d A_ij (Fu et al. 2020). Signed, (fh, fw).

    The cells have the same sum as those of HiRes-CAM.
    """
    total = view.features.sum((0, 1))
    weighted = (view.features * _feature_gradient(view, objective)).sum((0, 1))
    return view.features @ np.divide(weighted, total, out=np.zeros_like(total), where=total != 0)


@register(
    "layer-cam", title="Layer-CAM", family="cam",
    summary="Multiplies each feature cell by its positive gradient. Also works on earlier layers, which have more cells.",
    paper="Jiang et al. 2021, LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
    link="https://doi.org/10.1109/TIP.2021.3089943",
)  # fmt: skip
def layer_cam(view: View, objective: np.ndarray, *, layers: NameList = "") -> np.ndarray:
    """sum_k relu(d y / d A_k) A_k, cell by cell (Jiang et al. 2021). Signed, on the grid of the layer.

    The maps of several layers are fused as in the paper. The positive part of each is scaled by tanh(2 M / max M) (eq. 9)
    and resized to the finest grid. The result is their maximum.

    Args:
        layers: Names of layers of the Keras network, separated by commas. Empty: the last activation.

    Raises:
        UnknownNameError: A name is not that of a spatial map.
    """
    names = [name.strip() for name in layers.split(",") if name.strip()]
    pairs = [view.layer(name, objective) for name in names] or [(view.features, _feature_gradient(view, objective))]
    maps = [(np.maximum(gradient, 0) * activation).sum(-1) for activation, gradient in pairs]
    if len(maps) == 1:
        return maps[0]
    height, width = (max(sides) for sides in zip(*(layer.shape for layer in maps), strict=True))
    scaled = [np.tanh(2 * np.maximum(layer, 0) / (layer.max() if layer.max() > 0 else 1)) for layer in maps]
    return np.max([resample(layer, (height, width)) for layer in scaled], axis=0)


@register(
    "eigen-cam", title="Eigen-CAM", family="cam",
    summary="The first principal component of the feature channels. The target class decides only its sign.",
    paper="Muhammad & Yeasin 2020, Eigen-CAM: Class Activation Map using Principal Components",
    link="https://arxiv.org/abs/2008.00299",
)  # fmt: skip
def eigen_cam(view: View, objective: np.ndarray) -> np.ndarray:
    """Project the cells on the first principal component of the channels (Muhammad & Yeasin 2020).

    Signed, (fh, fw), with mean 0. A principal component has no sign of its own. The map gets the sign that makes it
    correlate positively with the evidence for the class, cell by cell (HiRes-CAM).
    """
    cells = view.features.reshape(-1, view.features.shape[-1]).astype(np.float64)
    centred = cells - cells.mean(0)
    if len(cells) < cells.shape[1]:  # decompose the smaller matrix: its eigenvectors are the projections
        squares, vectors = np.linalg.eigh(centred @ centred.T)
        projected = vectors[:, -1] * np.sqrt(max(squares[-1], 0))
    else:
        projected = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
    sign = -1 if projected @ hires_cam(view, objective).raw.ravel() < 0 else 1
    return (sign * projected).reshape(view.features.shape[:2])


@register(
    "score-cam", title="Score-CAM", family="cam", requires=("features",), forward_passes=66,
    summary="Masks the picture with one channel at a time. Channel weight: score above the baseline. No gradients.",
    paper="Wang et al. 2020, Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks",
    link="https://arxiv.org/abs/1910.01279",
)  # fmt: skip
def score_cam(view: View, objective: np.ndarray, *, channels: Channels = 64, fill: Name = "grey") -> Iterator[Step]:
    """sum_k w_k A_k, w_k = y(picture masked by A_k) - y(baseline) (Wang et al. 2020). Signed, (fh, fw).

    The mask is A_k, resized to the canvas and scaled to [0, 1]. It mixes the picture with the baseline. The scores are
    logits, without the softmax. The channels that vary most come first.

    Args:
        channels: How many channels to use: those that vary most over the picture. 0 for all.
        fill: The baseline, see explain.baselines. Grey is the zero of the normalised pixels in the paper.
    """
    baseline = make_baseline(view, fill)
    variation = view.features.std((0, 1))
    chosen = np.argsort(-variation, kind="stable")[: channels or None]
    chosen = chosen[variation[chosen] > 0]  # a constant channel makes no mask
    difference, baseline_score = view.canvas - baseline, view.scores(baseline[None], objective)[0]
    raw = np.zeros(view.features.shape[:2], np.float32)
    if not chosen.size:
        yield Step(raw)
    for start in range(0, len(chosen), BATCH):
        activations = view.features[..., chosen[start : start + BATCH]]
        masks = (_unit_range(resample(channel, view.geometry.canvas)) for channel in np.moveaxis(activations, -1, 0))
        scores = view.scores(np.stack([blend(baseline, difference, mask) for mask in masks]), objective)
        raw = raw + activations @ (scores - baseline_score)
        yield Step(raw, min(start + BATCH, len(chosen)) / len(chosen))


@register(
    "ablation-cam", title="Ablation-CAM", family="cam", requires=("features",),
    summary="The weight of a channel is the drop of the score without it. No gradients. Only the head runs again.",
    paper="Desai & Ramaswamy 2020, Ablation-CAM: Visual Explanations for Deep CNNs via Gradient-free Localization",
    link="https://doi.org/10.1109/WACV45572.2020.9093360",
)  # fmt: skip
def ablation_cam(view: View, objective: np.ndarray) -> np.ndarray:
    """sum_k w_k A_k, w_k = (y - y without channel k) / |y| (Desai & Ramaswamy 2020). Signed, (fh, fw).

    The paper divides by y, which would invert the map where y is negative. A linear head has the closed form
    y - y_k = mean(A_k) d y / d mean(A_k). Any other head runs once per channel.
    """
    head, score = view.head, float(view.logits @ objective)
    count = view.features.shape[-1]
    if isinstance(head, LinearHead):
        drops = view.features.mean((0, 1)) * (head.weights @ objective)
    else:
        drops = score - _scores_of_head(view, (np.arange(count) != channel for channel in range(count)), objective)
    return view.features @ (drops / (abs(score) or 1)).astype(np.float32)


@register(
    "recipro-cam", title="Recipro-CAM", family="cam", requires=("features",),
    summary="Keeps one cell of the feature map at a time. Its value is the score with this cell alone. No gradients.",
    paper="Byun & Lee 2022, Recipro-CAM: Fast gradient-free visual explanations for convolutional neural networks",
    link="https://arxiv.org/abs/2209.14074",
)  # fmt: skip
def recipro_cam(view: View, objective: np.ndarray, *, mask: Name = "gaussian") -> np.ndarray:
    """y(features masked around each cell) - y(no features) (Byun & Lee 2022). Signed, (fh, fw).

    The score without features is subtracted, so that zero means no evidence. With a linear head, "cell" gives CAM divided
    by the number of cells.

    Args:
        mask: "gaussian", 3x3 cells that sum to 1, or "cell", the cell alone. Another name raises UnknownNameError.
    """
    if mask not in _MASKS:
        raise unknown("mask for recipro-cam", mask, _MASKS)
    kernel, head = _MASKS[mask], view.head
    height, width = view.features.shape[:2]
    if isinstance(head, LinearHead):
        alone = view.features @ (head.weights @ objective.astype(np.float32)) / (height * width)
        return cv2.filter2D(alone, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    margin = kernel.shape[0] // 2

    def masks() -> Iterator[np.ndarray]:
        for y, x in np.ndindex(height, width):
            padded = np.zeros((height + 2 * margin, width + 2 * margin, 1), np.float32)
            padded[y : y + len(kernel), x : x + len(kernel), 0] = kernel
            yield padded[margin : margin + height, margin : margin + width]

    nothing = float(head.logits(np.zeros_like(view.features)[None])[0] @ objective)
    return _scores_of_head(view, masks(), objective).reshape(height, width) - nothing


_MASKS: dict[str, np.ndarray] = {
    "gaussian": np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16,
    "cell": np.ones((1, 1), np.float32),
}


def oppose_rivals(view: View, objective: np.ndarray, rivals: int, strength: float = 1.0) -> np.ndarray:
    """The objective (classes,) of one class minus `strength` times the weighted mean of the classes that compete with it.

    The `rivals` classes of the highest logits are weighted by the softmax of their logits. An objective that already
    contrasts classes is returned as it is.
    """
    order = np.argsort(-view.logits, kind="stable")
    others = order[objective[order] == 0][:rivals]
    if not others.size or (objective < 0).any():
        return objective
    opposed = objective.astype(np.float32)
    opposed[others] = -strength * softmax(view.logits[others])
    return opposed


def _describe_canvases(view: View, finer: View) -> str:
    """A sentence with the canvas of the prediction and that of the map."""
    (height, width), (tall, wide) = view.geometry.canvas, finer.geometry.canvas
    return f"The prediction was made on a canvas of {width}x{height}, the map on one of {wide}x{tall}."


def _feature_gradient(view: View, objective: np.ndarray) -> np.ndarray:
    """d y / d A, (fh, fw, C)."""
    return view.head.gradient(view.features[None], objective)[0]


def _scores_of_head(view: View, masks: Iterable[np.ndarray], objective: np.ndarray) -> np.ndarray:
    """The score (N,) that the head gives to the features times each mask. Runs in chunks of bounded memory."""
    pending, scores = iter(masks), []
    while chunk := list(islice(pending, max(1, MEMORY // view.features.nbytes))):
        masked = np.stack([view.features * mask for mask in chunk])
        scores.append(view.head.logits(masked) @ objective)
    return np.concatenate(scores)


def _unit_range(values: np.ndarray) -> np.ndarray:
    """The values scaled to [0, 1]; zero where they are constant."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
