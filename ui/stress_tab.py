"""The Stress tab: change the picture until the classifier is wrong, by attack or by wear, and see what that looks like."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np

from explain import explain
from explain.adversarial import ATTACKS, Attack, Minimal, checks, difference, stream, stream_minimal
from explain.commands import sentence, verdict
from explain.corruptions import Curve, curves, distorted
from explain.render import overlay
from models import DEFAULT, UserError, load
from models.engine import write_atomically
from models.report import Plot, data_url
from ui import screen
from ui.picture_input import picture_input
from ui.session import LONG, QUIET, Runs, Session, Stopped, classes, stoppable, title, within

ANYTHING = "anything else"
FIRST = next(iter(ATTACKS))
TIMES = 10
TILE, VIEW = 300, 640  # pixels of the longer side of what shows no attack, and so may be smaller than the picture
UNITS = {"linf": "levels of 255, for every value", "l2": "Euclidean length, pixels in 0 to 1"}
RANGE = {"linf": (1, 32, 1, 4), "l2": (0.1, 20, 0.1, 3)}  # of epsilon: from, to, step, at first
LINES = (
    "<p>For every distortion, ever stronger: <span style='color: #6366f1'>the probability of the class</span>, and "
    "<span style='color: #e66101'>the rank correlation of its heatmap with the first</span>.</p>"
)
READY = "How little must change until it is taken for something else? Press **Attack**."


@dataclass
class Stressed:
    """What this tab shows a visitor: the file of the picture, and the attack on it."""

    runs: Runs = field(default_factory=Runs)
    path: str = ""
    found: Attack | None = None


def build(session: gr.State, tab: gr.Tab) -> None:
    """Lay the tab out inside its context and bind its events."""
    with gr.Row():
        picture = picture_input(
            label="Picture", elem_id="stress-picture", height=250, min_width=300, scale=3,
            placeholder="Drop a picture here, paste it with Ctrl+V, or click to choose one",
        )  # fmt: skip
        with gr.Column(scale=6, min_width=320):
            with gr.Row():
                model = gr.Dropdown(
                    Session().choices(), value=DEFAULT, label="Model", elem_id="stress-model", min_width=140
                )
                target = gr.Dropdown(
                    [ANYTHING, *load(DEFAULT).labels], value=ANYTHING, label="To be taken for", elem_id="stress-target",
                    min_width=180, allow_custom_value=True,
                )  # fmt: skip
                method = gr.Dropdown(
                    [(attack.title, name) for name, attack in ATTACKS.items()], value=FIRST, label="Attack",
                    elem_id="stress-method", min_width=140,
                )  # fmt: skip
            with gr.Row():
                norm = gr.Dropdown(
                    list(ATTACKS[FIRST].norms), value="linf", label="Norm", elem_id="norm", min_width=90, scale=1
                )
                epsilon = slider("linf")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0, elem_id="stress-seed", min_width=80, scale=1)
            note = gr.Markdown(describe(FIRST), elem_classes="method-note", elem_id="stress-note")
            with gr.Row(elem_id="stress-run"):
                start = gr.Button("Attack", variant="primary", min_width=110, elem_id="attack")
                least = gr.Button("How little is enough?", min_width=150, elem_id="minimal")
                wear = gr.Button("Wear it out", min_width=110, elem_id="wear")
                stop = gr.Button("Stop", variant="stop", visible=False, min_width=90, elem_id="stress-stop")
            status = gr.Markdown(READY, elem_id="stress-status")
    shown: dict[str, Any] = {
        "format": "png",  # WebP would undo an attack
        "interactive": False,
        "buttons": ["fullscreen"],
    }
    with gr.Column(visible=False, elem_id="attacked-all") as results, gr.Row():
        with gr.Column(min_width=240):
            original = gr.Image(label="Original", elem_id="original", **shown)
            before = gr.Label(num_top_classes=3, show_label=False, show_heading=False, elem_id="before")
            heat_before = gr.Image(label="What it looks at", format="jpeg", interactive=False, elem_id="heat-before",
                                   buttons=["fullscreen"])  # fmt: skip
        with gr.Column(min_width=240):
            attacked = gr.Image(label="Attacked", elem_id="attacked", **shown)
            after = gr.Label(num_top_classes=3, show_label=False, show_heading=False, elem_id="after")
            heat_after = gr.Image(label="What it looks at now", format="jpeg", interactive=False, elem_id="heat-after",
                                  buttons=["fullscreen"])  # fmt: skip
        with gr.Column(min_width=240):
            changed = gr.Image(label="Difference", elem_id="difference", **shown)
            times = gr.Slider(1, 50, TIMES, step=1, label="Difference, times", elem_id="times", buttons=[])
            undone = gr.HTML(elem_id="undone")
            with gr.Row(elem_id="stress-files"):
                files = [
                    gr.DownloadButton(what, size="sm", interactive=False, min_width=120, elem_id=f"stress-{kind}")
                    for kind, what in (("png", "Attacked (PNG)"), ("json", "Facts (JSON)"))
                ]
    worn = gr.HTML(elem_id="worn")

    instant: dict[str, Any] = {"queue": False, **QUIET}
    long = {**LONG, "show_progress_on": status}
    pictures = [original, before, heat_before, attacked, after, heat_after, changed, undone]
    asked = [session, picture, model, target, method, norm, epsilon, seed]
    outputs = [status, stop, results, *pictures]
    ready = {"fn": prepare_downloads, "inputs": session, "outputs": files, **instant}

    tab.select(catch_up, [session, model], [model, picture], **instant)
    picture.input(take, [session, picture], **instant)
    model.input(choices, [session, model, target], target, **instant)
    method.input(ways, method, [norm, epsilon, note], **instant)
    norm.input(slider, norm, epsilon, **instant)
    start.click(run, [*asked, times], outputs, **long).then(**ready)
    least.click(search, [*asked[:-2], seed, times], outputs, **long).then(**ready)
    wear.click(wear_out, asked[:3], [status, stop, worn], **long)
    stop.click(lambda session: session.of(Stressed).runs.halt(), session, **instant)
    times.input(enlarge, [session, times], changed, **instant)


def slider(norm: str) -> gr.Slider:
    """The slider of epsilon in a norm."""
    low, high, step, value = RANGE[norm]
    return gr.Slider(
        low, high, value, step=step, label="Largest change allowed", info=UNITS[norm], elem_id="epsilon", min_width=200,
        scale=3, buttons=[],
    )  # fmt: skip


def describe(method: str) -> str:
    """One line on an attack."""
    return f"**{ATTACKS[method].title}**: {ATTACKS[method].summary} {ATTACKS[method].paper}."


def ways(method: str) -> tuple[Any, Any, str]:
    """The norms of an attack, its slider, and a line on it."""
    norms = ATTACKS[method].norms
    return gr.Dropdown(list(norms), value=norms[0]), slider(norms[0]), describe(method)


def choices(session: Session, model: str, target: str) -> Any:
    """The classes of a model to be taken for."""
    return classes(session, model, target, ANYTHING)


def take(session: Session, path: str | None) -> None:
    """A picture that has just arrived is the one all tabs look at."""
    session.path = path


def catch_up(session: Session, model: str) -> tuple[Any, str | None]:
    """When the tab is opened: the visitor's own models, and the picture chosen in another tab meanwhile."""
    return gr.Dropdown(session.choices(), value=model), session.path


Work = Callable[[Any, np.ndarray, str | None], Iterator[tuple[str, Attack | None]]]


def run(
    session: Session,
    path: str | None,
    model: str,
    target: str,
    method: str,
    norm: str,
    epsilon: float,
    seed: int,
    times: int,
) -> Iterator[tuple[Any, ...]]:
    """Attack the picture, step after step."""

    def work(classifier: Any, pixels: np.ndarray, wanted: str | None) -> Iterator[tuple[str, Attack | None]]:
        for found in stream(pixels, classifier, method, wanted, norm=norm, epsilon=epsilon, seed=int(seed)):
            now = found.after[0]
            yield f"Step {found.steps}: now **{now.label}**, {now.probability:.1%} ...", found

    yield from _attack(session, path, model, target, times, work)


def search(
    session: Session,
    path: str | None,
    model: str,
    target: str,
    method: str,
    norm: str,
    seed: int,
    times: int,
) -> Iterator[tuple[Any, ...]]:
    """Find the smallest change that is enough, and show it."""

    def work(classifier: Any, pixels: np.ndarray, wanted: str | None) -> Iterator[tuple[str, Attack | None]]:
        for found in stream_minimal(pixels, classifier, wanted, norm=norm, method=method, seed=int(seed)):
            yield tried(found), found.attack

    yield from _attack(session, path, model, target, times, work, "Nothing that was tried is enough. ")


def tried(found: Minimal) -> str:
    """How a search for the smallest epsilon stands."""
    size = (lambda epsilon: f"{epsilon:g}/255") if found.norm == "linf" else (lambda epsilon: f"{epsilon:.2f}")
    row = ", ".join(f"{size(epsilon)} {'enough' if success else 'not enough'}" for epsilon, success in found.tried)
    return f"Tried {row}{'.' if found.progress == 1 else ' ...'}"


def _attack(
    session: Session, path: str | None, model: str, target: str, times: int, work: Work, otherwise: str = ""
) -> Iterator[tuple[Any, ...]]:
    stressed = session.of(Stressed)
    same = (gr.skip(),) * 9
    with stressed.runs.turn() as superseded:
        found: Attack | None = None
        words = ""
        try:
            picture = screen.seen(session, path)
            yield f"Getting {title(model)} ready ...", gr.Button(visible=True), *same
            own = session.classifier(model)
            classifier = stoppable(own, lambda: stressed.runs.halted or superseded())
            stopped = ""
            try:
                for words, latest in work(classifier, picture.pixels, None if target == ANYTHING else target):
                    found = latest or found
                    yield words, gr.skip(), *same
            except Stopped:
                if superseded():
                    return
                stopped = "Stopped. "
            if found is None:
                yield f"{stopped}{otherwise}{words}", gr.Button(visible=False), *same
                return
            stressed.path, stressed.found = path or "", found
            yield (
                " ".join([stopped + report(found), *([words] if words.startswith("Tried") else []), *picture.notes]),
                gr.Button(visible=False),
                gr.Column(visible=True),
                *views(found, own, times),
            )
        except UserError as error:
            gr.Warning(str(error), title="")
            yield f"⚠️ {error}", gr.Button(visible=False), *same


def report(found: Attack) -> str:
    """What an attack did, in two sentences."""
    before, now = found.source[0], found.after[0]
    if found.success:
        what = f"**{before.label}** is now **{now.label}**, {now.probability:.1%}."
    elif now.index == before.index:
        what = f"Still **{now.label}**, {now.probability:.1%}: this much was not enough. Allow more, or choose another attack."
    else:
        what = (
            f"**{before.label}** became **{now.label}**, {now.probability:.1%}, but not what was asked for. Allow more."
        )
    size = sentence(found).partition("; ")[2]
    return f"{what}\n\n{size[0].upper()}{size[1:]}"


def views(found: Attack, classifier: Any, times: int) -> tuple[Any, ...]:
    """The pictures of an attack, what is seen in them and where, and what undoes it."""
    heats = []
    for pixels in (found.original, found.attacked):
        heat = explain(pixels, classifier)
        heats.append(within(overlay(pixels, heat.heatmap), VIEW))
    before, after = ({p.label: p.probability for p in top} for top in (found.before, found.after))
    rows = checks(found, classifier) if found.success else ()
    return (
        found.original, before, heats[0], found.attacked, after, heats[1], difference(found, times),
        cures([(row.name, row.attacked.label, verdict(row)) for row in rows]),
    )  # fmt: skip


def cures(rows: list[tuple[str, str, str]]) -> str:
    """A table of what was done to the attacked picture and what became of the attack."""
    if not rows:
        return ""
    body = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(label)}</td><td>{escape(end)}</td></tr>" for name, label, end in rows
    )
    return f"<table class='facts'><tr><th>Does it survive being</th><th>seen as</th><th></th></tr>{body}</table>"


def enlarge(session: Session, times: int) -> Any:
    """The difference, so many times as large."""
    found = session.of(Stressed).found
    return difference(found, times) if found else gr.skip()


def wear_out(session: Session, path: str | None, model: str) -> Iterator[tuple[Any, ...]]:
    """The picture under every distortion, ever stronger: a card each, as they come."""
    stressed = session.of(Stressed)
    hidden = gr.Button(visible=False)
    with stressed.runs.turn() as superseded:
        try:
            picture = screen.seen(session, path)
            yield f"Getting {title(model)} ready ...", gr.Button(visible=True), ""
            classifier = stoppable(session.classifier(model), lambda: stressed.runs.halted or superseded())
            pixels = within(picture.pixels, VIEW)
            whole: dict[str, Curve] = {}
            cards = ""
            stopped = ""
            try:
                for curve in curves(pixels, classifier):
                    if curve.strengths[-1] == 1:
                        whole[curve.name] = curve
                        cards += card(pixels, curve)
                        yield f"{curve.name} ...", gr.skip(), f"{LINES}<div class='cards'>{cards}</div>"
            except Stopped:
                if superseded():
                    return
                stopped = "Stopped. "
            yield " ".join([stopped + endured(whole), *picture.notes]), hidden, gr.skip()
        except UserError as error:
            gr.Warning(str(error), title="")
            yield f"⚠️ {error}", hidden, gr.skip()


def card(pixels: np.ndarray, curve: Curve) -> str:
    """The picture where a distortion breaks the prediction, or at its strongest, and the curves that lead there."""
    strength = 1.0 if curve.breaks is None else curve.breaks
    at = curve.strengths.index(strength)
    seen = curve.top[at]
    end = "holds to the end" if curve.breaks is None else f"breaks at {strength:g}"
    small = distorted(within(pixels, TILE), curve.name, strength)
    plot = Plot("strength", "", (0, 1), (0, 1))
    plot.line(curve.strengths, curve.correlations, "#e66101")
    plot.line(curve.strengths, curve.probabilities, "#6366f1")
    return (
        f"<figure><img src='{data_url(small)}' alt=''><figcaption><b>{escape(curve.name)}</b>: {end}<br>"
        f"there: {escape(seen.label)}, {seen.probability:.0%}</figcaption>{plot.svg()}</figure>"
    )


def endured(whole: dict[str, Curve]) -> str:
    """What the curves say, in a sentence."""
    if not whole:
        return "There is no curve yet."
    first = next(iter(whole.values())).target
    broken = sorted((curve.breaks, curve.name) for curve in whole.values() if curve.breaks is not None)
    if not broken:
        return (
            f"**{first.label}**, {first.probability:.1%}, holds under all {len(whole)} distortions, to the strongest."
        )
    weakest = " and ".join(name for breaks, name in broken if breaks == broken[0][0])
    held = f"{len(whole) - len(broken)} of {len(whole)} distortions"
    return (
        f"**{first.label}**, {first.probability:.1%}, holds to the end under {held}; "
        f"{weakest} breaks it first, at strength {broken[0][0]:g}."
    )


def prepare_downloads(session: Session) -> list[Any]:
    """The files behind the download buttons: the attacked picture, without loss, and all facts."""
    stressed = session.of(Stressed)
    if stressed.found is None:
        return [gr.DownloadButton(value=None, interactive=False)] * 2
    stem = f"{Path(stressed.path).stem}.{stressed.found.method}"
    png, facts = session.file(f"{stem}.png"), session.file(f"{stem}.json")
    write_atomically(png, cv2.imencode(".png", stressed.found.attacked[..., ::-1])[1].tobytes())
    write_atomically(facts, json.dumps(stressed.found.facts(), indent=2).encode())
    return [gr.DownloadButton(value=str(path), interactive=True) for path in (png, facts)]
