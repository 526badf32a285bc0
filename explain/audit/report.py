"""An audit as pictures and as a page: one HTML file with everything in it, which opens anywhere."""

from __future__ import annotations

import base64
import contextlib
from html import escape

import cv2
import numpy as np

from explain.audit.cues import KINDS
from explain.audit.measure import Auditor, Example
from explain.audit.result import CALLED, Audit, ClassAudit, Cluster, Verdict
from explain.render import colours, overlay
from models.errors import PictureError
from models.geometry import resample
from models.picture import read, resize

TILE = (108, 192)  # height and width of a picture on the page
EXAMPLES = 3  # exchanges shown a class
MARK: dict[Verdict, str] = {"clean": "✓ clean", "suspect": "? suspect", "shortcut": "✗ shortcut"}
STYLE = """
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.45; }
body { max-width: 66rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 0.6rem 0; } td, th { padding: 0.25rem 0.7rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } tr + tr { border-top: 1px solid #8884; }
figure { display: inline-block; margin: 0.3rem; vertical-align: top; } figcaption { font-size: 0.8rem; max-width: 14rem; }
img { border-radius: 4px; max-width: 100%; }
.clean { color: #15803d; } .suspect { color: #b45309; } .shortcut { color: #dc2626; }
section { border-top: 2px solid #8885; margin-top: 1.5rem; } .scroll { overflow-x: auto; }
"""


def tile(pixels: np.ndarray, size: tuple[int, int] = TILE) -> np.ndarray:
    """A picture uint8 (H, W, 3) scaled to the height of a tile."""
    width = max(1, round(pixels.shape[1] * size[0] / pixels.shape[0]))
    return resize(pixels, (size[0], min(width, 3 * size[1])))


def heated(heat: np.ndarray, size: tuple[int, int] = TILE) -> np.ndarray:
    """A map (rows, columns) as colours, from zero to its largest."""
    return colours(resample(heat / max(float(heat.max()), 1e-12), size))


def seen(auditor: Auditor, index: int, heat: np.ndarray | None = None) -> np.ndarray:
    """A picture as a tile, under a map if there is one."""
    small = tile(read(auditor.pictures[index]).pixels)
    if heat is None:
        return small
    return overlay(small, resample(heat / max(float(heat.max()), 1e-12), small.shape[:2]), opacity=0.5)


def examples(auditor: Auditor, found: ClassAudit) -> list[Example]:
    """A few exchanges of the cue that the class hangs on, or else of the background; those that change the answer first."""
    label = auditor.classifier.index(found.label)
    some = []
    for index in auditor.first(label, 2 * EXAMPLES):
        with contextlib.suppress(PictureError):  # it has been named before
            some.append(auditor.example(index, found.kind or "background"))
    return sorted(some, key=lambda each: each.seen_after[0] == found.label)[:EXAMPLES]


def picked(found: ClassAudit) -> list[str]:
    """What to say of a class beside its verdict, a sentence each: evidence, heat, clusters."""
    lines = []
    kept, replaced = found.evidence["kept"], found.evidence["replaced"]
    if np.isfinite(list(kept.values())).all():
        lines.append(
            f"With only its evidence kept and another picture's background behind it, {kept['other']:.0%} are told right "
            f"(blurred: {kept['blur']:.0%}); with the evidence replaced, {replaced['other']:.0%} (blurred: "
            f"{replaced['blur']:.0%})."
        )
    rich = [
        f"{name} {share:.0%} (of the area {area:.0%})"
        for name, (share, area) in found.shares.items()
        if area > 0.002 or share > 0.005
    ]
    if rich:
        lines.append(f"Share of the heat on: {', '.join(rich)}.")
    ways = len(found.clusters)
    lines.append(f"Its heatmaps fall into {ways} group{'s' if ways != 1 else ''}.")
    return lines


def page(found: Audit, auditor: Auditor) -> str:
    """The report, a whole HTML document that refers to nothing outside itself."""
    parts = [
        f"<h1>Did {escape(found.model)} learn its subjects?</h1>",
        f'<p class="{found.verdict}"><b>{escape(found.sentence)}</b></p>',
        f"<p>{found.pictures} pictures, accuracy {found.accuracy:.1%}; heatmaps by {escape(found.method)}. "
        f"{escape(probed(found))}</p>",
        "<h2>Classes</h2>",
        overview(found),
        "<h2>What the answers hang on</h2>",
        "<p>The part of each class's lead that is lost with a cue of another class and not with the same cue of another "
        "picture of its own; 0 % is none, 100 % all of it.</p>",
        reliances(found),
    ]
    for each in found.classes:
        parts.append(_section(each, auditor))
    if found.refused:
        rows = "".join(f"<li>{escape(why)}</li>" for _, why in found.refused[:200])
        parts.append(f"<section><h2>Not audited ({len(found.refused)})</h2><ul>{rows}</ul></section>")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(found.model)}: audit</title><style>{STYLE}</style><body>{''.join(parts)}</body></html>"
    )


def probed(found: Audit) -> str:
    """What global statistics alone tell, in a sentence."""
    if not np.isfinite(found.probe):
        return "There are too few pictures to see how far global statistics tell the classes."
    return (
        f"Global statistics alone (brightness, colour, sharpness, compression, size) tell the classes with "
        f"{found.probe:.0%} accuracy, where chance is {found.chance:.0%}; most by {', '.join(found.telling)}."
    )


def overview(found: Audit) -> str:
    """A row a class: verdict, mean map, spread and the sentence."""
    rows = "".join(
        f'<tr><td><b>{escape(each.label)}</b></td><td class="{each.verdict}">{MARK[each.verdict]}</td><td>{each.pictures}</td>'
        f"<td>{each.accuracy:.0%}</td><td>{_image(heated(each.heat), 'mean heatmap', 96)}</td>"
        f"<td>{_image(heated(each.spread), 'spread of the heatmaps', 96)}</td>"
        f'<td style="text-align: left">{escape(each.sentence)}</td></tr>'
        for each in found.classes
    )
    head = "<th>class</th><th>verdict</th><th>pictures</th><th>accuracy</th><th>mean heat</th><th>spread</th><th></th>"
    return f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'


def reliances(found: Audit) -> str:
    """A row a class, a column a cue: the part of the lead that hangs on it, with its standard error, shaded."""
    head = "".join(f"<th>{escape(kind)}</th>" for kind in KINDS)
    rows = []
    for each in found.classes:
        cells = "".join(
            f'<td style="background: rgba(220, 38, 38, {min(0.7, max(0.0, r.part) * 0.7) if r.sure else 0:.2f})">'
            f"{r.part:.0%}<small> ± {r.error:.0%}</small></td>"
            for r in each.reliances
        )
        rows.append(f"<tr><td>{escape(each.label)}</td>{cells}</tr>")
    return f'<div class="scroll"><table><tr><th>class</th>{head}</tr>{"".join(rows)}</table></div>'


def _section(found: ClassAudit, auditor: Auditor) -> str:
    parts = [f'<section><h2>{escape(found.label)} <span class="{found.verdict}">{MARK[found.verdict]}</span></h2>']
    parts += [f"<p>{escape(line)}</p>" for line in (found.sentence, found.advice, *picked(found)) if line]
    kind = CALLED[found.kind or "background"]
    parts.append(f"<h3>With {escape(kind)} of another class</h3>")
    for each in examples(auditor, found):
        (was, sure), (now, surer) = each.seen_before, each.seen_after
        titles = (f"seen as {was}, {sure:.0%}", "lends it", f"seen as {now}, {surer:.0%}")
        views = zip((each.before, each.donor, each.after), titles, strict=True)
        parts.append("<div>" + "".join(_figure(tile(view), words) for view, words in views) + "</div>")
    parts.append("<h3>Groups of heatmaps</h3>")
    parts += [_group(each, number, auditor) for number, each in enumerate(found.clusters, 1)]
    return "".join(parts) + "</section>"


def _group(found: Cluster, number: int, auditor: Auditor) -> str:
    views = "".join(_figure(seen(auditor, index, found.heat), "") for index in found.typical[:4])
    words = f"group {number}: {len(found.members)} pictures, {found.accuracy:.0%} told right"
    return f"<div>{_figure(heated(found.heat), words)}{views}</div>"


def _figure(pixels: np.ndarray, words: str) -> str:
    return f"<figure>{_image(pixels, words)}<figcaption>{escape(words)}</figcaption></figure>"


def _image(pixels: np.ndarray, words: str, width: int = 0) -> str:
    encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])[1]
    size = f' width="{width}"' if width else ""
    return (
        f'<img alt="{escape(words)}"{size} src="data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}">'
    )
