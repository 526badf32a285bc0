"""Gradients of the score by the pixels, and what is made of them.

In the formulas x is the picture on its canvas and y the score (target . logits). What belongs to the bars around a picture
is never counted: baselines and blurs replace the picture only.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from explain.baseline import baseline as empty
from explain.cam import grad_cam
from explain.masks import to_canvas
from explain.registry import Step, register
from explain.view import View
from models.engine import BATCH as FORWARD
from models.errors import UserError
from models.geometry import resample
from models.gradient import BATCH


@register(
    "saliency",
    title="Saliency",
    family="gradient",
    summary="Which pixels would change the score fastest if they changed a little. Fine but grainy.",
    backward=1,
    paper="Simonyan et al. 2014, Deep Inside Convolutional Networks",
    percentile=99.0,
)
def saliency(view: View, target: np.ndarray) -> np.ndarray:
    """max over the channels of |d y / d pixel| (Simonyan et al. 2014, section 3.1). (h, w), not negative."""
    return np.abs(view.gradient(view.canvas[None], target)[0]).max(-1)


@register(
    "gradient-x-input",
    title="Gradient x input",
    family="gradient",
    summary="What each pixel adds to the score by the first-order account, where black counts as nothing. Signed, grainy.",
    backward=1,
    paper="Shrikumar et al. 2016, Not Just a Black Box: Learning Important Features Through Propagating Activation Differences",
    percentile=99.0,
)
def gradient_x_input(view: View, target: np.ndarray) -> np.ndarray:
    """sum over the channels of pixel * d y / d pixel (Shrikumar et al. 2016). Signed, (h, w)."""
    return (view.canvas * view.gradient(view.canvas[None], target)[0]).sum(-1)


@register(
    "smoothgrad",
    title="SmoothGrad",
    family="gradient",
    summary="Saliency averaged over noisy copies of the picture: what stays is less grainy.",
    backward=20,
    paper="Smilkov et al. 2017, SmoothGrad: removing noise by adding noise",
    percentile=99.0,
)
def smoothgrad(
    view: View, target: np.ndarray, *, samples: int = 20, noise: float = 0.15, seed: int = 0
) -> Iterator[Step]:
    """max over the channels of |mean of d y / d x at x + normal noise| (Smilkov et al. 2017). (h, w), not negative.

    `samples`: noisy copies. `noise`: its standard deviation as a share of the range of pixels, 255. `seed` of the noise.
    """
    total, done = np.zeros(view.canvas.shape), 0
    for gradients in _noisy_gradients(view, target, samples, noise, seed):
        total += gradients.sum(0, dtype=np.float64)
        done += len(gradients)
        yield Step(np.abs(total / done).max(-1), done / samples)


@register(
    "vargrad",
    title="VarGrad",
    family="gradient",
    summary="Where the gradient changes most between noisy copies of the picture: the edges the network reacts to.",
    backward=20,
    paper="Adebayo et al. 2018, Local Explanation Methods for Deep Neural Networks Lack Sensitivity to Parameter Values",
    percentile=99.0,
)
def vargrad(view: View, target: np.ndarray, *, samples: int = 20, noise: float = 0.15, seed: int = 0) -> Iterator[Step]:
    """max over the channels of the variance of d y / d x at x + normal noise (Adebayo et al. 2018). (h, w), not negative.

    `samples`: noisy copies. `noise`: its standard deviation as a share of the range of pixels, 255. `seed` of the noise.
    """
    if samples < 2:
        raise UserError(f"vargrad needs at least 2 samples to vary; got {samples}.")
    first, done = None, 0
    total, squares = np.zeros(view.canvas.shape), np.zeros(view.canvas.shape)
    for gradients in _noisy_gradients(view, target, samples, noise, seed):
        first = gradients[0] if first is None else first
        shifted = gradients.astype(np.float64) - first  # differences of squares of what is alike lose their digits
        total += shifted.sum(0)
        squares += (shifted**2).sum(0)
        done += len(gradients)
        yield Step(np.maximum(squares / done - (total / done) ** 2, 0).max(-1), done / samples)


@register(
    "integrated-gradients",
    title="Integrated Gradients",
    family="gradient",
    summary="What each pixel adds to the score on the way from a baseline to the picture. It adds up: the gap is reported.",
    forward=2,
    backward=32,
    paper="Sundararajan et al. 2017, Axiomatic Attribution for Deep Networks",
    percentile=99.0,
)
def integrated_gradients(view: View, target: np.ndarray, *, steps: int = 32, baseline: str = "black") -> Iterator[Step]:
    """(x - x') * integral over t of d y / d x at x' + t (x - x'), summed over the channels (Sundararajan et al. 2017).

    `steps`: Gauss-Legendre nodes of the integral. `baseline`: x', see explain.baseline; of several, separated by commas,
    the mean. Signed, (h, w): it sums to y(x) - y(x') but for the completeness gap in the notes. Until all nodes are in, a
    map weighs those it has, which are spread over the whole way.
    """
    if steps < 1:
        raise UserError(f"integrated-gradients needs at least 1 step; got {steps}.")
    kinds = [kind.strip() for kind in baseline.split(",")]
    starts = np.stack([_inside(view, empty(view, kind)) for kind in kinds])
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    nodes, weights = (nodes + 1) / 2, weights / 2
    order = np.argsort(np.arange(steps) * 0.618034 % 1)
    finished = np.zeros(view.canvas.shape[:2])
    for index, start in enumerate(starts):
        way = view.canvas - start
        total, used = np.zeros(view.canvas.shape), 0.0
        for begin in range(0, steps, BATCH):
            chosen = order[begin : begin + BATCH]
            points = start + nodes[chosen, None, None, None].astype(np.float32) * way
            total += np.einsum("n,nhwc->hwc", weights[chosen], view.gradient(points, target))
            used += weights[chosen].sum()
            added = (way * total / used).sum(-1)
            done = index + (begin + len(chosen)) / steps
            if done < len(starts):
                yield Step((finished + added) / (index + 1), done / len(starts))
        finished += added
    raw = finished / len(starts)
    rise = float(view.logits @ target) - float(view.scores(starts, target).mean())
    yield Step(raw, notes=_gap(raw, rise))


@register(
    "blur-ig",
    title="Blur Integrated Gradients",
    family="gradient",
    summary="What each pixel adds to the score while the picture comes into focus: no colour has to stand for nothing.",
    forward=2,
    backward=32,
    paper="Xu et al. 2020, Attribution in Scale and Space",
    percentile=99.0,
)
def blur_ig(view: View, target: np.ndarray, *, steps: int = 32, sigma: float = 50.0) -> Iterator[Step]:
    """The integral of d y / d x along the path of ever less Gaussian blur, summed over the channels (Xu et al. 2020).

    `steps`: straight pieces of the path, each with the gradient in its middle; between them the blur shrinks evenly in the
    root of its width. `sigma`: standard deviation of the first blur, in pixels of the canvas. Signed, (h, w): it sums to
    y(x) - y(blurred) but for the completeness gap in the notes. Maps before the last are of the path so far.
    """
    if steps < 1 or not sigma > 0:
        raise UserError(f"blur-ig needs at least 1 step and a sigma above 0; got {steps} and {sigma}.")
    widths = sigma * np.linspace(1, 0, steps + 1) ** 2
    blurred = here = _blurred(view, widths[0])
    raw = np.zeros(view.canvas.shape[:2])
    for begin in range(0, steps, BATCH):
        points = np.stack([here, *(_blurred(view, width) for width in widths[begin + 1 : begin + 1 + BATCH])])
        gradients = view.gradient((points[:-1] + points[1:]) / 2, target)
        raw += (np.diff(points, axis=0) * gradients).sum((0, -1), dtype=np.float64)
        here = points[-1]
        done = begin + len(gradients)
        if done < steps:
            yield Step(raw.copy(), done / steps)
    rise = float(view.logits @ target) - float(view.scores(blurred[None], target)[0])
    yield Step(raw, notes=_gap(raw, rise))


@register(
    "finite-differences",
    title="Finite differences",
    family="gradient",
    summary="The definition itself: each region is made a little lighter, and the change of the score observed.",
    forward=197,
    paper="Simonyan et al. 2014, the gradient of Deep Inside Convolutional Networks as a difference quotient",
)
def finite_differences(view: View, target: np.ndarray, *, grid: int = 14, nudge: float = 8.0) -> Iterator[Step]:
    """(y(x + nudge on a region) - y(x)) / nudge for every region: the gradient of Simonyan et al. 2014 in big pixels.

    `grid`: regions a side of the picture. `nudge`: grey levels up (or down, if negative), the same in all channels.
    Signed, (h, w), the same all over a region; regions not yet tried are 0.
    """
    if grid < 1 or nudge == 0:
        raise UserError(
            f"finite-differences needs a grid of at least 1 and a nudge other than 0; got {grid} and {nudge}."
        )
    _, _, height, width = view.geometry.box
    rows, columns = (np.arange(length) * min(grid, length) // length for length in (height, width))
    region = rows[:, None] * (columns[-1] + 1) + columns
    count = int(region.max()) + 1
    before = float(view.logits @ target)
    rounding = 1e-6 * float(np.abs(view.logits).max())  # what a pass may differ by where nothing was changed
    slopes = np.zeros(count, np.float32)
    for begin in range(0, count, FORWARD):
        chosen = np.arange(begin, min(begin + FORWARD, count))
        lighter = np.stack([to_canvas(view, np.where(region == index, nudge, 0)) for index in chosen])
        change = view.scores(view.canvas + lighter[..., None], target) - before
        change[np.abs(change) <= rounding] = 0
        slopes[chosen] = change / nudge
        yield Step(to_canvas(view, slopes[region]), (begin + len(chosen)) / count)


@register(
    "guided-backprop",
    title="Guided backpropagation",
    family="gradient",
    summary="Crisp, but hardly about the model: it fails the randomisation test, as edges stay when the weights are gone.",
    backward=1,
    paper="Springenberg et al. 2015, Striving for Simplicity: The All Convolutional Net",
    sane=False,
    percentile=99.0,
)
def guided_backprop(view: View, target: np.ndarray) -> np.ndarray:
    """max over the channels of |d y / d pixel|, where every ReLU passes back positive gradients only.

    Springenberg et al. 2015, section 3.4. (h, w), not negative. Raises ModelError for networks without ReLUs.
    """
    return np.abs(view.guided_gradient(view.canvas[None], target)[0]).max(-1)


@register(
    "guided-grad-cam",
    title="Guided Grad-CAM",
    family="gradient",
    summary="Guided backpropagation where Grad-CAM is positive. Its details fail the randomisation test like the former's.",
    backward=1,
    paper="Selvaraju et al. 2017, the guided maps of Grad-CAM: Visual Explanations from Deep Networks",
    sane=False,
    percentile=99.0,
)
def guided_grad_cam(view: View, target: np.ndarray) -> np.ndarray:
    """relu(Grad-CAM) at the size of the canvas, times guided backpropagation (Selvaraju et al. 2017). (h, w), not negative.

    Raises ModelError for networks without ReLUs.
    """
    where = np.maximum(grad_cam(view, target), 0)
    return resample(where, view.geometry.canvas) * guided_backprop(view, target)


def _noisy_gradients(view: View, target: np.ndarray, samples: int, noise: float, seed: int) -> Iterator[np.ndarray]:
    """Gradients at noisy copies of the canvas, batch by batch."""
    if samples < 1 or not noise >= 0:
        raise UserError(f"There must be at least 1 sample, and noise of 0 or more; got {samples} and {noise}.")
    rng = np.random.default_rng(seed)
    for begin in range(0, samples, BATCH):
        shape = (min(BATCH, samples - begin), *view.canvas.shape)
        batch = rng.standard_normal(shape, np.float32) * np.float32(noise * 255)
        yield view.gradient(view.canvas + batch, target)


def _inside(view: View, other: np.ndarray) -> np.ndarray:
    """The canvas with another picture (h, w, 3) in place of the picture."""
    top, left, height, width = view.geometry.box
    canvas = view.canvas.copy()
    canvas[top : top + height, left : left + width] = other[top : top + height, left : left + width]
    return canvas


def _blurred(view: View, sigma: float) -> np.ndarray:
    """The canvas with the picture blurred, and nothing of the bars in it."""
    if sigma == 0:
        return view.canvas
    top, left, height, width = view.geometry.box
    canvas = view.canvas.copy()
    box = canvas[top : top + height, left : left + width]
    box[:] = cv2.GaussianBlur(np.ascontiguousarray(box), (0, 0), sigma)
    return canvas


def _gap(raw: np.ndarray, rise: float) -> tuple[str]:
    """How far a map is from adding up to the rise of the score, in words."""
    total = float(raw.sum())
    if rise == 0:
        return (f"The score rose by nothing on the way, and the map sums to {total:.2g}.",)
    return (f"Completeness gap: {100 * abs(total - rise) / abs(rise):.1f} %.",)
