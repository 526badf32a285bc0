"""Perturbation methods change the picture and measure the score. They assume nothing about the network.

They are generators: each Step is a map from more passes, so a caller may stop early and use the last one. Every method takes
the `view` of a picture and the `objective` (classes,), the weights of the logits. Several methods share options: `fill` is
the baseline that replaces hidden pixels (see explain.baselines). `seed`, at least 0, decides the random masks. `until` ends
the work as soon as the estimated relative error of the map is at most this value. An option outside its range raises
UserError.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from core.errors import UserError
from core.options import (
    Cells,
    Name,
    NameList,
    Pairs,
    Penalty,
    Pixels,
    Samples,
    Seed,
    SegmentCount,
    SegmentCounts,
    Share,
    Steps,
)
from explain import registry
from explain.baselines import make_baseline
from explain.methods import sampling
from explain.methods.masks import (
    Estimate,
    Segments,
    follow_side,
    make_grid,
    pad_to_canvas,
    picture_box,
    score_masks,
    stream_maps,
    turns,
)
from explain.registry import Step, register
from explain.view import View
from models import capabilities
from models.engine import BATCH
from models.geometry import resample

PREVIEW_FACTORS = (4, 2)  # patches of 4 and 2 times the size come first, for a coarse map early


def _patch(view: View, options: dict[str, Any]) -> int:  # noqa: ARG001
    """A seventh of the picture's side: 32 pixels for 224, and multiples of 4 from 16 pixels on.

    At least one and a half tokens of a transformer, so that each patch covers a whole token.
    """
    side = follow_side(view) / 7
    patch = 4 * round(side / 4) if side >= 16 else max(2, round(side))
    return max(patch, round(1.5 * _token_side(view)))


def _stride(view: View, options: dict[str, Any]) -> int:
    """Half a patch. Half a token of a transformer with large tokens, so that each place is covered by several patches."""
    half = -(-options["patch"] // 2)
    return min(half, round(_token_side(view) / 2)) if options["patch"] < 2 * _token_side(view) else half


def _token_side(view: View) -> float:
    """The side of a token in pixels of the canvas; 0 if the classifier is no transformer."""
    return view.geometry.canvas[0] / view.features.shape[0] if view.classifier.has_tokens else 0


@register(
    "occlusion", title="Occlusion", family="perturbation", forward_passes=200,
    follow={"patch": _patch, "stride": _stride},
    summary="Covers one patch after another and measures how much the score drops. Slow, but easy to interpret.",
    paper="Zeiler & Fergus 2014, Visualizing and Understanding Convolutional Networks",
    link="https://arxiv.org/abs/1311.2901",
)  # fmt: skip
def occlusion(
    view: View, objective: np.ndarray, *, patch: Pixels = 32, stride: Pixels = 16, fill: Name = "mean"
) -> Iterator[Step]:
    """The mean drop of the score over the patches that cover a pixel (Zeiler & Fergus 2014, section 4.2). Signed, (h, w).

    Where patches do not overlap, each pixel holds the drop of its patch. Coarse previews with larger patches come first.
    Each patch of the final size then replaces its part of the preview.

    Args:
        patch: Side of a patch, in pixels of the canvas; by default a seventh of the side of the picture.
        stride: Distance between patches, in pixels of the canvas; by default half a patch.
        fill: The baseline that covers a patch.

    Raises:
        UserError: The stride is larger than the patch, so that some pixels would never be covered, or not positive.
    """
    if not 1 <= stride <= patch:
        raise UserError(f"occlusion needs 1 <= stride <= patch; got stride {stride} and patch {patch}.")
    box = picture_box(view)
    baseline = make_baseline(view, fill)[box]
    height, width = baseline.shape[:2]
    score = float(view.logits @ objective)
    rounding = 1e-5 * float(np.abs(view.logits).max())  # two passes may differ by this much without any change
    sizes = [patch * factor for factor in PREVIEW_FACTORS if patch * factor <= min(height, width)] + [patch]
    positions_by_size = [_positions((height, width), (size, size), stride * size // patch) for size in sizes]
    total = sum(map(len, positions_by_size))
    batch = np.empty((BATCH, *view.canvas.shape), np.float32)
    preview = np.zeros((height, width), np.float32)
    done = 0
    for size, positions in zip(sizes, positions_by_size, strict=True):
        sums, coverage = np.zeros_like(preview), np.zeros_like(preview)
        for start in range(0, len(positions), BATCH):
            chunk = positions[start : start + BATCH]
            batch[: len(chunk)] = view.canvas
            for canvas, (y, x) in zip(batch, chunk, strict=False):  # the last chunk may be shorter
                covered = np.s_[y : y + size, x : x + size]
                canvas[box][covered] = baseline[covered]
            drops = score - view.scores(batch[: len(chunk)], objective)
            drops[np.abs(drops) <= rounding] = 0
            for (y, x), drop in zip(chunk, drops, strict=True):
                sums[y : y + size, x : x + size] += drop
                coverage[y : y + size, x : x + size] += 1
            done += len(chunk)
            current = np.where(coverage > 0, sums / np.maximum(coverage, 1), preview)
            yield Step(pad_to_canvas(view, current), done / total)
        preview = current


def _positions(picture: tuple[int, int], patch: tuple[int, int], stride: int) -> list[tuple[int, int]]:
    """Upper left corners (y, x) of the patches at every stride. The last patches end at the lower and right edges."""

    def offsets(length: int, size: int) -> list[int]:  # along one axis
        last = max(0, length - size)
        return [*range(0, last, stride), last]

    return [(y, x) for y in offsets(picture[0], patch[0]) for x in offsets(picture[1], patch[1])]


@register(
    "rise", title="RISE", family="perturbation", forward_passes=1001,
    summary="Hides random parts. The value of a cell is the mean score while it is visible, minus the overall mean.",
    paper="Petsiuk et al. 2018, RISE: Randomized Input Sampling for Explanation of Black-box Models",
    link="https://arxiv.org/abs/1806.07421",
)  # fmt: skip
def rise(
    view: View, objective: np.ndarray, *, samples: Samples = 1000, cells: Cells = 8, keep: Share = 0.5, fill: Name = "mean",
    seed: Seed = 0, until: Share = 0.0,
) -> Iterator[Step]:  # fmt: skip
    """How much higher the score is when a cell is visible (Petsiuk et al. 2018, section 3.2). Signed, (h, w).

    The mean score is subtracted, and each sum is divided by the cell's own count. A constant score therefore gives 0.

    Args:
        samples: Number of masks, at least 1, drawn in antithetic pairs.
        cells: Number of soft cells along the shorter side of the picture.
        keep: Share of the cells that stay visible, in (0, 1).
        fill, seed, until: Baseline of hidden pixels, seed of the masks, and estimated error at which to stop early.
    """
    grid = make_grid(view, cells, soft=True)
    masks = sampling.antithetic_masks(samples, grid.count, keep, np.random.default_rng(seed))
    yield from stream_maps(
        view, objective, grid, masks, make_baseline(view, fill), sampling.conditional_mean, group_size=2, until=until
    )


@register(
    "lime", title="LIME", family="perturbation", forward_passes=1001,
    summary="Hides random superpixels, fits a linear model to the scores, and reports how well it fits.",
    paper="Ribeiro et al. 2016, Why Should I Trust You? Explaining the Predictions of Any Classifier",
    link="https://arxiv.org/abs/1602.04938",
)  # fmt: skip
def lime(
    view: View, objective: np.ndarray, *, samples: Samples = 1000, segments: SegmentCount = 60, penalty: Penalty = 1.0,
    fill: Name = "mean", seed: Seed = 0, until: Share = 0.0,
) -> Iterator[Step]:  # fmt: skip
    """The weights of a local linear model over superpixels (Ribeiro et al. 2016, eq. 1 and 2). Signed, (h, w).

    Each mask hides half of the superpixels at random. Masks that hide less weigh more in the ridge regression. The notes
    give its R2: if it is low, the weights mean little.

    Args:
        samples: Number of masks, at least 1, drawn in antithetic pairs.
        segments: Approximate number of superpixels (SLIC), at least 1.
        penalty: Penalty of the ridge regression, at least 0.
        fill, seed, until: Baseline of hidden pixels, seed of the masks, and estimated error at which to stop early.
    """
    superpixels = _superpixels(view, segments)
    masks = sampling.antithetic_masks(samples, superpixels.count, 0.5, np.random.default_rng(seed))

    def fit(masks: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, float]:
        return sampling.fit_ridge(masks, scores, sampling.lime_weights(masks), penalty)

    yield from stream_maps(
        view, objective, superpixels, masks, make_baseline(view, fill), lambda *data: fit(*data)[0], group_size=2, until=until,
        make_notes=lambda *data: (f"The linear model fits the scores with R2 = {fit(*data)[1]:.2f}.",),
    )  # fmt: skip


@register(
    "bay-lime", title="BayLIME", family="perturbation", forward_passes=82,
    summary="LIME that starts from a class activation map and corrects it, so that fewer passes suffice.",
    paper="Zhao et al. 2021, BayLIME: Bayesian Local Interpretable Model-Agnostic Explanations",
    link="https://arxiv.org/abs/2012.03058",
)  # fmt: skip
def bay_lime(
    view: View, objective: np.ndarray, *, samples: Samples = 80, segments: SegmentCounts = "60", penalty: Penalty = 0.3,
    prior: Name = "finer-cam", fill: NameList = "mean,blur", seed: Seed = 0,
) -> Iterator[Step]:  # fmt: skip
    """The posterior mean of a linear model over superpixels whose prior is another explanation (Zhao et al. 2021).

    Signed, (h, w), in log odds of the class. A pixel has the value of the prior map, scaled to fit the scores, plus the
    deviation of its superpixel. Unlike in the paper, the scale of the prior is fitted too, the masks hide shares from 5
    to 95 % of the superpixels with several baselines in turn, and maps of several sizes of superpixels are averaged. The
    first map is the prior.

    Args:
        samples: Number of masks, at least 1, shared by all sizes of superpixels.
        segments: Approximate numbers of superpixels (SLIC), separated by commas.
        penalty: Ridge penalty of the deviation from the prior, multiplied by the mean number of superpixels that a mask keeps.
        prior: Name of the class activation map. Empty for none; a transformer has none either.
        fill: Baselines of hidden pixels, separated by commas.
        seed: Of the masks.

    Raises:
        UserError: `segments` are not whole numbers from 1 to 1000, or `prior` is no class activation map.
    """
    box = picture_box(view)
    raw, notes = _prior_map(view, objective, prior)
    if raw is not None:
        yield Step(raw, 1 / (samples + 1), notes)
    detail = (
        np.zeros(view.canvas[box].shape[:2], np.float32) if raw is None else resample(raw, view.geometry.canvas)[box]
    )
    counts = _parse_counts(segments)
    baselines = np.stack([make_baseline(view, name.strip()) for name in fill.split(",")])
    rng = np.random.default_rng(seed)
    streams = []
    for count in counts:
        cells = Segments(_superpixels(view, count).labels, detail)
        masks = sampling.varied_masks(-(-samples // len(counts)), cells.count, rng)
        estimate = _posterior(cells.labels, detail, penalty, len(baselines))
        streams.append(
            stream_maps(
                view, objective, cells, masks, baselines, estimate, group_size=2 * len(baselines), score=view.log_odds
            )
        )
    for steps in zip(*streams, strict=True):
        errors = [step.error for step in steps if step.error is not None]
        raws, error = [step.raw for step in steps], float(np.mean(errors)) if errors else None
        yield Step(np.mean(raws, axis=0), steps[0].progress, notes, error)


def _prior_map(view: View, objective: np.ndarray, name: str) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The class activation map of that name on its own grid, with its notes. None without a name, or if it is impossible."""
    if not name:
        return None, ()
    method = registry.find_method(name)
    if method.family != "cam":
        raise UserError(f"bay-lime needs the name of a class activation map as prior, such as grad-cam; got {name}.")
    if view.classifier.has_tokens:
        return None, ("There is no prior map, because the map of a transformer's tokens often misses the subject.",)
    if lacking := capabilities.lacks(view.classifier, method.needs):
        return None, (f"There is no prior map, because this model lacks {lacking}.",)
    step = method.compute_last(view, objective, method.options)
    return step.raw, step.notes


def _parse_counts(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and 1 <= int(word) <= 1000 for word in words):
        raise UserError(f"bay-lime needs segments from 1 to 1000, such as 60,120; got {text}.")
    return [int(word) for word in words]


def _posterior(labels: np.ndarray, detail: np.ndarray, penalty: float, baselines: int) -> Estimate:
    """The estimate of bay-lime: the deviation of each superpixel (K,) from the prior, and the factor of the prior."""
    prior = np.bincount(labels.ravel(), detail.ravel()) / np.bincount(labels.ravel())

    def estimate(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
        scale = penalty * max(1.0, float(masks.sum(1).mean()))
        deviation, factor = sampling.fit_prior(masks, scores, turns(len(masks), baselines), prior, scale)
        return np.append(deviation, factor)

    return estimate


def _superpixels(view: View, count: int) -> Segments:
    """About `count` compact superpixels of similar colour (SLIC, Achanta et al. 2012, doi.org/10.1109/TPAMI.2012.120)."""
    from skimage.segmentation import slic

    picture = view.canvas[picture_box(view)].astype(np.uint8)
    return Segments(slic(picture, n_segments=count, compactness=10, sigma=1, start_label=0))


@register(
    "kernel-shap", title="Kernel SHAP", family="perturbation", forward_passes=1002,
    summary="Shapley values of regions. They sum to the score of the picture minus the score of the baseline.",
    paper="Lundberg & Lee 2017, A Unified Approach to Interpreting Model Predictions",
    link="https://arxiv.org/abs/1705.07874",
)  # fmt: skip
def kernel_shap(
    view: View, objective: np.ndarray, *, samples: Samples = 1000, cells: Cells = 6, fill: Name = "mean", seed: Seed = 0,
    until: Share = 0.0,
) -> Iterator[Step]:  # fmt: skip
    """Shapley values of grid cells, by the Shapley kernel (Lundberg & Lee 2017, theorem 2).

    Signed, (h, w): each pixel holds the value of its cell. The values of the cells always sum to the score of the picture
    minus the score of the baseline.

    Args:
        samples: Number of coalitions, at least 1. If there are no more than this, all of them run and the values are exact.
        cells: Number of cells along the shorter side of the picture.
        fill, seed, until: Baseline of hidden pixels, seed of the masks, and estimated error at which to stop early.
    """
    grid = make_grid(view, cells, soft=False)
    baseline = make_baseline(view, fill)
    baseline_score = float(score_masks(view, objective, grid, np.zeros((1, grid.count), np.float32), baseline)[0])
    score = float(view.logits @ objective)
    masks, exact = sampling.shapley_masks(samples, grid.count, np.random.default_rng(seed))
    if not len(masks):
        yield Step(pad_to_canvas(view, np.full(grid.size, score - baseline_score)))
        return

    def estimate(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
        weights = sampling.shapley_weights(masks) if exact else np.ones(len(masks))
        return sampling.shapley_values(masks, scores, weights, baseline_score, score)

    yield from stream_maps(view, objective, grid, masks, baseline, estimate, group_size=2, until=until)


@register(
    "sobol", title="Sobol", family="perturbation", forward_passes=1300,
    summary="The total Sobol index: the share of the score's variance due to a region, with interactions. No signs.",
    paper="Fel et al. 2021, Look at the Variance! Efficient Black-box Explanations with Sobol-based Sensitivity Analysis",
    link="https://arxiv.org/abs/2111.04138",
)  # fmt: skip
def sobol(
    view: View, objective: np.ndarray, *, rows: Steps = 32, cells: Cells = 5, fill: Name = "mean", seed: Seed = 0,
    until: Share = 0.0,
) -> Iterator[Step]:  # fmt: skip
    """Total Sobol indices of soft cells under quasi-random masks (Fel et al. 2021, eq. 4). (h, w), not negative.

    Args:
        rows: Rows of the Sobol sequence, at least 1. Each takes one pass, and one more per cell.
        cells: Number of cells along the shorter side of the picture.
        fill, seed, until: Baseline of hidden pixels, seed of the masks, and estimated error at which to stop early.
    """
    grid = make_grid(view, cells, soft=True)
    masks = sampling.sobol_masks(rows, grid.count, seed)
    estimate = sampling.total_sobol_indices
    yield from stream_maps(
        view, objective, grid, masks, make_baseline(view, fill), estimate, group_size=grid.count + 1, until=until
    )


@register(
    "hsic", title="HSIC", family="perturbation", forward_passes=751,
    summary="The statistical dependence (HSIC) between a region and the score, also non-linear. No signs.",
    paper="Novello et al. 2022, Making Sense of Dependence: Efficient Black-box Explanations Using Dependence Measure",
    link="https://arxiv.org/abs/2206.06219",
)  # fmt: skip
def hsic(
    view: View, objective: np.ndarray, *, samples: Pairs = 750, cells: Cells = 7, fill: Name = "mean", seed: Seed = 0,
    until: Share = 0.0,
) -> Iterator[Step]:  # fmt: skip
    """The Hilbert-Schmidt independence criterion of a cell's presence and the score (Novello et al. 2022).

    (h, w), not negative.

    Args:
        samples: Number of masks, at least 2, drawn in antithetic pairs.
        cells: Number of soft cells along the shorter side of the picture.
        fill, seed, until: Baseline of hidden pixels, seed of the masks, and estimated error at which to stop early.
    """
    grid = make_grid(view, cells, soft=True)
    masks = sampling.antithetic_masks(samples, grid.count, 0.5, np.random.default_rng(seed))
    yield from stream_maps(
        view, objective, grid, masks, make_baseline(view, fill), sampling.hsic_values, group_size=2, until=until
    )
