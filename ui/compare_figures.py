"""Comparisons as Matplotlib figures: curves, agreement, and one sheet with everything for a report."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from explain import result
from explain.compare import Graded, caption, method_titles
from explain.metrics.similarity import agreements
from explain.render import overlay
from explain.result import Explanation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from explain.metrics.sanity import Stage

_GREY = "#7a8194"  # can be read on white and on dark pages
_STYLES = ("-", "--", ":", "-.")


def curves(graded: Sequence[Graded]) -> Figure:
    """Deletion and insertion curves of the methods, on a transparent background."""
    figure = Figure(figsize=(8, 3.6), layout="constrained", facecolor="none")
    _curves(figure.subplots(1, 2, sharey=True), graded)
    return figure


def matrix(graded: Sequence[Graded]) -> Figure:
    """The agreement of each pair of methods: the rank correlation of their maps."""
    side = 2.4 + 0.34 * len(graded)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained", facecolor="none")
    _matrix(figure.subplots(), graded)
    return figure


def sheet(name: str, pixels: np.ndarray, graded: Sequence[Graded], stages: Sequence[Stage] = ()) -> Figure:
    """One page: every map with its metrics, the curves, the agreement, the sanity check and all parameters.

    Args:
        name: The name of the picture.
        pixels: uint8 RGB (H, W, 3).
        graded: At least one explanation with its metrics.
        stages: From `explain.metrics.sanity.randomisation`; empty if the test was not run.
    """
    columns = 5
    tile = 2.1 * pixels.shape[0] / pixels.shape[1] + 0.62  # inches, with its caption
    rows = -(-(len(graded) + 1) // columns)
    heights = [rows * tile, 3.4 + 0.12 * len(graded), tile if stages else 0, 0.6 + 0.16 * len(graded)]
    used = [height for height in heights if height]
    figure = Figure(figsize=(11.7, sum(used) + 0.9), layout="constrained", facecolor="white")
    first = graded[0].explanation
    height, width = first.parameters["canvas"]
    figure.suptitle(
        f"{name}: evidence for {first.label} ({first.probability:.1%})\n{first.model} on a canvas of {width}x{height} pixels",
        fontsize=13,
    )
    sections = iter(figure.subfigures(len(used), 1, squeeze=False, height_ratios=used)[:, 0])

    axes = np.ravel(next(sections).subplots(rows, columns, squeeze=False))
    _picture(axes[0], pixels, "picture")
    for entry, axis, title in zip(graded, axes[1:], method_titles(graded), strict=False):
        _picture(axis, overlay(pixels, entry.explanation.heatmap), f"{title}\n{caption(entry)}")
    for axis in axes:
        axis.set_axis_off()

    left, right = next(sections).subfigures(1, 2, width_ratios=(1.45, 1))
    _curves(left.subplots(1, 2, sharey=True), graded, ink="black")
    _matrix(right.subplots(), graded, ink="black")

    if stages:
        row = next(sections)
        row.suptitle(
            "Parameter-randomisation test: maps after the weights are shuffled, from the logits down", fontsize=9
        )
        for axis, stage in zip(row.subplots(1, len(stages), squeeze=False)[0], stages, strict=True):
            _picture(axis, overlay(pixels, stage.heatmap), f"{stage.name}\n{stage.spearman:.2f}")
            axis.set_axis_off()

    lines = [
        f"{shown.method}: {_options(shown)}{result.describe_cost(shown)}. {' '.join(shown.notes)}"
        for shown in (entry.explanation for entry in graded)
    ]
    axis = next(sections).subplots()
    axis.set_axis_off()
    axis.text(0, 1, "\n".join(lines), fontsize=6, va="top", family="monospace", transform=axis.transAxes, wrap=True)
    return figure


def save(figure: Figure, kind: str) -> bytes:
    """A figure as a "png" or "pdf" file; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=160, metadata={"CreationDate": None} if kind == "pdf" else None)
    return file.getvalue()


def _curves(axes: Sequence[Axes], graded: Sequence[Graded], ink: str = _GREY) -> None:
    colours = colormaps["tab10"]
    for axis, metric, better in zip(axes, ("deletion", "insertion"), ("low", "high"), strict=True):
        for index, (entry, title) in enumerate(zip(graded, method_titles(graded), strict=True)):
            curve = getattr(entry.trust, metric)
            colour, style = colours(index % 10), _STYLES[index // 10 % len(_STYLES)]
            axis.plot(curve.fractions, curve.scores, label=title, linewidth=1.4, color=colour, linestyle=style)
        axis.set_title(f"{metric.capitalize()}: {better} is good", fontsize=9, color=ink)
        action = "removed" if metric == "deletion" else "inserted"
        axis.set_xlabel(f"share of pixels {action}, most important first", fontsize=8)
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        _tint(axis, ink)
    axes[0].set_ylabel("probability of the class", fontsize=8, color=ink)
    axes[-1].legend(fontsize=7, frameon=False, labelcolor=ink, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _matrix(axis: Axes, graded: Sequence[Graded], ink: str = _GREY) -> None:
    titles = method_titles(graded)
    values = np.eye(len(graded))
    pairs = agreements({str(index): entry.explanation.heatmap for index, entry in enumerate(graded)})
    for (first, second), agreement in pairs.items():
        values[int(first), int(second)] = values[int(second), int(first)] = agreement.spearman
    axis.imshow(values, vmin=-1, vmax=1, cmap="RdBu")
    axis.set_xticks(range(len(graded)), titles, rotation=45, ha="right", fontsize=7)
    axis.set_yticks(range(len(graded)), titles, fontsize=7)
    for (row, column), value in np.ndenumerate(values):
        shade = "white" if abs(value) > 0.6 else "black"
        axis.text(column, row, f"{value:.2f}".replace("0.", "."), ha="center", va="center", fontsize=6, color=shade)
    axis.set_title("Agreement: rank correlation", fontsize=9, color=ink)
    _tint(axis, ink)


def _picture(axis: Axes, pixels: np.ndarray, title: str) -> None:
    axis.imshow(pixels)
    axis.set_title(title, fontsize=6.5)


def _tint(axis: Axes, ink: str) -> None:
    axis.set_facecolor("none")
    axis.tick_params(colors=ink, labelsize=7)
    axis.xaxis.label.set_color(ink)
    for spine in axis.spines.values():
        spine.set_color(ink)
        spine.set_alpha(0.5)


def _options(explanation: Explanation) -> str:
    """The method's own options, such as "patch=32 stride=16; "."""
    common = {"size", "canvas", "box", "side", "smooth"}
    options = " ".join(f"{name}={value}" for name, value in explanation.parameters.items() if name not in common)
    return f"{options}; " if options else ""
