"""Methods that use the gradient of the score with respect to the pixels.

In the formulas, x is the picture on its canvas and y is the score (objective . logits). The padding around a picture never
counts: baselines and blurs replace the picture only. Every method takes the `view` of a picture and the `objective`
(classes,), the weights of the logits. The docstrings list its other options. One outside its range raises UserError.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from core.errors import UserError
from core.options import Fraction, Levels, Name, NameList, Noise, Pairs, Regions, Samples, Seed, Share, Sigma, Steps
from explain.baselines import make_baseline
from explain.methods.cam import grad_cam
from explain.methods.masks import follow_side, pad_to_canvas, picture_box
from explain.registry import Step, register
from explain.view import View
from models.engine import BATCH as FORWARD_BATCH
from models.geometry import resample
from models.gradients import BATCH as GRADIENT_BATCH


@register(
    "saliency", title="Saliency", family="gradient", backward_passes=1, percentile=99.0,
    summary="The absolute gradient of the score with respect to each pixel. Fine detail, but noisy.",
    paper="Simonyan et al. 2014, Deep Inside Convolutional Networks",
    link="https://arxiv.org/abs/1312.6034",
)  # fmt: skip
def saliency(view: View, objective: np.ndarray) -> np.ndarray:
    """max over the channels of |d y / d pixel| (Simonyan et al. 2014, section 3.1). (h, w), not negative."""
    return np.abs(view.gradient(view.canvas[None], objective)[0]).max(-1)


@register(
    "gradient-x-input", title="Gradient x input", family="gradient", backward_passes=1, percentile=99.0, sign="absolute",
    summary="The gradient times the pixel value: a first-order contribution. 0 for black pixels. Both signs, noisy.",
    paper="Shrikumar et al. 2016, Not Just a Black Box: Learning Important Features Through Propagating Activation Differences",
    link="https://arxiv.org/abs/1605.01713",
)  # fmt: skip
def gradient_x_input(view: View, objective: np.ndarray) -> np.ndarray:
    """sum over the channels of pixel * d y / d pixel (Shrikumar et al. 2016). Signed, (h, w)."""
    return (view.canvas * view.gradient(view.canvas[None], objective)[0]).sum(-1)


@register(
    "smoothgrad", title="SmoothGrad", family="gradient", backward_passes=20, percentile=99.0,
    summary="Saliency averaged over noisy copies of the picture. The map is less noisy.",
    paper="Smilkov et al. 2017, SmoothGrad: removing noise by adding noise",
    link="https://arxiv.org/abs/1706.03825",
)  # fmt: skip
def smoothgrad(
    view: View, objective: np.ndarray, *, samples: Samples = 20, noise: Noise = 0.15, seed: Seed = 0
) -> Iterator[Step]:
    """max over the channels of |mean of d y / d x at x + normal noise| (Smilkov et al. 2017). (h, w), not negative.

    Args:
        samples: Number of noisy copies, at least 1.
        noise: Standard deviation of the noise, as a share of the pixel range 255, at least 0.
        seed: Decides the noise, at least 0.
    """
    total, done = np.zeros(view.canvas.shape), 0
    for gradients in _noisy_gradients(view, objective, samples, noise, seed):
        total += gradients.sum(0, dtype=np.float64)
        done += len(gradients)
        yield Step(np.abs(total / done).max(-1), done / samples)


@register(
    "vargrad", title="VarGrad", family="gradient", backward_passes=20, percentile=99.0,
    summary="The variance of the gradient over noisy copies of the picture. Often high at edges. No signs.",
    paper="Adebayo et al. 2018, Local Explanation Methods for Deep Neural Networks Lack Sensitivity to Parameter Values",
    link="https://arxiv.org/abs/1810.03307",
)  # fmt: skip
def vargrad(
    view: View, objective: np.ndarray, *, samples: Pairs = 20, noise: Noise = 0.15, seed: Seed = 0
) -> Iterator[Step]:
    """max over the channels of the variance of d y / d x at x + normal noise (Adebayo et al. 2018). (h, w), not negative.

    Args:
        samples: Number of noisy copies, at least 2.
        noise: Standard deviation of the noise, as a share of the pixel range 255, at least 0.
        seed: Decides the noise, at least 0.
    """
    reference: np.ndarray | None = None
    done = 0
    total, squares = np.zeros(view.canvas.shape), np.zeros(view.canvas.shape)
    for gradients in _noisy_gradients(view, objective, samples, noise, seed):
        # The variance does not depend on the reference. Small differences from it lose fewer digits when they are squared.
        reference = gradients[0] if reference is None else reference
        shifted = gradients.astype(np.float64) - reference
        total += shifted.sum(0)
        squares += (shifted**2).sum(0)
        done += len(gradients)
        yield Step(np.maximum(squares / done - (total / done) ** 2, 0).max(-1), done / samples)


@register(
    "integrated-gradients", title="Integrated Gradients", family="gradient",
    forward_passes=2, backward_passes=32, percentile=99.0, sign="absolute",
    summary="The mean gradient on a path from baseline to picture, times the difference. Sums to the score difference.",
    paper="Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks",
    link="https://arxiv.org/abs/1703.01365",
)  # fmt: skip
def integrated_gradients(
    view: View, objective: np.ndarray, *, steps: Steps = 32, baseline: NameList = "black"
) -> Iterator[Step]:
    """(x - x') * integral over t of d y / d x at x' + t (x - x'), summed over the channels (Sundararajan et al. 2017).

    Signed, (h, w). The map sums to y(x) - y(x'), except for the completeness gap in the notes. The nodes do not run in the
    order of the path: the first ones already cover the whole path. An intermediate map is the weighted mean over them.

    Args:
        steps: Number of Gauss-Legendre nodes of the integral, at least 1.
        baseline: x', see explain.baselines. Several names, separated by commas, give the mean of their maps.
    """
    kinds = [kind.strip() for kind in baseline.split(",")]
    baselines = np.stack([_replace_picture(view, make_baseline(view, kind)) for kind in kinds])
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    nodes, weights = (nodes + 1) / 2, weights / 2
    # Sorting by multiples of the golden ratio, modulo 1, spreads the first nodes over the whole path.
    order = np.argsort(np.arange(steps) * 0.618034 % 1)
    sum_of_maps = np.zeros(view.canvas.shape[:2])
    for index, start_canvas in enumerate(baselines):
        difference = view.canvas - start_canvas
        total, weight_so_far = np.zeros(view.canvas.shape), 0.0
        for start in range(0, steps, GRADIENT_BATCH):
            chosen = order[start : start + GRADIENT_BATCH]
            points = start_canvas + nodes[chosen, None, None, None].astype(np.float32) * difference
            total += np.einsum("n,nhwc->hwc", weights[chosen], view.gradient(points, objective))
            weight_so_far += weights[chosen].sum()
            current = (difference * total / weight_so_far).sum(-1)
            done = index + (start + len(chosen)) / steps
            if done < len(baselines):
                yield Step((sum_of_maps + current) / (index + 1), done / len(baselines))
        sum_of_maps += current
    raw = sum_of_maps / len(baselines)
    score_change = float(view.logits @ objective) - float(view.scores(baselines, objective).mean())
    yield Step(raw, notes=_completeness_note(raw, score_change))


@register(
    "blur-ig", title="Blur Integrated Gradients", family="gradient",
    forward_passes=2, backward_passes=32, percentile=99.0, sign="positive",
    follow={"sigma": lambda view, _: _first_blur(follow_side(view))},
    summary="Integrated gradients on a path from the blurred to the sharp picture. Needs no baseline colour.",
    paper="Xu et al. 2020, Attribution in Scale and Space",
    link="https://arxiv.org/abs/2004.03383",
)  # fmt: skip
def blur_ig(view: View, objective: np.ndarray, *, steps: Steps = 32, sigma: Sigma = 50.0) -> Iterator[Step]:
    """The integral of d y / d x along a path of decreasing Gaussian blur, summed over the channels (Xu et al. 2020).

    Signed, (h, w). The map sums to y(x) - y(blurred), except for the completeness gap in the notes. An intermediate map
    covers the path so far.

    Args:
        steps: Number of straight pieces of the path, at least 1; the gradient is that at the middle of each piece. Point k
            of the path has a blur of sigma * (1 - k / steps)^2.
        sigma: Standard deviation of the first blur, in pixels of the canvas, above 0. By default 50 for a picture whose side
            on the canvas is about 224, and as much of any other side.
    """
    if not sigma > 0:
        raise UserError(f"blur-ig needs a sigma above 0; got {sigma}.")
    widths = sigma * np.linspace(1, 0, steps + 1) ** 2
    blurred = last_point = _blur_picture(view, widths[0])
    raw = np.zeros(view.canvas.shape[:2])
    for start in range(0, steps, GRADIENT_BATCH):
        next_widths = widths[start + 1 : start + 1 + GRADIENT_BATCH]
        points = np.stack([last_point, *(_blur_picture(view, width) for width in next_widths)])
        gradients = view.gradient((points[:-1] + points[1:]) / 2, objective)
        raw += (np.diff(points, axis=0) * gradients).sum((0, -1), dtype=np.float64)
        last_point = points[-1]
        done = start + len(gradients)
        if done < steps:
            yield Step(raw.copy(), done / steps)
    score_change = float(view.logits @ objective) - float(view.scores(blurred[None], objective)[0])
    yield Step(raw, notes=_completeness_note(raw, score_change))


@register(
    "guided-ig", title="Guided Integrated Gradients", family="gradient",
    forward_passes=2, backward_passes=65, percentile=99.0, sign="absolute",
    summary="Integrated gradients on a path that first changes the values with small gradients. Less noise.",
    paper="Kapishnikov et al. 2021, Guided Integrated Gradients: an Adaptive Path Method for Removing Noise",
    link="https://arxiv.org/abs/2106.09788",
)  # fmt: skip
def guided_ig(
    view: View, objective: np.ndarray, *, steps: Steps = 64, fraction: Fraction = 0.25, distance: Share = 0.02,
    baseline: Name = "black",
) -> Iterator[Step]:  # fmt: skip
    """Integrated gradients on a path that the gradients choose, near the straight line (Kapishnikov et al. 2021, section 3).

    Each step changes the values with the smallest |d y / d x| first. Signed, (h, w). The map sums to y(x) - y(x'), except for
    the completeness gap in the notes. The points of the path are those of the authors' code. They multiply each step by the
    gradient at its start; the mean of the gradients at both ends gives a smaller gap, and an exact sum if y is quadratic.

    Args:
        steps: Number of steps of the path, at least 1. All have the same length, as a sum of absolute differences.
        fraction: The share of all values that a step changes at once, before it turns to those with larger gradients.
        distance: How far a value may be from the straight line, as a share of its way. 0 gives integrated gradients.
        baseline: x', where the path begins, see explain.baselines.
    """
    box = picture_box(view)
    point = _replace_picture(view, make_baseline(view, baseline)).astype(np.float64)
    start_canvas = point.astype(np.float32)
    way = (view.canvas - point)[box]
    done = np.where(way == 0, 1.0, 0.0)  # the share of its way that each value has made
    start, raw = point[box].copy(), np.zeros(view.canvas.shape[:2])
    gradient = view.gradient(start_canvas[None], objective)[0]
    for step in range(1, steps + 1):
        before = done
        done = _advance(done, np.abs(way), np.abs(gradient[box]), step / steps, fraction, distance)
        point[box] = start + done * way
        next_gradient = view.gradient(point[None].astype(np.float32), objective)[0]
        raw[box] += ((done - before) * way * (gradient + next_gradient)[box] / 2).sum(-1)
        gradient = next_gradient
        if step % GRADIENT_BATCH == 0 and step < steps:
            yield Step(raw.copy(), step / steps)
    score_change = float(view.logits @ objective) - float(view.scores(start_canvas[None], objective)[0])
    yield Step(raw, notes=_completeness_note(raw, score_change))


@register(
    "full-grad", title="FullGrad", family="gradient", backward_passes=1, percentile=99.0, requires=("gradient", "guided"),
    summary="Gradient x input, and the same for the bias of each layer. Without absolute values, all terms sum to the score.",
    paper="Srinivas & Fleuret 2019, Full-Gradient Representation for Neural Network Visualization",
    link="https://arxiv.org/abs/1905.00780",
)  # fmt: skip
def full_grad(view: View, objective: np.ndarray) -> Step:
    """The absolute terms of the pixels and of the biases of all layers (Srinivas & Fleuret 2019). (h, w), not negative.

    The terms sum to the score, for every network; the notes give both numbers. For the map, the absolute terms of a layer are
    divided by the largest of them, summed over the channels, and resized to the canvas.
    """
    total, maps = view.full_gradient(objective)
    raw = np.sum([resample(each, view.geometry.canvas) for each in maps], axis=0)
    return Step(raw, notes=(f"The terms sum to {total:.3f}; the score is {float(view.logits @ objective):.3f}.",))


@register(
    "finite-differences", title="Finite differences", family="gradient", forward_passes=197, requires=(),
    summary="Makes one region after another slightly lighter and measures how the score changes. A coarse gradient.",
    paper="Simonyan et al. 2014, the gradient of Deep Inside Convolutional Networks as a difference quotient",
    link="https://arxiv.org/abs/1312.6034",
)  # fmt: skip
def finite_differences(view: View, objective: np.ndarray, *, grid: Regions = 14, nudge: Levels = 8.0) -> Iterator[Step]:
    """(y(x + nudge on a region) - y(x)) / nudge for every region (the gradient of Simonyan et al. 2014 as a quotient).

    The nudge is added to all pixels of one region. Signed, (h, w), constant within a region; 0 where no pass has run yet.

    Args:
        grid: Number of regions per side of the picture, at least 1.
        nudge: Grey levels that are added to all channels; negative to subtract, but not 0.
    """
    if nudge == 0:
        raise UserError("finite-differences needs a nudge other than 0.")
    _, _, height, width = view.geometry.box
    rows, columns = (np.arange(length) * min(grid, length) // length for length in (height, width))
    region = rows[:, None] * (columns[-1] + 1) + columns
    count = int(region.max()) + 1
    before = float(view.logits @ objective)
    rounding = 1e-6 * float(np.abs(view.logits).max())  # two passes may differ by this much without any change
    slopes = np.zeros(count, np.float32)
    for start in range(0, count, FORWARD_BATCH):
        chosen = np.arange(start, min(start + FORWARD_BATCH, count))
        lighter = np.stack([pad_to_canvas(view, np.where(region == index, nudge, 0)) for index in chosen])
        change = view.scores(view.canvas + lighter[..., None], objective) - before
        change[np.abs(change) <= rounding] = 0
        slopes[chosen] = change / nudge
        yield Step(pad_to_canvas(view, slopes[region]), (start + len(chosen)) / count)


@register(
    "guided-backprop", title="Guided backpropagation", family="gradient", requires=("gradient", "guided"),
    backward_passes=1, passes_sanity_check=False, percentile=99.0,
    summary="The gradient, with negative values set to 0 at each ReLU. Fails the parameter-randomisation test.",
    paper="Springenberg et al. 2015, Striving for Simplicity: The All Convolutional Net",
    link="https://arxiv.org/abs/1412.6806",
)  # fmt: skip
def guided_backprop(view: View, objective: np.ndarray) -> np.ndarray:
    """max over the channels of |d y / d pixel|, where every ReLU passes only positive gradients backwards.

    Springenberg et al. 2015, section 3.4. (h, w), not negative. Raises ModelError for networks without ReLUs.
    """
    return np.abs(view.guided_gradient(view.canvas[None], objective)[0]).max(-1)


@register(
    "guided-grad-cam", title="Guided Grad-CAM", family="gradient", passes_sanity_check=False,
    backward_passes=1, percentile=99.0, requires=("features", "feature-gradient", "gradient", "guided"),
    summary="Guided backpropagation times the positive part of Grad-CAM. Fails the parameter-randomisation test.",
    paper="Selvaraju et al. 2017, the guided maps of Grad-CAM: Visual Explanations from Deep Networks",
    link="https://arxiv.org/abs/1610.02391",
)  # fmt: skip
def guided_grad_cam(view: View, objective: np.ndarray) -> np.ndarray:
    """relu(Grad-CAM), resized to the canvas, times guided backpropagation (Selvaraju et al. 2017). (h, w), not negative.

    Raises ModelError for networks without ReLUs.
    """
    region = np.maximum(grad_cam(view, objective), 0)
    return resample(region, view.geometry.canvas) * guided_backprop(view, objective)


def _advance(
    done: np.ndarray, lengths: np.ndarray, slopes: np.ndarray, goal: float, fraction: float, distance: float
) -> np.ndarray:
    """One step of guided-ig: the shares of their ways that the values have made after it, between goal - and + distance.

    Args:
        done: These shares before the step, in [0, 1].
        lengths: The lengths of the ways.
        slopes: The absolute gradients; small ones go first.
        goal: The mean of the shares after the step, weighted with the lengths.
        fraction, distance: See guided_ig.
    """
    low, high = max(goal - distance, 0.0), min(goal + distance, 1.0)
    done = np.maximum(done, low)
    missing = goal * lengths.sum() - (lengths * done).sum()
    waiting = np.where((done < high) & (lengths > 0), slopes, np.inf)
    last = int(fraction * (waiting.size - 1))
    while missing > 1e-9 * lengths.sum() and np.isfinite(waiting).any():
        chosen = (waiting <= np.partition(waiting.ravel(), last)[last]) & np.isfinite(waiting)
        room = (high - done[chosen]) * lengths[chosen]
        done[chosen] += (high - done[chosen]) * min(1.0, missing / room.sum())
        missing -= room.sum()
        waiting[chosen] = np.inf
    return done


def _first_blur(side: float) -> float:
    """The standard deviation of the first blur of blur-ig: 50 for a side of 224, and tens from 20 on."""
    sigma = side * 50 / 224
    return round(sigma, -1) if sigma > 20 else sigma


def _noisy_gradients(view: View, objective: np.ndarray, samples: int, noise: float, seed: int) -> Iterator[np.ndarray]:
    """Gradients (n, h, w, 3) at noisy copies of the canvas, batch by batch."""
    rng = np.random.default_rng(seed)
    for start in range(0, samples, GRADIENT_BATCH):
        shape = (min(GRADIENT_BATCH, samples - start), *view.canvas.shape)
        batch = rng.standard_normal(shape, np.float32) * np.float32(noise * 255)
        yield view.gradient(view.canvas + batch, objective)


def _replace_picture(view: View, other: np.ndarray) -> np.ndarray:
    """The canvas with the picture replaced by that of another canvas (h, w, 3). The padding stays."""
    canvas, box = view.canvas.copy(), picture_box(view)
    canvas[box] = other[box]
    return canvas


def _blur_picture(view: View, sigma: float) -> np.ndarray:
    """The canvas with the picture blurred. The padding stays, and does not mix with the picture."""
    if sigma == 0:
        return view.canvas
    canvas, box = view.canvas.copy(), picture_box(view)
    canvas[box] = cv2.GaussianBlur(np.ascontiguousarray(canvas[box]), (0, 0), sigma)
    return canvas


def _completeness_note(raw: np.ndarray, score_change: float) -> tuple[str]:
    """How far the sum of a map is from the change of the score between baseline and picture, as a note."""
    total = float(raw.sum())
    if score_change == 0:
        return (f"The score does not change between baseline and picture. The map sums to {total:.2g}.",)
    gap = 100 * abs(total - score_change) / abs(score_change)
    return (f"Completeness gap: the sum differs from the score difference by {gap:.1f} %.",)
