"""The Train tab: collect pictures in classes, train, see what is confused with what, and use the model. Per visitor."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from explain import explain
from explain.render import overlay
from models import DEFAULT, UserError, dataset, evaluate, load, metrics, report, trained
from models.dataset import Dataset
from models.engine import write_atomically
from models.evaluate import Evaluation
from models.train import EPOCHS, Epoch, Outcome, Settings, mean_curves
from models.train import run as train
from models.trained import Trained
from samples import PRACTICE
from ui.session import LONG, QUIET, WORK, Runs, Session, within

MOST, FEWEST, SHOWN = 10, 2, 3  # classes: at most, at least, and boxes shown at first
PICTURES = 100  # a class; more are for the command line
ZIP_BYTES = 200_000_000  # unpacked
NAME = "My model"
TILE, CELL = 360, 8  # pixels of a picture's longer side, and pictures of a cell that are shown
HEADS = {"One layer (CAM is exact)": "linear", "Hidden layer of 100": "mlp"}
READY = "Give every class a name and pictures, or load the practice channels; then press **Train**."


@dataclass
class Training:
    """What this tab knows of a visitor. `judged`: for each held-out picture the classifier of its fold."""

    runs: Runs = field(default_factory=Runs)
    unpacked: int = 0
    data: Dataset | None = None
    outcome: Outcome | None = None
    held: Evaluation | None = None
    judged: list[Trained] = field(default_factory=list)


def build(session: gr.State, tabs: gr.Tabs) -> None:
    """Lay the tab out inside its context and bind its events."""
    with gr.Row(elem_id="train-collect"):
        gr.Markdown("### 1. Collect\nTwo to ten classes, twenty or more pictures each.", elem_classes="step")
        practice = gr.Button("Load the practice channels", size="sm", scale=0, min_width=210, elem_id="practice")
        archive = gr.UploadButton(
            "Open a zip of class folders", file_types=[".zip"], size="sm", scale=0, min_width=210, elem_id="train-zip"
        )
        more = gr.Button("Add a class", size="sm", scale=0, min_width=120, elem_id="train-more")
    names: list[Any] = []
    galleries: list[Any] = []
    boxes: list[Any] = []
    with gr.Row(elem_id="classes"):
        for index in range(MOST):
            with gr.Column(min_width=300, visible=index < SHOWN, elem_classes="class-box") as box:
                name = gr.Textbox(
                    label=f"Class {index + 1}", placeholder="Its name", max_length=60, elem_id=f"class-name-{index}"
                )
                gallery = gr.Gallery(
                    show_label=False, columns=3, height=190, object_fit="cover", file_types=["image"],
                    sources=["upload", "webcam", "clipboard"], interactive=True, allow_preview=False, format="jpeg",
                    elem_id=f"class-pictures-{index}", buttons=[],
                )  # fmt: skip
            names.append(name)
            galleries.append(gallery)
            boxes.append(box)
    balance = gr.HTML(elem_id="balance")
    gr.Markdown("### 2. Train", elem_classes="step")
    with gr.Row(equal_height=True, elem_id="train-run"):
        head = gr.Dropdown(list(HEADS), value=next(iter(HEADS)), label="Head", elem_id="train-head", min_width=240)
        views = gr.Slider(
            0, 8, 4, step=1, label="Augmentations a picture", info="as photographed from a screen", elem_id="train-views",
            min_width=190, buttons=[],
        )  # fmt: skip
        folds = gr.Slider(
            2, 5, 4, step=1, label="Folds", info="each judges pictures it has not seen", elem_id="train-folds",
            min_width=170, buttons=[],
        )  # fmt: skip
        epochs = gr.Slider(5, 60, EPOCHS, step=1, label="Epochs at most", info="ends early when it stops helping",
            elem_id="train-epochs", min_width=170, buttons=[])  # fmt: skip
        start = gr.Button("Train", variant="primary", scale=0, min_width=110, elem_id="train-start")
        stop = gr.Button("Stop", variant="stop", scale=0, visible=False, min_width=90, elem_id="train-stop")
    status = gr.Markdown(READY, elem_id="train-status")
    curves = gr.HTML(elem_id="train-curves")
    gr.Markdown(
        "### 3. Evaluate\nOnce trained: click a cell to see its pictures, each judged by a fold that had not seen it.",
        elem_classes="step",
    )
    with gr.Row(visible=False, elem_id="train-results") as results:
        with gr.Column(scale=4, min_width=320):
            matrix = gr.Dataframe(
                interactive=False, label="Row: the true class. Column: what it was taken for.", elem_id="confusion",
                buttons=[],
            )  # fmt: skip
            figures = gr.Markdown(elem_id="train-figures")
        with gr.Column(scale=6, min_width=320):
            wrong = gr.Gallery(
                show_label=False, columns=3, height="auto", object_fit="contain", interactive=False, format="jpeg",
                elem_id="cell", elem_classes="captioned", buttons=[],
            )  # fmt: skip
    gr.Markdown("### 4. Use", elem_classes="step")
    with gr.Row(elem_id="train-use"):
        use = gr.Button(f"Explain with “{NAME}”", size="sm", interactive=False, min_width=150, elem_id="train-explain")
        opened = gr.UploadButton(
            "Open a trained head (.npz)", file_types=[".npz"], size="sm", min_width=150, elem_id="train-open"
        )
        files = [
            gr.DownloadButton(what, size="sm", interactive=False, min_width=150, elem_id=f"train-{kind}")
            for kind, what in (("npz", "Head (.npz)"), ("html", "Report (.html)"), ("keras", "Whole model (.keras)"))
        ]
    used = gr.Markdown(elem_id="train-used")

    instant: dict[str, Any] = {"queue": False, **QUIET}
    filled = [*names, *galleries, *boxes]
    weigh = {"fn": weighed, "inputs": [*names, *galleries], "outputs": balance, **instant}
    practice.click(load_practice, session, [*filled, status], **WORK).then(**weigh)
    archive.upload(load_zip, [session, archive], [*filled, status], **WORK).then(**weigh)
    more.click(add_box, [*names, *galleries], boxes, **instant)
    gr.on([gallery.change for gallery in galleries], **weigh)
    gr.on([name.input for name in names], **weigh)
    shown = [status, curves, stop, results, matrix, figures, wrong]
    start.click(
        run, [session, head, views, folds, epochs, *names, *galleries], shown, **LONG, show_progress_on=status
    ).then(publish, session, [use, files[0], files[1], used], **instant).then(export, session, files[2], **WORK)
    stop.click(lambda session: session.of(Training).runs.halt(), session, **instant)
    matrix.select(show_cell, session, wrong, **WORK)
    opened.upload(open_head, [session, opened], [use, used], **WORK)
    use.click(lambda: gr.Tabs(selected="explain"), outputs=tabs, **instant)


def weighed(*values: Any) -> str:
    """How many pictures each class has, as bars."""
    counts = {
        name or f"Class {index + 1}": len(pictures or [])
        for index, (name, pictures) in enumerate(zip(values[:MOST], values[MOST:], strict=True))
        if pictures
    }
    if not counts:
        return ""
    most = max(counts.values())
    rows = "".join(
        f'<li><span>{escape(name)}</span><span class="bar"><i style="width: {100 * count / most:.0f}%"></i></span>'
        f"<span>{count}</span></li>"
        for name, count in counts.items()
    )
    return f'<div class="live"><ul style="min-height: 0">{rows}</ul></div>'


def add_box(*values: Any) -> list[Any]:
    """One more box: after the last that is in use, and at least one more than at first."""
    used = [index for index in range(MOST) if values[index] or values[MOST + index]]
    count = max(SHOWN, max(used, default=0) + 1) + 1
    return [gr.Column(visible=index < count) for index in range(MOST)]


def load_practice(session: Session) -> list[Any]:
    """The invented channels that come with Thumbscope."""
    return fill(session, PRACTICE)


def load_zip(session: Session, path: str | None) -> list[Any]:
    """The classes of a zip of folders."""
    if path is None:
        return [gr.skip()] * (3 * MOST + 1)
    return fill(session, Path(path))


def fill(session: Session, path: Path) -> list[Any]:
    """Boxes filled from a zip: names, galleries, which are visible, and what to say about it."""
    memory = session.of(Training)
    memory.unpacked += 1
    folder = session.file(f"pictures-{memory.unpacked}")
    try:
        dataset.unzip(path, folder, ZIP_BYTES)
        data = dataset.from_folder(folder)
        if len(data.labels) > MOST:
            raise UserError(f"The zip has {len(data.labels)} classes; {MOST} are the most here.")
    except (UserError, zipfile.BadZipFile) as error:
        gr.Warning(str(error), title="")
        return [*[gr.skip()] * (3 * MOST), f"⚠️ {error}"]
    pictures = [[str(item.path) for item in data.items if item.label == index] for index in range(len(data.labels))]
    left = MOST - len(data.labels)
    return [
        *data.labels, *[""] * left,
        *pictures, *[None] * left,
        *[gr.Column(visible=index < max(SHOWN, len(data.labels))) for index in range(MOST)],
        " ".join([f"{len(data.items)} pictures in {len(data.labels)} classes. Press **Train**.", *left_out(data)]),
    ]  # fmt: skip


def left_out(data: Dataset) -> list[str]:
    """What was left out and what else to know, in sentences."""
    some = [f"Left out: {escape(one.name)}. {escape(one.why)}" for one in data.refused[:3]]
    more = [f"And {len(data.refused) - 3} more were left out."] if len(data.refused) > 3 else []
    return [*some, *more, *map(escape, data.notes)]


def collected(names: Sequence[str], galleries: Sequence[Any]) -> dict[str, list[str]]:
    """The files of each class that has some. Raises UserError for too few classes, no name, or two alike."""
    classes: dict[str, list[str]] = {}
    for index, (name, pictures) in enumerate(zip(names, galleries, strict=True)):
        if not pictures:
            continue
        name = (name or "").strip()
        if not name:
            raise UserError(f"Class {index + 1} has pictures and no name; give it one.")
        if name.casefold() in {other.casefold() for other in classes}:
            raise UserError(f"Two classes are called '{name}'; a name must mean one class.")
        if len(pictures) > PICTURES:
            raise UserError(f"'{name}' has {len(pictures)} pictures; {PICTURES} are the most here.")
        classes[name] = [path for path, _ in pictures]
    if len(classes) < FEWEST:
        raise UserError("Training needs pictures of at least two classes; add some, or load the practice channels.")
    return classes


def run(
    session: Session, head: str, views: float, folds: float, epochs: float, *values: Any
) -> Iterator[tuple[Any, ...]]:
    """Train, with curves as they grow, until done or stopped; what is best so far stays."""
    memory = session.of(Training)
    shown, hidden, same = gr.Button(visible=True), gr.Button(visible=False), gr.skip()
    with memory.runs.turn() as superseded:
        try:
            classes = collected(values[:MOST], values[MOST:])
            yield "Looking at the pictures ...", "", shown, gr.Row(visible=False), same, same, None
            data = dataset.from_lists(classes)
            settings = Settings(
                "mlp" if HEADS[head] == "mlp" else "linear", int(folds), min(int(epochs), 100), min(int(views), 8)
            )
            backbone = load(DEFAULT)
            begun = told = time.monotonic()
            curves: dict[int, list[Epoch]] = {}
            outcome = None
            for progress in train(
                backbone, data, settings, name=NAME, halted=lambda: memory.runs.halted or superseded()
            ):
                outcome = progress.outcome
                if progress.epoch:
                    curves.setdefault(progress.fold, []).append(progress.epoch)
                now = time.monotonic()
                if now - told < 0.3:
                    continue
                told = now
                left = (now - begun) * (1 - progress.done) / progress.done
                yield (
                    said(progress.stage, progress.fold, settings.folds, progress.done, left),
                    drawn(curves),
                    same,
                    same,
                    same,
                    same,
                    same,
                )
            if superseded():
                return
            if outcome is None:
                yield "Stopped before there was anything to keep.", same, hidden, same, same, same, same
                return
            memory.data, memory.outcome = data, outcome
            memory.held, memory.judged = evaluate.held_out(backbone, data, outcome)
            session.models[NAME] = outcome.model
            what = "Stopped; the best head so far is kept" if outcome.stopped else "Done"
            took = f"{what} after {time.monotonic() - begun:.0f} s."
            text = " ".join([f"{took} **{NAME}** is now in the list of models, for you only.", *left_out(data)])
            yield text, drawn(curves), hidden, gr.Row(visible=True), table(memory.held), summary(memory.held), None
        except UserError as error:
            gr.Warning(str(error), title="")
            yield f"⚠️ {error}", same, hidden, same, same, same, same


def said(stage: str, fold: int, folds: int, done: float, left: float) -> str:
    """Where a training is."""
    what = {
        "embed": "The network looks at every picture and its augmentations",
        "folds": f"Fold {fold} of {folds} is learning",
        "final": "The last fit, on everything",
    }.get(stage, "Almost done")
    return f"{what}: {done:.0%}, about {left:.0f} s left."


def drawn(curves: dict[int, list[Epoch]]) -> str:
    """The learning curves so far, over the folds."""
    folds = [curve for number, curve in curves.items() if number]
    return report.learning(mean_curves(folds)) if folds else ""


def table(held: Evaluation) -> dict[str, Any]:
    """The confusion matrix, as a table."""
    rows = [[label, *row] for label, row in zip(held.labels, held.confusion.tolist(), strict=True)]
    return {"headers": ["true \\ taken for", *held.labels], "data": rows}


def summary(held: Evaluation) -> str:
    """The figures, in words."""
    facts = held.facts()
    accuracy, f1 = (metrics.Interval(**facts[name]) for name in ("accuracy", "macro_f1"))
    padding = facts["heat_on_padding"]
    bars = f" {padding:.0%} of the heat lies on bars." if padding >= 0.005 else ""
    return (
        f"On {facts['pictures']} pictures it had not seen: **{accuracy.value:.1%}** right "
        f"(95 % interval {accuracy.low:.0%} to {accuracy.high:.0%}), macro F1 **{f1.value:.3f}**, "
        f"calibration error {facts['calibration']['ece']:.2f}.{bars}"
    )


def show_cell(session: Session, event: gr.SelectData) -> list[tuple[np.ndarray, str]]:
    """The pictures of a cell of the confusion matrix, the surest first: each one, the evidence for what it was taken for,
    and that for what it is; where it is right, that for the next best class."""
    held, judged = session.of(Training).held, session.of(Training).judged
    row, column = event.index[0], event.index[1] - 1
    if held is None or column < 0:
        return []
    sure = metrics.softmax(held.logits)
    inside = np.flatnonzero((held.truth == row) & (held.predicted == column)).tolist()
    found = []
    for index in sorted(inside, key=lambda index: -sure[index, column])[:CELL]:
        pixels = within(held.items[index].pixels(), TILE)
        other = row if row != column else int(np.argsort(-sure[index])[1])
        found.append((pixels, f"{held.labels[row]}\n{held.items[index].path.stem}"))
        for which, word in ((column, "Why"), (other, "Or")):
            heatmap = explain(pixels, judged[index], "grad-cam", held.labels[which]).heatmap
            found.append((overlay(pixels, heatmap), f"{word} {held.labels[which]}?\n{sure[index, which]:.1%}"))
    if not found:
        gr.Info(f"No {held.labels[row]} was taken for {held.labels[column]}.", title="")
    return found


def publish(session: Session) -> tuple[Any, ...]:
    """The button that leads to the Explain tab, and the files: the head and the report."""
    memory = session.of(Training)
    if memory.outcome is None or memory.held is None:
        return tuple([gr.skip()] * 4)
    head, page = session.file("my_model.npz"), session.file("my_model.html")
    trained.save(memory.outcome.model, head)
    judged = memory.judged
    content = report.page(memory.held, lambda index: judged[index], memory.outcome.model.figures["curves"])
    write_atomically(page, content.encode())
    return (
        gr.Button(interactive=True),
        *(gr.DownloadButton(value=str(path), interactive=True) for path in (head, page)),
        "",
    )


def export(session: Session) -> Any:
    """The whole network with its head, for Keras."""
    memory = session.of(Training)
    if memory.outcome is None:
        return gr.skip()
    path = session.file("my_model.keras")
    write_atomically(path, trained.export(memory.outcome.model))
    return gr.DownloadButton(value=str(path), interactive=True)


def open_head(session: Session, path: str | None) -> tuple[Any, str]:
    """A head that was trained before becomes this visitor's model."""
    if path is None:
        return gr.skip(), ""
    try:
        model = trained.load(path, NAME)
    except UserError as error:
        gr.Warning(str(error), title="")
        return gr.skip(), f"⚠️ {error}"
    session.models[NAME] = model
    return gr.Button(interactive=True), f"**{NAME}** tells apart {', '.join(map(escape, model.labels))}."
