"""The boxes of the Train tab that collect pictures: one box per class, with its name and its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from core.errors import UserError
from core.images import read
from samples import CHANNEL_NAMES, PRACTICE, SAMPLES
from training import archive, dataset
from training.dataset import Dataset
from ui import controls
from ui.plain_text import plain
from ui.runs import FILE_RUN, INSTANT
from ui.session import Session
from ui.uploads import CheckedGallery, CheckedUploadButton

MAX_CLASSES, MIN_CLASSES, FIRST_BOXES = 10, 2, 3  # boxes that are visible at first
MAX_PICTURES = 100  # per class; the command line takes more
ZIP_BYTES = 200_000_000  # unpacked
SHOWN_EXCLUDED = 3  # files that are named if they cannot be used


class ClassBoxes(NamedTuple):
    """The components of all MAX_CLASSES boxes, visible or not, and the buttons that fill them.

    `balance`: bars with the number of pictures of each class.
    """

    names: list[gr.Textbox]
    galleries: list[gr.Gallery]
    columns: list[gr.Column]
    practice: gr.Button
    zip_file: gr.UploadButton
    more: gr.Button
    balance: gr.HTML


def lay_out_boxes() -> ClassBoxes:
    """The buttons, the boxes and the bars."""
    with gr.Row(elem_id="train-collect"):
        gr.Markdown(
            "### 1. Collect pictures\nTwo to ten classes, with twenty or more pictures each. "
            "To try it, load the practice channels.",
            elem_classes="step",
        )
        practice = gr.Button(
            "Load the practice channels", variant="primary", size="sm", scale=0, min_width=210, elem_id="practice"
        )
        zip_file = CheckedUploadButton(
            "Open a zip with a folder per class",
            file_types=[".zip"],
            size="sm",
            scale=0,
            min_width=210,
            elem_id="train-zip",
        )
        more = gr.Button("Add a class", size="sm", scale=0, min_width=120, elem_id="train-more")
    with gr.Row(elem_id="classes"):
        names, galleries, columns = map(list, zip(*map(lay_out_box, range(MAX_CLASSES)), strict=True))
    balance = gr.HTML(render_channels(), elem_id="balance")
    return ClassBoxes(names, galleries, columns, practice, zip_file, more, balance)


def bind_events(session: gr.State, boxes: ClassBoxes, status: gr.Markdown) -> None:
    """Bind the events of the boxes. Messages go to `status`."""
    inputs = [*boxes.names, *boxes.galleries]
    filled = [*inputs, *boxes.columns, status]
    show_balance = {"fn": render_balance, "inputs": inputs, "outputs": boxes.balance, **INSTANT}
    boxes.practice.click(load_practice, session, filled, **FILE_RUN).then(**show_balance)
    boxes.zip_file.upload(load_zip, [session, boxes.zip_file], filled, **FILE_RUN).then(**show_balance)
    boxes.more.click(add_box, inputs, boxes.columns, **INSTANT)
    gr.on([gallery.change for gallery in boxes.galleries], **show_balance)
    gr.on([name.input for name in boxes.names], **show_balance)


def lay_out_box(number: int) -> tuple[gr.Textbox, gr.Gallery, gr.Column]:
    """One box. `number`: from 0."""
    with gr.Column(min_width=300, visible=number < FIRST_BOXES, elem_classes="class-box") as column:
        name = gr.Textbox(
            label=f"Class {number + 1}", placeholder="Name", max_length=60, elem_id=f"class-name-{number}"
        )
        gallery = CheckedGallery(
            show_label=False, columns=3, height=190, object_fit="cover", file_types=["image"],
            sources=["upload", "webcam", "clipboard"], interactive=True, allow_preview=False, format="jpeg",
            elem_id=f"class-pictures-{number}", buttons=[],
        )  # fmt: skip
    return name, gallery, column


def render_channels() -> str:
    """HTML: one thumbnail of each practice channel, shown until there are pictures."""
    shown = {sample.path.stem: sample for sample in SAMPLES}
    pictures = [(read(shown[f"{key}-1"].path).pixels, title) for key, title in CHANNEL_NAMES.items()]
    return controls.picture_strip(pictures)


def render_balance(*values: Any) -> str:
    """HTML: a bar per class with its number of pictures. `values`: all names, then all galleries."""
    counts = {
        name or f"Class {number}": len(pictures)
        for number, (name, pictures) in enumerate(zip(values[:MAX_CLASSES], values[MAX_CLASSES:], strict=True), 1)
        if pictures
    }
    if not counts:
        return ""
    largest = max(counts.values())
    rows = "".join(
        f'<li><span>{escape(name)}</span><span class="bar"><i style="width: {100 * count / largest:.0f}%"></i></span>'
        f"<span>{count}</span></li>"
        for name, count in counts.items()
    )
    return f'<div class="live"><ul style="min-height: 0">{rows}</ul></div>'


def add_box(*values: Any) -> list[gr.Column]:
    """Show one box more: after the last box in use, and at least one more than at first."""
    used = [number for number in range(MAX_CLASSES) if values[number] or values[MAX_CLASSES + number]]
    return show_boxes(max(FIRST_BOXES, max(used, default=0) + 1) + 1)


def show_boxes(count: int) -> list[gr.Column]:
    """Show the first boxes and hide the others."""
    return [gr.Column(visible=number < count) for number in range(MAX_CLASSES)]


def load_practice(session: Session) -> list[Any]:
    """Fill the boxes with the invented channels that come with Thumbscope."""
    return fill_boxes(session, PRACTICE)


def load_zip(session: Session, path: str | None) -> list[Any]:
    """Fill the boxes from a zip of class folders."""
    return [gr.skip()] * (3 * MAX_CLASSES + 1) if path is None else fill_boxes(session, Path(path))


def fill_boxes(session: Session, path: Path) -> list[Any]:
    """Fill the boxes from a zip. Returns names, galleries, columns and a message."""
    try:
        folder = session.new_folder("pictures")
        archive.unzip(path, folder, min(ZIP_BYTES, session.room()))
        data = dataset.from_folder(folder)
        count = len(data.labels)
        if count > MAX_CLASSES:
            raise UserError(f"The zip has {count} classes. The maximum here is {MAX_CLASSES}.")
    except UserError as error:
        return [*[gr.skip()] * (3 * MAX_CLASSES), controls.warn(error)]
    pictures = [[str(item.path) for item in data.items if item.class_index == number] for number in range(count)]
    empty = MAX_CLASSES - count
    sentences = [f"{len(data.items)} pictures in {count} classes. Press **Train**.", *describe_excluded(data)]
    return [
        *data.labels, *[""] * empty,
        *pictures, *[None] * empty,
        *show_boxes(max(FIRST_BOXES, count)),
        " ".join(sentences),
    ]  # fmt: skip


def describe_excluded(data: Dataset) -> list[str]:
    """What could not be used, and what else to know about the pictures, in sentences."""
    excluded = [f"Not used: {plain(file.name)}. {plain(file.reason)}" for file in data.excluded[:SHOWN_EXCLUDED]]
    others = len(data.excluded) - SHOWN_EXCLUDED
    more = [f"{others} more could not be used."] if others > 0 else []
    return [*excluded, *more, *map(plain, data.notes)]


def collect_classes(names: Sequence[str], galleries: Sequence[Any]) -> dict[str, list[str]]:
    """The files of each class that has pictures.

    Raises UserError for too few classes, too many pictures, a class without a name, or two classes with one name.
    """
    classes: dict[str, list[str]] = {}
    for number, (text, pictures) in enumerate(zip(names, galleries, strict=True), 1):
        if not pictures:
            continue
        name = (text or "").strip()
        if not name:
            raise UserError(f"Class {number} has pictures but no name. Give it a name.")
        if name.casefold() in {other.casefold() for other in classes}:
            raise UserError(f"Two classes have the name '{name}'. Give each class its own name.")
        if len(pictures) > MAX_PICTURES:
            raise UserError(f"'{name}' has {len(pictures)} pictures. The maximum here is {MAX_PICTURES}.")
        classes[name] = [path for path, _ in pictures]
    if len(classes) < MIN_CLASSES:
        raise UserError("Training needs pictures of at least two classes. Add some, or load the practice channels.")
    return classes
