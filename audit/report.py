"""An audit as pictures, as sentences and as a report: one HTML file that refers to nothing outside itself."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from audit.auditor import Auditor, Example
from audit.cues import KINDS
from audit.results import Audit, ClassAudit
from audit.verdict import CUE_NAMES, Reliance, Verdict
from core.errors import PictureError
from core.folders import Excluded
from core.html import data_url, render_template
from core.images import read, resize
from explain.render import colours, overlay
from models.geometry import resample

TEMPLATES = Path(__file__).with_name("templates")
TILE = (108, 192)  # height and width, in pixels, of a picture in the report
EXAMPLES = 3  # exchanges shown per class
VERDICT_MARKS: dict[Verdict, str] = {"clean": "✓ clean", "suspect": "? suspect", "shortcut": "✗ shortcut"}


def scale_to_tile(pixels: np.ndarray, size: tuple[int, int] = TILE) -> np.ndarray:
    """A picture uint8 (H, W, 3), scaled to the height of a tile; the width is at most three tiles."""
    width = max(1, round(pixels.shape[1] * size[0] / pixels.shape[0]))
    return resize(pixels, (size[0], min(width, 3 * size[1])))


def heatmap_tile(heat: np.ndarray, size: tuple[int, int] = TILE) -> np.ndarray:
    """A map (rows, columns) in colours, uint8 RGB of `size` (height, width). The scale ends at its largest value."""
    return colours(resample(_to_unit(heat), size))


def picture_tile(auditor: Auditor, index: int, heat: np.ndarray | None = None) -> np.ndarray:
    """A picture of the audit as a tile.

    Args:
        auditor: Holds the pictures.
        index: The number of the picture.
        heat: A map (rows, columns) to lay over the picture.
    """
    tile = scale_to_tile(read(auditor.pictures[index]).pixels)
    return tile if heat is None else overlay(tile, resample(_to_unit(heat), tile.shape[:2]), opacity=0.5)


def _to_unit(heat: np.ndarray) -> np.ndarray:
    return heat / max(float(heat.max()), 1e-12)


def choose_examples(auditor: Auditor, result: ClassAudit) -> list[Example]:
    """A few exchanges of the class's strongest cue, or of the background. Exchanges that change the prediction come first."""
    class_index = auditor.classifier.index(result.label)
    examples = []
    for index in auditor.pick_pictures(class_index, 2 * EXAMPLES):
        with contextlib.suppress(PictureError):  # the audit already lists this picture as excluded
            examples.append(auditor.example(index, result.kind or "background"))
    return sorted(examples, key=lambda example: example.prediction_after[0] == result.label)[:EXAMPLES]


def describe_class(result: ClassAudit) -> list[str]:
    """Facts about a class besides its verdict, as sentences: evidence, heat per region, clusters."""
    sentences = []
    kept, replaced = result.evidence["kept"], result.evidence["replaced"]
    if np.isfinite(list(kept.values())).all():
        sentences.append(
            f"If only the evidence is kept, on the background of another picture, {kept['other']:.0%} of the pictures are "
            f"classified correctly (on a blurred background: {kept['blur']:.0%})."
        )
        sentences.append(
            f"If the evidence is replaced by another picture, {replaced['other']:.0%} of the pictures are classified "
            f"correctly (if it is blurred: {replaced['blur']:.0%})."
        )
    shares = [
        f"{name} {share:.0%} ({area:.0%} of the area)"
        for name, (share, area) in result.shares.items()
        if area > 0.002 or share > 0.005
    ]
    if shares:
        sentences.append(f"Heat per region: {', '.join(shares)}.")
    count = len(result.clusters)
    sentences.append(f"The heatmaps form {count} cluster{'s' if count != 1 else ''}.")
    return sentences


def describe_probe(audit: Audit) -> str:
    """How well global statistics alone separate the classes, in two sentences with figures."""
    if not np.isfinite(audit.probe):
        return "There are too few pictures to test whether global statistics separate the classes."
    return (
        f"A linear model that gets only global statistics (brightness, colour, sharpness, compression, size) reaches "
        f"{audit.probe:.0%} balanced accuracy; chance is {audit.chance:.0%}. The statistics with the largest weights are: "
        f"{', '.join(audit.strongest_statistics)}."
    )


def render_overview(audit: Audit) -> str:
    """An HTML table with one row per class: verdict, figures, mean heatmap and its standard deviation, and the sentence."""
    return render_template(TEMPLATES / "overview.html", audit=audit, **_HELPERS)


def render_effects(audit: Audit) -> str:
    """An HTML table with one row per class and one column per cue: effect size and standard error, shaded if significant."""
    return render_template(TEMPLATES / "effects.html", audit=audit, **_HELPERS)


def render_report(audit: Audit, auditor: Auditor, left_out: Sequence[Excluded] = ()) -> str:
    """The report: a whole HTML document that refers to nothing outside itself. `left_out`: files that were not opened."""
    sections = [
        {
            "result": result,
            "paragraphs": [text for text in (result.sentence, result.advice, *describe_class(result)) if text],
            "cue": CUE_NAMES[result.kind or "background"],
            "examples": choose_examples(auditor, result),
        }
        for result in audit.classes
    ]
    return render_template(
        TEMPLATES / "audit.html",
        audit=audit,
        probe=describe_probe(audit),
        sections=sections,
        left_out=left_out,
        member_url=lambda index, heat: data_url(picture_tile(auditor, index, heat)),
        **_HELPERS,
    )


def _shade(reliance: Reliance) -> float:
    """The opacity of a cell of the table of effects."""
    return min(0.7, max(0.0, reliance.effect_size) * 0.7) if reliance.significant else 0.0


_HELPERS = {
    "kinds": KINDS,
    "marks": VERDICT_MARKS,
    "percent": "{:.0%}".format,
    "shade": _shade,
    "heatmap_url": lambda heat: data_url(heatmap_tile(heat)),
    "picture_url": lambda pixels: data_url(scale_to_tile(pixels)),
}
"""What all templates of this folder use."""
