"""The results of the Stress tab in words and in HTML: attacks, defences and corruptions."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from core.html import Plot, data_url
from core.images import shrink
from robustness.corruption_curves import CorruptionCurve, corrupt
from robustness.defences import DefenceResult, describe_defence
from robustness.minimal import MinimalPerturbation
from robustness.problem import AttackResult
from ui.plain_text import plain

TILE = 300  # pixels of the longer side of a card's picture
PROBABILITY, CORRELATION = "#6366f1", "#e66101"  # colours of the curves
LEGEND = (
    "<p>Each picture shows the lowest severity at which the prediction fails, or severity 1. "
    f"<span style='color: {PROBABILITY}'>Blue: the probability of the class.</span> "
    f"<span style='color: {CORRELATION}'>Orange: the rank correlation between its heatmap and the heatmap without the "
    "corruption.</span></p>"
)


def describe_search(search: MinimalPerturbation) -> str:
    """The budgets that a search has tried so far, in one line."""
    digits = "{:g}/255" if search.norm == "linf" else "{:.2f}"
    tried = [f"{digits.format(epsilon)} {'succeeds' if success else 'fails'}" for epsilon, success in search.tried]
    return f"Tried epsilon {', '.join(tried)}{'.' if search.progress == 1 else ' ...'}"


def describe_result(result: AttackResult) -> str:
    """What an attack did, in a few sentences."""
    before, after = result.original_class[0], result.after[0]
    if result.success:
        outcome = f"**{plain(before.label)}** is now classified as **{plain(after.label)}**, {after.probability:.1%}."
    elif after.index == before.index:
        outcome = (
            f"The attack failed. The picture is still classified as **{plain(after.label)}**, {after.probability:.1%}. "
            "Increase the budget, or choose another attack method."
        )
    else:
        outcome = (
            f"**{plain(before.label)}** is now classified as **{plain(after.label)}**, {after.probability:.1%}. "
            "This is not the target class. Increase the budget."
        )
    return (
        f"{outcome}\n\nLargest change {result.linf}/255, L2 norm {result.l2:.2f}, SSIM {result.ssim:.4f} (1: identical). "
        f"{result.forward_passes + result.backward_passes} passes, {result.seconds:.1f} s."
    )


def render_defences(defences: list[DefenceResult]) -> str:
    """An HTML table: each defence, the class of the attacked picture after it, and what that means for the attack."""
    if not defences:
        return ""
    rows = "".join(
        f"<tr><td>{escape(defence.name)}</td><td>{escape(defence.attacked.label)}</td>"
        f"<td>{escape(describe_defence(defence))}</td></tr>"
        for defence in defences
    )
    return (
        "<table class='facts'><caption>Attack after an operation on the picture</caption>"
        f"<tr><th>Operation</th><th>Classified as</th><th>Attack</th></tr>{rows}</table>"
    )


def render_cards(cards: Sequence[str]) -> str:
    """HTML: the legend of the curves, and the cards in a grid."""
    return f"{LEGEND}<div class='cards'>{''.join(cards)}</div>"


def render_card(pixels: np.ndarray, curve: CorruptionCurve) -> str:
    """HTML: the picture at the severity where the prediction fails, or at the highest severity, and the curves."""
    severity = 1.0 if curve.breaking_severity is None else curve.breaking_severity
    prediction = curve.top[curve.severities.index(severity)]
    outcome = "never fails" if curve.breaking_severity is None else f"fails at severity {severity:g}"
    corrupted = corrupt(shrink(pixels, TILE), curve.name, severity)
    plot = Plot("severity", "", (0, 1), (0, 1))
    plot.line(curve.severities, curve.correlations, CORRELATION)
    plot.line(curve.severities, curve.probabilities, PROBABILITY)
    return (
        f"<figure><img src='{data_url(corrupted)}' alt=''><figcaption><b>{escape(curve.name)}</b>: {outcome}<br>"
        f"classified as: {escape(prediction.label)}, {prediction.probability:.0%}</figcaption>{plot.svg()}</figure>"
    )


def describe_curves(curves: dict[str, CorruptionCurve]) -> str:
    """What the curves say, in one or two sentences."""
    if not curves:
        return "No corruption is completely tested yet."
    prediction = next(iter(curves.values())).target
    name = f"**{plain(prediction.label)}** ({prediction.probability:.1%})"
    failures = sorted(
        (curve.breaking_severity, curve.name) for curve in curves.values() if curve.breaking_severity is not None
    )
    if not failures:
        return f"The prediction {name} fails under none of the {len(curves)} corruptions."
    first = failures[0][0]
    weakest = " and ".join(corruption for severity, corruption in failures if severity == first)
    return (
        f"The prediction {name} fails under {len(failures)} of {len(curves)} corruptions. "
        f"It fails first under {weakest}, at severity {first:g}."
    )
