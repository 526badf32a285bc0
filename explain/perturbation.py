"""Change the picture and watch the score: nothing is assumed about the network.

These are generators: each Step is a better map, and stopping early leaves the best so far.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from explain import sampling
from explain.baseline import baseline
from explain.masks import Segments, grid, refine, scores, to_canvas
from explain.registry import Step, register
from explain.view import View
from models.engine import BATCH
from models.errors import UserError

PREVIEWS = (4, 2)  # patches so many times larger come first, to have something to show at once


@register(
    "occlusion",
    title="Occlusion",
    family="perturbation",
    summary="Covers one patch after the other and shows where the score drops. Slow, but hard to argue with.",
    forward=200,
    paper="Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks",
)
def occlusion(
    view: View, target: np.ndarray, *, patch: int = 32, stride: int = 16, fill: str = "mean"
) -> Iterator[Step]:
    """The mean drop of the score over the patches that cover a pixel (Zeiler & Fergus 2014, section 4.2).

    `patch` and `stride` in pixels of the canvas. `fill`: see explain.baseline. Signed, (h, w): disjoint tiles
    hold the drop of each tile. Coarse previews with larger patches come first; each patch of the final size then replaces
    its part of them. Raises UserError for sizes that leave gaps.
    """
    if not 1 <= stride <= patch:
        raise UserError(f"occlusion needs 1 <= stride <= patch; got stride {stride} and patch {patch}.")
    top, left, height, width = view.geometry.box
    empty = baseline(view, fill)[top : top + height, left : left + width]
    whole = float(view.logits @ target)
    rounding = 1e-5 * float(np.abs(view.logits).max())  # what a pass may differ by where nothing was changed
    levels = [patch * factor for factor in PREVIEWS if patch * factor <= min(height, width)] + [patch]
    plan = [_positions((height, width), (size, size), stride * size // patch) for size in levels]
    total = sum(map(len, plan))
    batch = np.empty((BATCH, *view.canvas.shape), np.float32)
    preview = np.zeros((height, width), np.float32)
    done = 0
    for size, positions in zip(levels, plan, strict=True):
        drops, coverage = np.zeros_like(preview), np.zeros_like(preview)
        for start in range(0, len(positions), BATCH):
            chunk = positions[start : start + BATCH]
            batch[: len(chunk)] = view.canvas
            for canvas, (y, x) in zip(batch, chunk, strict=False):  # the last chunk may be shorter
                patch_of = np.s_[y : y + size, x : x + size]
                canvas[top : top + height, left : left + width][patch_of] = empty[patch_of]
            found = whole - view.scores(batch[: len(chunk)], target)
            found[np.abs(found) <= rounding] = 0
            for (y, x), drop in zip(chunk, found, strict=True):
                drops[y : y + size, x : x + size] += drop
                coverage[y : y + size, x : x + size] += 1
            done += len(chunk)
            current = np.where(coverage > 0, drops / np.maximum(coverage, 1), preview)
            yield Step(to_canvas(view, current), done / total)
        preview = current


def _positions(extent: tuple[int, int], patch: tuple[int, int], stride: int) -> list[tuple[int, int]]:
    """Upper left corners of patches at every stride, the last ones flush with the far edges."""

    def starts(length: int, size: int) -> list[int]:
        last = max(0, length - size)
        return [*range(0, last, stride), last]

    return [(y, x) for y in starts(extent[0], patch[0]) for x in starts(extent[1], patch[1])]


@register(
    "rise",
    title="RISE",
    family="perturbation",
    summary="Hides random parts and averages what was visible when the score was high. Finds several objects.",
    forward=1001,
    paper="Petsiuk et al. 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models",
)
def rise(
    view: View, target: np.ndarray, *, samples: int = 1000, cells: int = 8, keep: float = 0.5, fill: str = "mean",
    seed: int = 0, until: float = 0.0,
) -> Iterator[Step]:  # fmt: skip
    """How much higher the score is when a cell is visible (Petsiuk et al. 2018, section 3.2). Signed, (h, w).

    `samples` masks in antithetic pairs, over `cells` soft cells along the shorter side, of which a share of `keep` is
    visible, the rest by the baseline `fill`. The mean score is subtracted and sums are divided by each cell's own count,
    so that a constant score gives 0. Draws by `seed`; ends early when the estimated error is at most `until`.
    """
    rng = np.random.default_rng(seed)
    parts = grid(view, cells, soft=True)
    masks = sampling.antithetic(samples, parts.count, keep, rng)
    yield from refine(view, target, parts, masks, baseline(view, fill), sampling.conditional_mean, unit=2, until=until)


@register(
    "lime",
    title="LIME",
    family="perturbation",
    summary="Fits a linear model to what happens when superpixels are hidden, and says how well it fits.",
    forward=1001,
    paper="Ribeiro et al. 2016, Why Should I Trust You? Explaining the Predictions of Any Classifier",
)
def lime(
    view: View, target: np.ndarray, *, samples: int = 1000, segments: int = 60, penalty: float = 1.0,
    fill: str = "mean", seed: int = 0, until: float = 0.0,
) -> Iterator[Step]:  # fmt: skip
    """The weights of a local linear model over superpixels (Ribeiro et al. 2016, eq. 1 and 2). Signed, (h, w).

    About `segments` superpixels (SLIC), half of them hidden at random in `samples` masks, weighted by nearness to the
    whole picture, ridge regression with `penalty`. Its R2 is in the notes: without it the weights mean little. `fill`,
    `seed` and `until` as in `rise`.
    """
    parts = _superpixels(view, segments)
    masks = sampling.antithetic(samples, parts.count, 0.5, np.random.default_rng(seed))

    def fit(masks: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, float]:
        return sampling.ridge(masks, found, sampling.lime_weights(masks), penalty)

    yield from refine(
        view,
        target,
        parts,
        masks,
        baseline(view, fill),
        lambda masks, found: fit(masks, found)[0],
        unit=2,
        until=until,
        notes=lambda masks, found: (f"The linear model fits the scores with R2 = {fit(masks, found)[1]:.2f}.",),
    )


def _superpixels(view: View, count: int) -> Segments:
    """About so many superpixels of the picture on its canvas, of like colour and compact (SLIC, Achanta et al. 2012)."""
    from skimage.segmentation import slic

    top, left, height, width = view.geometry.box
    picture = view.canvas[top : top + height, left : left + width].astype(np.uint8)
    return Segments(slic(picture, n_segments=count, compactness=10, sigma=1, start_label=0))


@register(
    "kernel-shap",
    title="Kernel SHAP",
    family="perturbation",
    summary="Shares the score out fairly among regions: the values add up to what the picture adds to an empty one.",
    forward=1002,
    paper="Lundberg & Lee 2017, A Unified Approach to Interpreting Model Predictions",
)
def kernel_shap(
    view: View, target: np.ndarray, *, samples: int = 1000, cells: int = 6, fill: str = "mean", seed: int = 0,
    until: float = 0.0,
) -> Iterator[Step]:  # fmt: skip
    """Shapley values of grid cells by the Shapley kernel (Lundberg & Lee 2017, theorem 2). Signed, (h, w), a value a pixel.

    They sum over the cells to the score minus that of the empty picture, always. `cells` along the shorter side; if all
    their coalitions are no more than `samples`, all are run and the values are exact. `fill`, `seed` and `until` as in `rise`.
    """
    parts = grid(view, cells, soft=False)
    empty = baseline(view, fill)
    nothing = float(scores(view, target, parts, np.zeros((1, parts.count), np.float32), empty)[0])
    whole = float(view.logits @ target)
    masks, weights = sampling.shapley_masks(samples, parts.count, np.random.default_rng(seed))
    if not len(masks):
        yield Step(to_canvas(view, np.full(parts.size, whole - nothing)))
        return
    exact = len(set(weights)) > 1

    def estimate(chosen: np.ndarray, found: np.ndarray) -> np.ndarray:
        matching = weights[: len(chosen)] if exact else np.ones(len(chosen))
        return sampling.shapley(chosen, found, matching, nothing, whole)

    yield from refine(view, target, parts, masks, empty, estimate, unit=2, until=until)


@register(
    "sobol",
    title="Sobol",
    family="perturbation",
    summary="How much of the score's variation each region takes part in, alone or with others.",
    forward=1300,
    paper="Fel et al. 2021, Look at the Variance! Efficient Black-box Explanations with Sobol-based Sensitivity Analysis",
)
def sobol(
    view: View, target: np.ndarray, *, rows: int = 32, cells: int = 5, fill: str = "mean", seed: int = 0,
    until: float = 0.0,
) -> Iterator[Step]:  # fmt: skip
    """Total Sobol indices of soft cells under quasi-random masks (Fel et al. 2021, eq. 4). (h, w), not negative.

    `rows` of a Sobol sequence, each with one pass and one more for each of the `cells` along the shorter side; the second
    design is never run by itself. `fill`, `seed` and `until` as in `rise`.
    """
    parts = grid(view, cells, soft=True)
    masks = sampling.sobol_masks(rows, parts.count, seed)
    yield from refine(
        view, target, parts, masks, baseline(view, fill), sampling.total_sobol, unit=parts.count + 1, until=until
    )


@register(
    "hsic",
    title="HSIC",
    family="perturbation",
    summary="How strongly the score depends on each region, of whatever form the dependence is.",
    forward=751,
    paper="Novello et al. 2022, Making Sense of Dependence: Efficient Black-box Explanations Using Dependence Measure",
)
def hsic(
    view: View, target: np.ndarray, *, samples: int = 750, cells: int = 7, fill: str = "mean", seed: int = 0,
    until: float = 0.0,
) -> Iterator[Step]:  # fmt: skip
    """The Hilbert-Schmidt independence criterion between a cell's presence and the score (Novello et al. 2022).

    (h, w), not negative. `samples` masks over `cells` along the shorter side; `fill`, `seed` and `until` as in `rise`.
    """
    parts = grid(view, cells, soft=True)
    masks = sampling.antithetic(samples, parts.count, 0.5, np.random.default_rng(seed))
    yield from refine(view, target, parts, masks, baseline(view, fill), sampling.hsic, unit=2, until=until)
