"""The Audit tab: did it learn the tank or the weather? A guided story, and an audit of any model and pictures."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import gradio as gr
import numpy as np

from explain.audit import Audit, Auditor
from explain.audit.report import examples, heated, overview, picked, probed, reliances, seen
from explain.audit.result import CALLED, summarise
from explain.audit.run import Masks, shards
from models import DEFAULT, Classifier, UserError, dataset, load
from models.embeddings import embed
from models.trained import Trained
from samples.scenes import CUES, VEHICLES, Scene, planted
from ui.folder_button import folder_button
from ui.session import LONG, QUIET, WORK, Runs, Session
from ui.train_tab import NAME, ZIP_BYTES, Training

SIDE = 224
TRAINED, HELD = 40, 10  # pictures a class of the planted sets
SAMPLE = 10  # pictures a class whose cues are exchanged on the page
MOST = 2000  # pictures of a zip or folder; more are for the command line
MEMBERS = 24  # pictures of a group that are shown
STORY = "Tank story"
OWN, ZIP, FOLDER = "the pictures of the Train tab", "a zip of class folders", "a folder of class folders"
GIVEN = (ZIP, FOLDER)
PLANTED = {f"planted: {what}": (cue, 1.0) for cue, what in CUES.items()} | {
    "planted, but clean: the ground tells nothing": ("ground", 0.5)
}
STEPS = ("Train", "Try it out", "Look at the heatmaps", "Exchange the backgrounds", "Train again")
READY = "Choose a model and pictures, then press **Audit**."
LAY_OUT = (
    "One folder of pictures a class, named as the model names it. If you know where the subjects are, add masks: a PNG for "
    "each picture, of its size and name, white on the subject, in folders of the same names."
)

Upload = str | list[tuple[str, str]] | None  # a zip, or the names and paths of a folder


@dataclass
class Audited:
    """What this tab knows of a visitor. `step`: of the story, 0 before it begins."""

    runs: Runs = field(default_factory=Runs)
    step: int = 0
    story: Classifier | None = None
    auditor: Auditor | None = None
    found: Audit | None = None
    chosen: int = 0
    members: list[int] = field(default_factory=list)
    unpacked: int = 0


def build(session: gr.State, tab: gr.Tab, open_in_explain: Callable[[Any], None]) -> None:
    """Lay the tab out inside its context and bind its events. `open_in_explain`: what the Explain tab's `build` returns."""
    with gr.Row(elem_id="story"):
        with gr.Column(scale=4, min_width=320):
            told = gr.Markdown(telling(0), elem_id="story-text")
            onward = gr.Button("Begin the tank story", variant="primary", elem_id="story-next")
        shown = gr.Gallery(
            columns=4, show_label=False, allow_preview=False, interactive=False, height="auto", format="jpeg", visible=False,
            elem_id="story-pictures", elem_classes="captioned", buttons=[], scale=8,
        )  # fmt: skip
    gr.Markdown("### Audit a model", elem_classes="step")
    with gr.Row(equal_height=True, elem_id="audit-run"):
        pictures = gr.Dropdown(
            [*PLANTED, OWN, *GIVEN],
            value=next(iter(PLANTED)),
            label="Pictures",
            elem_id="audit-pictures",
            min_width=280,
            scale=4,
        )
        model = gr.Dropdown(
            Session().choices(),
            value=DEFAULT,
            label="Model",
            visible=False,
            elem_id="audit-model",
            min_width=180,
            scale=2,
        )
        uploads = [
            gr.UploadButton(
                label, file_types=[".zip"], visible=False, scale=0, min_width=150, elem_id=f"audit-zip{suffix}"
            )
            for label, suffix in (("Choose the zip", ""), ("Add masks (zip)", "-masks"))
        ] + [
            folder_button(label, visible=False, scale=0, min_width=150, elem_id=f"audit-folder{suffix}")
            for label, suffix in (("Choose the folder", ""), ("Add masks (folder)", "-masks"))
        ]
        start = gr.Button("Audit", variant="primary", scale=0, min_width=110, elem_id="audit-start")
        stop = gr.Button("Stop", variant="stop", scale=0, visible=False, min_width=90, elem_id="audit-stop")
    status = gr.Markdown(READY, elem_id="audit-status")
    with gr.Column(visible=False, elem_id="audit-results") as results:
        table = gr.HTML(elem_id="audit-table")
        parts = gr.HTML(elem_id="audit-parts")
        which = gr.Radio([], label="Look closer at", elem_id="audit-class")
        with gr.Row():
            with gr.Column(scale=6, min_width=320):
                about = gr.Markdown(elem_id="audit-about")
                exchange = gr.Markdown(elem_id="audit-exchange")
                exchanged = gr.Gallery(
                    show_label=False, columns=3, height="auto", allow_preview=False, interactive=False, format="jpeg",
                    elem_id="audit-exchanged", elem_classes="captioned", buttons=[],
                )  # fmt: skip
            with gr.Column(scale=6, min_width=320):
                gr.Markdown("**Groups of heatmaps.** Click one to see its pictures; click a picture to explain it.")
                groups = gr.Gallery(
                    show_label=False, columns=3, height="auto", allow_preview=False, interactive=False, format="jpeg",
                    elem_id="audit-groups", elem_classes="captioned", buttons=[],
                )  # fmt: skip
                inside = gr.Gallery(
                    show_label=False, columns=4, height="auto", allow_preview=False, interactive=False, format="jpeg",
                    visible=False, elem_id="audit-members", buttons=[],
                )  # fmt: skip

    instant: dict[str, Any] = {"queue": False, **QUIET}
    details = [about, exchange, exchanged, groups, inside]
    tab.select(lambda session, model: gr.Dropdown(session.choices(), value=model), [session, model], model, **instant)
    onward.click(tell, session, [told, shown, onward], **LONG, show_progress_on=told)
    pictures.input(asked, [session, pictures, model], [status, model, *uploads], **instant)
    for given, masks in (uploads[:2], uploads[2:]):
        given.upload(lambda: ("The pictures are here. Press **Audit**.", None), None, [status, masks], **instant)
        masks.upload(lambda: "The masks are here. Press **Audit**.", None, status, **instant)
    outcome = [status, stop, results, table, parts, which]
    start.click(run, [session, pictures, model, *uploads], outcome, **LONG, show_progress_on=status).then(
        closer, [session, which], details, **WORK
    )
    stop.click(lambda session: session.of(Audited).runs.halt(), session, **instant)
    which.input(closer, [session, which], details, **WORK)
    groups.select(open_group, session, inside, **WORK)
    open_in_explain(inside.select(pick, session, None, **instant).success)


def asked(session: Session, pictures: str, model: str) -> tuple[Any, ...]:
    """Planted sets bring their own model; the rest needs one, and a zip or folder has to be given."""
    buttons = [gr.UploadButton(visible=pictures == source) for source in GIVEN for _ in range(2)]
    models = gr.Dropdown(session.choices(), value=model, visible=pictures not in PLANTED)
    return LAY_OUT if pictures in GIVEN else READY, models, *buttons


# --- The story ---------------------------------------------------------------


def trained(scenes: list[Scene], name: str) -> Classifier:
    """A classifier of tanks and jeeps: a linear head on the network of this page, fitted at once and without TensorFlow."""
    from sklearn.linear_model import LogisticRegression

    labels = [VEHICLES.index(scene.vehicle) for scene in scenes]
    embeddings = embed(load(DEFAULT), (scene.image for scene in scenes), side=SIDE)
    found = LogisticRegression(max_iter=500).fit(embeddings, labels)
    weights, bias = (
        np.stack([-part, part], -1).astype(np.float32) / 2 for part in (found.coef_[0], found.intercept_[0])
    )
    return Trained(load(DEFAULT), [(weights, bias)], VEHICLES, side=SIDE, name=name)


def audits(classifier: Classifier, scenes: list[Scene], sample: int = SAMPLE) -> Auditor:
    """An auditor that knows where the vehicles are."""
    return Auditor(
        classifier,
        [scene.image for scene in scenes],
        [scene.vehicle for scene in scenes],
        subjects=[scene.subject for scene in scenes],
        sample=sample,
    )


@cache
def scenes(cue: str, correlation: float, count: int, seed: int) -> list[Scene]:
    """Planted pictures, rendered once."""
    return planted(cue, correlation=correlation, count=count, seed=seed)


def telling(step: int, *figures: str) -> str:
    """The story so far: all steps, and the words of this one."""
    marks = " → ".join(f"**{name}**" if number == step else name for number, name in enumerate(STEPS, 1))
    words = {
        0: "An army, it is told, had a network learn to find tanks. It never failed, until it was used: its pictures of tanks "
        "had been taken under clouds, and it had learned the weather. In five steps, see it happen, and see it found out.",
        1: "Forty pictures of tanks and forty of jeeps. Nobody noticed that the tanks stand in the woods and the jeeps in the "
        "desert. {0}",
        2: "Pictures it has never seen, taken by the same photographer: {0} are told right. Would you ship it?",
        3: "Here is what it looks at. {0} of the heat lies on the ground, {1} on the vehicle, which covers {2} of the "
        "picture. One heatmap looks harmless; all of them together tell.",
        4: "The same vehicles on each other's grounds: {0} are told right. On other grounds of their own kind: {1}. It has "
        "learned the ground, not the tank.",
        5: "New pictures, tanks and jeeps on both grounds alike, and the same training. Its accuracy on new pictures is {0}, "
        "and with exchanged backgrounds {1}. {2}",
    }[step]
    return f"### The tank story\n{marks if step else ''}\n\n{words.format(*figures)}"


def tell(session: Session) -> Iterator[tuple[Any, ...]]:
    """The next step of the story: words, pictures, and the button to the step after it."""
    memory = session.of(Audited)
    with memory.runs.turn() as superseded:
        memory.step = memory.step % len(STEPS) + 1
        step = memory.step
        yield f"### The tank story\n{STEPS[step - 1]} ...", gr.skip(), gr.Button(interactive=False)
        if step == 1 or memory.story is None:
            memory.story = session.models[STORY] = trained(scenes("ground", 1.0, TRAINED, 0), STORY)
        classifier = memory.story
        held = scenes("ground", 1.0, HELD, 1)
        figures: tuple[str, ...]
        if step == 1:
            some = scenes("ground", 1.0, TRAINED, 0)
            figures = (f"The network has learned from them; it is in the list of models as “{STORY}”.",)
            tiles = [(scene.image, scene.vehicle) for scene in [*some[:4], *some[TRAINED : TRAINED + 4]]]
        elif step == 2:
            guesses = guessed(classifier, held)
            right = np.mean([guess == scene.vehicle for guess, scene in zip(guesses, held, strict=True)])
            figures = (f"{right:.0%}",)
            tiles = [
                (held[at].image, f"told to be a {guesses[at]}")
                for at in (0, 1, 2, 3, HELD, HELD + 1, HELD + 2, HELD + 3)
            ]
        elif step == 3:
            auditor = audits(classifier, held, 0)
            rows, _ = auditor.measure(range(len(held)))
            on, covers = (float(np.nanmean(rows[name][:, -1])) for name in ("share", "area"))
            figures = (f"{1 - on:.0%}", f"{on:.0%}", f"{covers:.0%}")
            some_of = (0, 1, 2, 3, HELD, HELD + 1, HELD + 2, HELD + 3)
            tiles = [(seen(auditor, at, rows["heat"][at]), f"why {held[at].vehicle}?") for at in some_of]
        else:
            if step == 5:
                classifier = session.models[f"{STORY}, mixed grounds"] = trained(
                    scenes("ground", 0.5, TRAINED, 2), f"{STORY}, mixed grounds"
                )
                held = scenes("ground", 0.5, HELD, 3)
            auditor = audits(classifier, held)
            found = summarise(auditor, shards(auditor, size=8))
            grounds = [next(r for r in each.reliances if r.kind == "background") for each in found.classes]
            own, other = (float(np.mean([getattr(r, name) for r in grounds])) for name in ("own", "other"))
            figures = (
                (f"{other:.0%}", f"{own:.0%}")
                if step == 4
                else (f"{found.accuracy:.0%}", f"{other:.0%}", found.sentence)
            )
            tiles = []
            for label in range(2):
                for index in auditor.first(label, 2):
                    one = auditor.example(index)
                    tiles += [
                        (one.before, f"seen as a {one.seen_before[0]}"),
                        (one.after, f"seen as a {one.seen_after[0]}"),
                    ]
        if superseded():
            return
        last = step == len(STEPS)
        button = gr.Button("Begin again" if last else f"Next: {STEPS[step].lower()}", interactive=True)
        yield telling(step, *figures), gr.Gallery(tiles, visible=True), button


def guessed(classifier: Classifier, some: list[Scene]) -> list[str]:
    """What each is told to be."""
    place = classifier.geometry(some[0].image.shape[:2]).place
    logits = classifier.forward(np.stack([place(scene.image) for scene in some]))[1]
    return [classifier.labels[index] for index in logits.argmax(1)]


# --- The audit ---------------------------------------------------------------


def run(session: Session, pictures: str, model: str, *uploads: Upload) -> Iterator[tuple[Any, ...]]:
    """Audit, with progress, until done, stopped or overtaken; what was found before stays."""
    memory = session.of(Audited)
    same = gr.skip()
    hidden = gr.Button(visible=False)
    with memory.runs.turn() as superseded:
        try:
            yield "Getting ready ...", gr.Button(visible=True), same, same, same, same
            auditor = prepared(session, pictures, model, uploads)
            total, done, chunks = len(auditor.pictures), 0, []
            for measured in shards(auditor, size=8):
                chunks.append(measured)
                done += len(measured[0].get("index", ())) + len(measured[1])
                if superseded():
                    return
                if memory.runs.halted:
                    yield f"Stopped after {done} of {total} pictures.", hidden, same, same, same, same
                    return
                yield f"{done} of {total} pictures ...", same, same, same, same, same
            found = summarise(auditor, iter(chunks))
            memory.auditor, memory.found = auditor, found
            left = f" {len(found.refused)} could not be read." if found.refused else ""
            text = f"### {found.sentence}\n{found.pictures} pictures, {found.accuracy:.1%} told right. {probed(found)}{left}"
            worst = max(found.classes, key=lambda each: ("clean", "suspect", "shortcut").index(each.verdict))
            choice = gr.Radio([each.label for each in found.classes], value=worst.label)
            yield text, hidden, gr.Column(visible=True), overview(found), reliances(found), choice
        except (UserError, zipfile.BadZipFile) as error:
            gr.Warning(str(error), title="")
            yield f"⚠️ {error}", hidden, same, same, same, same


def prepared(session: Session, pictures: str, model: str, uploads: tuple[Upload, ...]) -> Auditor:
    """The auditor that was asked for. `uploads`: pictures and masks of each of GIVEN. Raises UserError where something is
    missing.
    """
    if pictures in PLANTED:
        cue, correlation = PLANTED[pictures]
        name = "Planted" if correlation > 0.5 else "Planted, clean"
        classifier = session.models[name] = trained(scenes(cue, correlation, TRAINED, 0), name)
        return audits(classifier, scenes(cue, correlation, HELD, 1))
    places: dict[str, tuple[str, str]] = {}
    masks: dict[tuple[str, str], str] = {}
    if pictures == OWN:
        data = session.of(Training).data
        if data is None:
            raise UserError(f"There are no pictures in the Train tab yet; train there first, and audit “{NAME}” here.")
    else:
        given, drawn = uploads[2 * GIVEN.index(pictures) :][:2]
        if not given:
            raise UserError("Choose the zip first." if pictures == ZIP else "Choose a folder with pictures first.")
        places = laid_out(session, given)
        masks = {place: path for path, place in laid_out(session, drawn or []).items()}
        classes = defaultdict(list)
        for path, (folder, _) in places.items():
            classes[folder].append(path)
        data = dataset.from_lists(classes)
    classifier = session.classifier(model)
    known = [item for item in data.items if data.labels[item.label] in classifier.labels][:MOST]
    if len({item.label for item in known}) < 2:
        raise UserError(f"{model} knows at most one of the classes {', '.join(data.labels[:5])}; choose another.")
    beside = [masks.get(places[str(item.path)]) for item in known] if masks else []
    if masks and not any(beside):
        raise UserError("No mask has the folder and name of a picture; lay masks out as the pictures are.")
    return Auditor(
        classifier,
        [str(item.path) for item in known],
        [data.labels[item.label] for item in known],
        subjects=Masks(beside) if masks else None,
        sample=SAMPLE,
    )


def laid_out(session: Session, given: str | list[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """For each file of a zip or folder the folder it lies in and its name, without what kind it is. Raises UserError."""
    if isinstance(given, str):
        memory = session.of(Audited)
        memory.unpacked += 1
        folder = session.file(f"audit-{memory.unpacked}")
        dataset.unzip(Path(given), folder, ZIP_BYTES)
        given = [
            (path.relative_to(folder).as_posix(), str(path)) for path in sorted(folder.rglob("*")) if path.is_file()
        ]
    names = {path: PurePosixPath(name) for name, path in given}
    return {path: (name.parent.name, name.stem) for path, name in names.items()}


def closer(session: Session, label: str | None) -> tuple[Any, ...]:
    """A class: what was found, its exchanges and its groups."""
    memory = session.of(Audited)
    if memory.found is None or memory.auditor is None or label is None:
        return (gr.skip(),) * 5
    numbers = [each.label for each in memory.found.classes]
    memory.chosen = numbers.index(label)
    found = memory.found.classes[memory.chosen]
    lines = [f"**{found.sentence}**", found.advice, *picked(found)]
    tiles = []
    for one in examples(memory.auditor, found):
        (was, sure), (now, surer) = one.seen_before, one.seen_after
        tiles += [(one.before, f"{was}, {sure:.0%}"), (one.donor, "the donor"), (one.after, f"{now}, {surer:.0%}")]
    ways = []
    for number, group in enumerate(found.clusters, 1):
        words = f"group {number}: {len(group.members)} pictures\n{group.accuracy:.0%} told right"
        ways.append((heated(group.heat), words))
    what = f"**With {CALLED[found.kind or 'background']} of another class**: the picture, the donor, the exchange."
    return "\n\n".join(line for line in lines if line), what, tiles, ways, gr.Gallery(visible=False)


def open_group(session: Session, event: gr.SelectData) -> Any:
    """The pictures of the group that was clicked, under their own heat."""
    memory = session.of(Audited)
    if memory.found is None or memory.auditor is None:
        return gr.skip()
    group = memory.found.classes[memory.chosen].clusters[int(event.index)]
    memory.members = list(dict.fromkeys([*group.typical, *group.members]))[:MEMBERS]
    return gr.Gallery([seen(memory.auditor, index, group.heat) for index in memory.members], visible=True)


def pick(session: Session, event: gr.SelectData) -> None:
    """The picture that was clicked becomes the one all tabs look at."""
    memory = session.of(Audited)
    if memory.auditor is None:
        return
    picture = memory.auditor.pictures[memory.members[int(event.index)]]
    if isinstance(picture, np.ndarray):
        path = session.file(f"audited-{memory.members[int(event.index)]}.png")
        cv2.imwrite(str(path), picture[..., ::-1])
        picture = str(path)
    session.path = picture
