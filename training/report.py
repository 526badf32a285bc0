"""A data set, a training and an evaluation as text, pictures and HTML.

The report of an evaluation is one HTML file that contains its plots and pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image, ImageDraw, ImageFont
from scipy.special import softmax

from core.html import Plot, data_url, render_template
from core.images import fit_into, shrink
from explain import explain
from explain.registry import default_method
from explain.render import overlay
from models.classifier import Classifier
from training import classification_metrics
from training.cross_validation import mean_curves
from training.dataset import Dataset
from training.evaluation import Evaluation
from training.trainer import Epoch

Curves = dict[str, list[list[float]]]
"""As `mean_curves` returns them: name of a figure -> [mean, standard deviation] for each epoch."""

TEMPLATES = Path(__file__).with_name("templates")
MAX_MISTAKES = 40  # shown in the report, the most confident first
TITLE_HEIGHT = 22  # pixels of the line above a row of a contact sheet
WIDTH = 320  # pixels of the longer side of a picture in the report
COLOURS = ("#4f46e5", "#d97706")  # training indigo, validation amber: colour-blind readers can distinguish them too


def histogram(counts: Mapping[str, int], width: int = 40) -> str:
    """A bar of text for each class, one line each; `width`: characters of the longest bar.

    >>> print(histogram({"cats": 4, "dogs": 2}, width=8))
    cats      4  ########
    dogs      2  ####
    """
    longest_label, largest = max(map(len, counts)), max(1, *counts.values())
    return "\n".join(
        f"{label:<{longest_label}}  {count:>5}  {'#' * round(width * count / largest)}"
        for label, count in counts.items()
    )


def contact_sheet(dataset: Dataset, columns: int = 8, tile: tuple[int, int] = (90, 160), seed: int = 0) -> np.ndarray:
    """One row of random pictures for each class, below its name and count.

    Args:
        dataset: The pictures.
        columns: Pictures per class.
        tile: Height and width of a picture in pixels.
        seed: Seed of the random choice.

    Returns:
        uint8 RGB (classes * (22 + tile height), columns * tile width, 3).
    """
    rng = np.random.default_rng(seed)
    rows = []
    for class_index, (label, count) in enumerate(dataset.counts().items()):
        title = Image.new("RGB", (columns * tile[1], TITLE_HEIGHT), "white")
        ImageDraw.Draw(title).text((4, 3), f"{label}: {count}", "black", ImageFont.load_default(14))
        of_class = [item for item in dataset.items if item.class_index == class_index]
        chosen = [of_class[number] for number in rng.permutation(len(of_class))[:columns]]
        tiles = [fit_into(item.pixels(), tile) for item in chosen]
        tiles += [np.full((*tile, 3), 255, np.uint8)] * (columns - len(tiles))
        rows += [np.asarray(title), np.hstack(tiles)]
    return np.vstack(rows)


def curve_table(curves: Sequence[Sequence[Epoch]]) -> str:
    """Mean and standard deviation over the folds as text, one line per epoch."""
    lines = [f"{'epoch':>5}  {'loss':>15}  {'accuracy':>15}  {'validation loss':>15}  {'validation acc.':>15}"]
    for number, cells in enumerate(zip(*mean_curves(curves).values(), strict=True), 1):
        lines.append(f"{number:>5}  {'  '.join(f'{mean:8.3f} ±{deviation:6.3f}' for mean, deviation in cells)}")
    return "\n".join(lines)


def render_report(
    evaluation: Evaluation, classifier_of: Callable[[int], Classifier], curves: Curves | None = None
) -> str:
    """The report as an HTML document that loads nothing else.

    Args:
        evaluation: What to report.
        classifier_of: Gives the classifier of a picture by its index. With folds there are several.
        curves: Learning curves, as `mean_curves` returns them.

    Returns:
        The HTML.
    """
    mistakes = evaluation.mistakes()
    return render_template(
        TEMPLATES / "evaluation.html",
        figures=evaluation.to_dict(),
        confusion_matrix=Markup(render_confusion_matrix(evaluation.labels, evaluation.confusion)),  # nosec B704
        reliability=Markup(_plot_reliability(evaluation).svg()),  # nosec B704
        learning_curves=Markup(render_learning_curves(curves)) if curves else None,  # nosec B704
        mistakes=[_mistake(evaluation, classifier_of(index), index) for index in mistakes[:MAX_MISTAKES]],
        mistake_count=len(mistakes),
    )


ERROR, CORRECT = "178, 58, 14", "120, 113, 108"  # red, green and blue of the cells beside and on the diagonal


def render_confusion_matrix(labels: Sequence[str], counts: np.ndarray, clickable: bool = False) -> str:
    """The confusion matrix as an HTML table, each cell shaded by its share of the row.

    Errors have a strong colour and the diagonal a weak one, so that errors stand out.

    Args:
        labels: Names of the classes.
        counts: (classes, classes), one row per true class and one column per predicted class.
        clickable: Whether each count is a button with the attributes data-row and data-column.
    """
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    rows = []
    for row, label in enumerate(labels):
        cells = []
        for column, count in enumerate(counts[row].tolist()):
            on_diagonal = row == column
            # The root makes a single error visible in a row of many pictures.
            shade = 0.3 * shares[row, column] if on_diagonal else 0.85 * float(np.sqrt(shares[row, column]))
            colour = CORRECT if on_diagonal else ERROR
            cells.append({"row": row, "column": column, "count": count, "shade": shade, "colour": colour})
        rows.append((label, cells))
    return render_template(TEMPLATES / "confusion_matrix.html", labels=labels, rows=rows, clickable=clickable)


def confused_pairs(labels: Sequence[str], counts: np.ndarray, most: int = 5) -> list[tuple[str, str, int, int]]:
    """The most frequent errors: true class, predicted class, how many pictures, and how many the true class has.

    >>> confused_pairs(["a", "b"], np.array([[8, 2], [1, 9]]))
    [('a', 'b', 2, 10), ('b', 'a', 1, 10)]

    Args:
        labels: Names of the classes.
        counts: As for `render_confusion_matrix`.
        most: How many pairs at most. Pairs without an error are left out.
    """
    errors = counts - np.diag(np.diagonal(counts))
    order = np.argsort(-errors, axis=None, kind="stable")[:most]
    cells = [np.unravel_index(index, counts.shape) for index in order]
    return [
        (labels[row], labels[column], int(errors[row, column]), int(counts[row].sum()))
        for row, column in cells
        if errors[row, column]
    ]


def render_learning_curves(curves: Curves) -> str:
    """Loss and accuracy for each epoch as two plots side by side, in HTML: the mean with a band of one standard deviation."""
    plots = [Markup(_plot_curve(curves, figure).svg()) for figure in ("loss", "accuracy")]  # nosec B704
    return render_template(TEMPLATES / "learning_curves.html", plots=plots)


def _plot_curve(curves: Curves, figure: str) -> Plot:
    """Training and validation curve of "loss" or "accuracy"."""
    means = [mean for name in (figure, f"validation_{figure}") for mean, _ in curves[name] if np.isfinite(mean)]
    top = 1.0 if figure == "accuracy" else max([*means, 0.1]) * 1.1
    plot = Plot("epoch", figure, (1, max(2, len(curves[figure]))), (0, top))
    for name, colour, title in ((figure, COLOURS[0], "training"), (f"validation_{figure}", COLOURS[1], "validation")):
        points = [(index + 1, *pair) for index, pair in enumerate(curves[name]) if np.isfinite(pair[0])]
        if points:
            x, mean, deviation = (list(column) for column in zip(*points, strict=True))
            plot.band(x, mean, deviation, colour)
            plot.line(x, mean, colour, title)
    return plot


def _plot_reliability(evaluation: Evaluation) -> Plot:
    """The reliability diagram: accuracy against confidence."""
    counts, confidence, accuracy = classification_metrics.reliability_bins(evaluation.probabilities, evaluation.truth)
    used = counts > 0
    plot = Plot("confidence", "accuracy", (0, 1), (0, 1))
    plot.line([0, 1], [0, 1], "#8888")
    plot.line(confidence[used].tolist(), accuracy[used].tolist(), COLOURS[0], dots=True)
    return plot


def _mistake(evaluation: Evaluation, classifier: Classifier, index: int) -> dict[str, Any]:
    """What the template shows of a misclassified picture: both classes, and the heatmap of each."""
    predicted, true = int(evaluation.predicted[index]), int(evaluation.truth[index])
    labels, probabilities = evaluation.labels, softmax(evaluation.logits[index])
    pixels = evaluation.items[index].pixels()
    views = [shrink(pixels, WIDTH), *heatmap_overlays(classifier, pixels, (predicted, true))]
    titles = ("picture", f"heatmap for {labels[predicted]}", f"heatmap for {labels[true]}")
    return {
        "name": evaluation.items[index].name,
        "predicted": labels[predicted],
        "predicted_probability": float(probabilities[predicted]),
        "true": labels[true],
        "true_probability": float(probabilities[true]),
        "images": [(title, data_url(view)) for title, view in zip(titles, views, strict=True)],
    }


def heatmap_overlays(classifier: Classifier, pixels: np.ndarray, class_indices: Sequence[int]) -> list[np.ndarray]:
    """The picture under the heatmap of each class: Grad-CAM, or occlusion for a model without a map.

    Args:
        classifier: What to explain.
        pixels: uint8 RGB (H, W, 3).
        class_indices: The classes.

    Returns:
        uint8 RGB, at most WIDTH pixels on the longer side.
    """
    method = default_method(classifier)
    heatmaps = (explain(pixels, classifier, method, class_index).heatmap for class_index in class_indices)
    return [shrink(overlay(pixels, heatmap, "viridis", 0.55), WIDTH) for heatmap in heatmaps]
