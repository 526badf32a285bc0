"""An evaluation as a page: one HTML file with its plots and pictures in it, which opens anywhere."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import cv2
import numpy as np

from models import metrics
from models.classifier import Classifier
from models.dataset import within
from models.evaluate import Evaluation, heat

Curves = dict[str, list[list[float]]]

MISTAKES = 40  # shown at most, the surest first
WIDTH = 320
COLOURS = ("#4f46e5", "#d97706")  # indigo for training, amber for validation: apart for the colour-blind too

STYLE = """
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.45; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 0.6rem 0; } td, th { padding: 0.3rem 0.7rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } tr + tr { border-top: 1px solid #8884; }
figure { display: inline-block; margin: 0.4rem; vertical-align: top; } figcaption { font-size: 0.85rem; max-width: 42rem; }
img { border-radius: 4px; } svg { max-width: 100%; }
"""


def page(found: Evaluation, classifier: Callable[[int], Classifier], curves: Curves | None = None) -> str:
    """The report, a whole HTML document that refers to nothing outside itself.

    `classifier` gives the one that judged a picture, by its index: with folds there are several. `curves` as `learning`
    takes them.
    """
    facts = found.facts()
    parts = [f"<h1>{escape(found.model)}</h1>", f"<p>{_headline(facts)}</p>"]
    parts += [f"<p>{escape(note)}</p>" for note in found.notes]
    parts += [
        "<h2>Classes</h2>",
        _table(*_classes(facts)),
        "<h2>Confusions</h2>",
        confusion(found.labels, found.confusion),
    ]
    parts += ["<h2>Does it know when it is wrong?</h2>", _calibration(found, facts)]
    if stress := found.stress():
        parts += ["<h2>Photographed from a screen</h2>", _stress(stress, facts["accuracy"]["value"])]
    parts.append(f"<p>Heat on padding: {facts['heat_on_padding']:.1%} of the evidence for the true class.</p>")
    if curves:
        parts += ["<h2>How it learned</h2>", learning(curves)]
    wrong = found.mistakes()
    parts.append(f"<h2>What it gets wrong ({len(wrong)})</h2>")
    parts += [mistake(found, classifier(index), index) for index in wrong[:MISTAKES]]
    if len(wrong) > MISTAKES:
        parts.append(f"<p>and {len(wrong) - MISTAKES} more; all are named in report.json.</p>")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(found.model)}: evaluation</title><style>{STYLE}</style><body>{''.join(parts)}</body></html>"
    )


def _headline(facts: dict[str, Any]) -> str:
    accuracy, f1 = (metrics.Interval(**facts[name]) for name in ("accuracy", "macro_f1"))
    return (
        f"{facts['pictures']} pictures. Accuracy <b>{accuracy.value:.1%}</b> ({accuracy.low:.1%} to {accuracy.high:.1%}), "
        f"macro F1 <b>{f1.value:.3f}</b> ({f1.low:.3f} to {f1.high:.3f}); 95 % bootstrap intervals."
    )


def _classes(facts: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [label, str(row["pictures"]), *(f"{row[key]:.3f}" for key in ("precision", "recall", "f1"))]
        for label, row in facts["classes"].items()
    ]
    return ["class", "pictures", "precision", "recall", "F1"], rows


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def confusion(labels: Sequence[str], counts: np.ndarray) -> str:
    """The confusion matrix as an HTML table: a row a true class, shaded by its share of the row."""
    rows = []
    for label, row in zip(labels, counts, strict=True):
        shares = 0.85 * row / max(1, row.sum())
        cells = "".join(
            f'<td style="background: rgba(79, 70, 229, {share:.2f}){"; color: white" if share > 0.5 else ""}">{count}</td>'
            for count, share in zip(row.tolist(), shares.tolist(), strict=True)
        )
        rows.append(f"<tr><td>{escape(label)}</td>{cells}</tr>")
    head = "".join(f"<th>{escape(label)}</th>" for label in labels)
    return f"<table><tr><th>true \\ predicted</th>{head}</tr>{''.join(rows)}</table>"


def _calibration(found: Evaluation, facts: dict[str, Any]) -> str:
    counts, confidence, right = metrics.reliability(metrics.softmax(found.logits), found.truth)
    full = counts > 0
    plot = Plot("probability it gives", "share that is right", (0, 1), (0, 1))
    plot.line([0, 1], [0, 1], "#8888")
    plot.line(confidence[full].tolist(), right[full].tolist(), COLOURS[0], dots=True)
    scale = facts["calibration"]
    words = (
        f"Expected calibration error {scale['ece']:.3f}: how far its probabilities are from the truth on average. "
        f"Dividing its logits by {scale['temperature']:.2f} would make it {scale['ece_after_temperature']:.3f}."
    )
    return f"<p>{words}</p>{plot.svg()}"


def _stress(stress: dict[str, float], clean: float) -> str:
    rows = [[name, f"{share:.1%}", f"{100 * (share - clean):+.1f}"] for name, share in stress.items()]
    return _table(
        ["distortion, at full strength", "accuracy", "points from clean"], [["none", f"{clean:.1%}", ""], *rows]
    )


def learning(curves: Curves) -> str:
    """Loss and accuracy by epoch, mean and spread over the folds: two plots side by side.

    `curves`: "loss", "accuracy", "validation_loss", "validation_accuracy" -> [mean, standard deviation] an epoch.
    """
    plots = []
    for what in ("loss", "accuracy"):
        means = [mean for name in (what, f"validation_{what}") for mean, _ in curves[name] if np.isfinite(mean)]
        top = 1.0 if what == "accuracy" else max([*means, 0.1]) * 1.1
        plot = Plot("epoch", what, (1, max(2, len(curves[what]))), (0, top))
        for name, colour, title in ((what, COLOURS[0], "training"), (f"validation_{what}", COLOURS[1], "validation")):
            points = [(index + 1, *pair) for index, pair in enumerate(curves[name]) if np.isfinite(pair[0])]
            if points:
                x, mean, spread = (list(column) for column in zip(*points, strict=True))
                plot.band(x, mean, spread, colour)
                plot.line(x, mean, colour, title)
        plots.append(plot.svg())
    return f'<div style="display: flex; flex-wrap: wrap; gap: 1.5rem">{"".join(plots)}</div>'


def mistake(found: Evaluation, classifier: Classifier, index: int) -> str:
    """A picture beside the evidence for the class it was taken for and for its own."""
    predicted, true = int(found.predicted[index]), int(found.truth[index])
    pixels = found.items[index].pixels()
    views = [within(pixels, WIDTH), *evidence(classifier, pixels, (predicted, true))]
    sure = metrics.softmax(found.logits[index])
    titles = ("picture", f"evidence for {found.labels[predicted]}", f"evidence for {found.labels[true]}")
    images = "".join(
        f'<img alt="{escape(title)}" title="{escape(title)}" src="{data_url(view)}"> '
        for title, view in zip(titles, views, strict=True)
    )
    words = (
        f"{escape(found.items[index].name)}: <b>{escape(found.labels[predicted])}</b> {sure[predicted]:.0%}, "
        f"in truth <b>{escape(found.labels[true])}</b> {sure[true]:.0%}. The picture, and the evidence for either."
    )
    return f"<figure>{images}<figcaption>{words}</figcaption></figure>"


def evidence(classifier: Classifier, pixels: np.ndarray, classes: Sequence[int]) -> list[np.ndarray]:
    """The picture, at most WIDTH pixels on its longer side, under the heat of each class."""
    geometry = classifier.geometry(pixels.shape[:2])
    features = classifier.forward(geometry.place(pixels)[None])[0][0]
    views = []
    for index in classes:
        warm = np.maximum(geometry.restore(heat(classifier, features, index)), 0)
        levels = (255 * warm / max(float(warm.max()), 1e-9)).astype(np.uint8)
        colours = cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1]
        views.append(within(cv2.addWeighted(pixels, 0.45, np.ascontiguousarray(colours), 0.55, 0), WIDTH))
    return views


def data_url(pixels: np.ndarray) -> str:
    """A picture as a JPEG inside an address, for pages that are one file."""
    encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"


class Plot:
    """A small line plot in SVG, of text and lines in the colour of the page. `x`, `y`: the ranges shown."""

    width, height, left, bottom, top = 380, 240, 48, 36, 12

    def __init__(self, across: str, up: str, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._x: Callable[[float], float] = lambda value: (
            self.left + (value - x[0]) / (x[1] - x[0]) * (self.width - self.left - 12)
        )
        self._y: Callable[[float], float] = lambda value: (
            self.top + (y[1] - min(max(value, y[0]), y[1])) / (y[1] - y[0]) * (self.height - self.bottom - self.top)
        )
        self._legend = 0
        self._parts = []
        for share in (0, 0.25, 0.5, 0.75, 1):
            level, place = y[0] + share * (y[1] - y[0]), x[0] + share * (x[1] - x[0])
            place = round(place) if x[1] > 1 else place  # there is no epoch 8.25
            at = f"{self._y(level):.1f}"
            self._parts += [
                f'<line x1="{self.left}" x2="{self.width - 12}" y1="{at}" y2="{at}" stroke="#8883"/>',
                f'<text x="{self.left - 6}" y="{at}" dy="4" text-anchor="end">{level:.2g}</text>',
                f'<text x="{self._x(place):.1f}" y="{self.height - 20}" text-anchor="middle">{place:.3g}</text>',
            ]
        self._parts += [
            f'<text x="{self.width / 2}" y="{self.height - 4}" text-anchor="middle">{escape(across)}</text>',
            f'<text transform="translate(11 {self.height / 2}) rotate(-90)" text-anchor="middle">{escape(up)}</text>',
        ]

    def line(self, x: Sequence[float], y: Sequence[float], colour: str, title: str = "", dots: bool = False) -> None:
        """A line through points; with a `title` it is named in the corner."""
        points = [(self._x(a), self._y(b)) for a, b in zip(x, y, strict=True)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        self._parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if dots or len(points) == 1:
            self._parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in points]
        if title:
            self._legend += 1
            place = self.top + 14 * self._legend
            self._parts.append(
                f'<line x1="{self.width - 96}" x2="{self.width - 80}" y1="{place - 4}" y2="{place - 4}" stroke="{colour}" '
                f'stroke-width="3"/><text x="{self.width - 75}" y="{place}">{escape(title)}</text>'
            )

    def band(self, x: Sequence[float], mean: Sequence[float], spread: Sequence[float], colour: str) -> None:
        """A shade of one spread either side of the mean."""
        rows = list(zip(x, mean, spread, strict=True))
        edge = [(a, m + s) for a, m, s in rows] + [(a, m - s) for a, m, s in reversed(rows)]
        path = " ".join(f"{self._x(a):.1f},{self._y(b):.1f}" for a, b in edge)
        self._parts.append(f'<polygon points="{path}" fill="{colour}" opacity="0.18"/>')

    def svg(self) -> str:
        """The plot as an SVG element."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" width="{self.width}" role="img" fill="currentColor" '
            f'font-family="system-ui, sans-serif" font-size="11">{"".join(self._parts)}</svg>'
        )
