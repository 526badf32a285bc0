"""Comparisons drawn with Matplotlib: curves, agreement, and a sheet with everything for a report."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from explain import words
from explain.compare import Graded, caption, names
from explain.faithfulness import agreements
from explain.render import overlay

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from explain.sanity import Stage

_GREY = "#7a8194"  # reads on white and on dark pages
_STYLES = ("-", "--", ":", "-.")


def curves(graded: Sequence[Graded]) -> Figure:
    """Deletion and insertion curves of the methods, on a ground that suits any page."""
    figure = Figure(figsize=(8, 3.6), layout="constrained", facecolor="none")
    _curves(figure.subplots(1, 2, sharey=True), graded)
    return figure


def matrix(graded: Sequence[Graded]) -> Figure:
    """How far each two methods agree: the rank correlation of their maps."""
    side = 2.4 + 0.34 * len(graded)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained", facecolor="none")
    _matrix(figure.subplots(), graded)
    return figure


def sheet(
    name: str,
    pixels: np.ndarray,
    graded: Sequence[Graded],
    stages: Sequence[Stage] = (),
    colormap: str = "inferno",
    opacity: float = 0.6,
) -> Figure:
    """One page: every map with its figures, the curves, the agreement, the sanity check if it was made, all parameters.

    `name`: the picture's; `pixels` uint8 RGB (H, W, 3). `graded`: at least one. `stages`: of explain.sanity.randomisation.
    """
    columns = 5
    tile = 2.1 * pixels.shape[0] / pixels.shape[1] + 0.62  # inches, with its caption
    rows = -(-(len(graded) + 1) // columns)
    heights = [rows * tile, 3.4 + 0.12 * len(graded), tile if stages else 0, 0.6 + 0.16 * len(graded)]
    used = [height for height in heights if height]
    figure = Figure(figsize=(11.7, sum(used) + 0.9), layout="constrained", facecolor="white")
    first = graded[0].found
    height, width = first.parameters["canvas"]
    figure.suptitle(
        f"{name}: why {first.label}? ({first.probability:.1%})\n{first.model} on a canvas of {width}x{height} pixels",
        fontsize=13,
    )
    parts = iter(figure.subfigures(len(used), 1, squeeze=False, height_ratios=used)[:, 0])

    axes = np.ravel(next(parts).subplots(rows, columns, squeeze=False))
    _picture(axes[0], pixels, "picture")
    for each, axis, title in zip(graded, axes[1:], names(graded), strict=False):
        _picture(axis, overlay(pixels, each.found.heatmap, colormap, opacity), f"{title}\n{caption(each)}")
    for axis in axes:
        axis.set_axis_off()

    left, right = next(parts).subfigures(1, 2, width_ratios=(1.45, 1))
    _curves(left.subplots(1, 2, sharey=True), graded, ink="black")
    _matrix(right.subplots(), graded, ink="black")

    if stages:
        row = next(parts)
        row.suptitle("Sanity check: the map while the network's weights are shuffled from the top down", fontsize=9)
        for axis, stage in zip(row.subplots(1, len(stages), squeeze=False)[0], stages, strict=True):
            _picture(axis, overlay(pixels, stage.heatmap, colormap, opacity), f"{stage.name}\n{stage.spearman:.2f}")
            axis.set_axis_off()

    lines = [
        f"{each.found.method}: {_options(each)}{words.cost(each.found)}. {' '.join(each.found.notes)}"
        for each in graded
    ]
    axis = next(parts).subplots()
    axis.set_axis_off()
    axis.text(0, 1, "\n".join(lines), fontsize=6, va="top", family="monospace", transform=axis.transAxes, wrap=True)
    return figure


def save(figure: Figure, kind: str) -> bytes:
    """A figure as "png" or "pdf"; the same figure gives the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format=kind, dpi=160, metadata={"CreationDate": None} if kind == "pdf" else None)
    return file.getvalue()


def _curves(axes: Sequence[Axes], graded: Sequence[Graded], ink: str = _GREY) -> None:
    colours = colormaps["tab10"]
    for axis, what, better in zip(axes, ("deletion", "insertion"), ("low", "high"), strict=True):
        for index, (each, title) in enumerate(zip(graded, names(graded), strict=True)):
            curve = getattr(each.trust, what)
            colour, style = colours(index % 10), _STYLES[index // 10 % len(_STYLES)]
            axis.plot(curve.fractions, curve.scores, label=title, linewidth=1.4, color=colour, linestyle=style)
        axis.set_title(f"{what.capitalize()}: {better} is good", fontsize=9, color=ink)
        axis.set_xlabel(f"share of pixels {'removed' if what == 'deletion' else 'put in'}, hottest first", fontsize=8)
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        _tint(axis, ink)
    axes[0].set_ylabel("probability of the class", fontsize=8, color=ink)
    axes[-1].legend(fontsize=7, frameon=False, labelcolor=ink, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _matrix(axis: Axes, graded: Sequence[Graded], ink: str = _GREY) -> None:
    titles = names(graded)
    values = np.eye(len(graded))
    alike = agreements({str(index): each.found.heatmap for index, each in enumerate(graded)})
    for (first, second), found in alike.items():
        values[int(first), int(second)] = values[int(second), int(first)] = found.spearman
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


def _options(graded: Graded) -> str:
    asked = graded.found.parameters
    fixed = {"size", "canvas", "box", "side", "smooth"}
    options = " ".join(f"{name}={value}" for name, value in asked.items() if name not in fixed)
    return f"{options}; " if options else ""
