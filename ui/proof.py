"""The proof beside a map, as HTML: what happens if the marked pixels are blurred, with pictures, curves and a verdict."""

from __future__ import annotations

from html import escape

from core.html import Plot, data_url
from explain.metrics.quick_trust import FOUND, PARTLY, SHARES, VERDICTS, QuickTrust

PENDING = '<p class="proof-wait">Checking this map: does the prediction depend on what it marks?</p>'
MAP, CONTROL = "#d95d25", "#8a8178"  # colours of the curves


def describe_check(check: QuickTrust, label: str) -> str:
    """One sentence with the three probabilities."""
    share = f"{SHARES[0]:.0%}".replace("%", " %")
    return (
        f"Blur the hottest {share} of the picture: {label} goes from {check.probability:.0%} to {check.blurred:.0%}. "
        f"Blur as much elsewhere: {check.blurred_control:.0%}."
    )


def render_proof(check: QuickTrust, label: str) -> str:
    """HTML: the sentence, the verdict with its rule, and on a click both pictures and the curves."""
    rule = (
        f"Advantage over the same map moved to random places: {check.advantage:.2f}. From {FOUND} on, the map marks what the "
        f"prediction depends on; from {PARTLY} on, a part of it. 20 passes. How the rule was chosen: docs/METHODS.md."
    )
    captions = (
        f"hottest part blurred: {check.blurred:.0%}",
        f"as much elsewhere, mean of two: {check.blurred_control:.0%}",
    )
    figures = "".join(
        f'<figure><img src="{data_url(pixels)}" alt=""><figcaption>{caption}</figcaption></figure>'
        for pixels, caption in zip(check.pictures, captions, strict=True)
    )
    plots = "".join(
        f"<figure>{plot}<figcaption>{caption}</figcaption></figure>"
        for plot, caption in (
            (_plot(check, deleted=True), "Deletion: hottest first; a lower line than the grey one is good"),
            (_plot(check, deleted=False), "Insertion: hottest first; a higher line than the grey one is good"),
        )
    )
    return (
        f'<div class="proof" data-verdict="{check.verdict}"><p><b>{VERDICTS[check.verdict]}</b> '
        f"{escape(describe_check(check, label))}</p><details><summary>Show both pictures and the rule</summary>"
        f'<div class="proof-figures">{figures}{plots}</div><p>{rule}</p></details></div>'
    )


def _plot(check: QuickTrust, deleted: bool) -> str:
    """The curve of the map and that of the control, as SVG."""
    own, control = (check.deletion, check.control_deletion) if deleted else (check.insertion, check.control_insertion)
    plot = Plot("blurred" if deleted else "sharp", "probability", (0, 1), (0, 1))
    plot.line(control.fractions.tolist(), control.scores.tolist(), CONTROL, "elsewhere", dots=True)
    plot.line(own.fractions.tolist(), own.scores.tolist(), MAP, "this map", dots=True)
    return plot.svg()
