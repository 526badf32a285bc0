"""The Audit tab: the tank story, and an audit that tells which shortcuts a model uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import gradio as gr
import numpy as np

from audit.auditor import Auditor, AuditSettings
from audit.planted import (
    HELD_OUT_SCENES,
    SAMPLED_SCENES,
    TRAINING_SCENES,
    make_auditor,
    planted_scenes,
    train_on_scenes,
)
from audit.report import (
    choose_examples,
    describe_class,
    describe_probe,
    heatmap_tile,
    picture_tile,
    render_effects,
    render_overview,
)
from audit.results import Audit
from audit.run import measure_shards
from audit.shards import Masks
from audit.summarise import summarise
from audit.verdict import CUE_NAMES
from core.errors import UserError
from core.files import encode_png, write_atomically
from core.stopping import Stopped
from samples.shortcuts import CUES
from training import archive, dataset
from ui import controls, tank_story
from ui.class_boxes import ZIP_BYTES
from ui.folder_button import folder_button
from ui.plain_text import plain
from ui.runs import INSTANT, LONG_RUN, SHORT_RUN, Runs
from ui.session import Session
from ui.train_tab import MODEL_NAME, TrainState
from ui.uploads import CheckedUploadButton

MAX_PICTURES = 2000  # of a zip or a folder; the command line takes more
GROUP_PICTURES = 24  # shown of a group of heatmaps

OWN, ZIP, FOLDER = "Pictures from the Train tab", "Zip with a folder per class", "Folder with a folder per class"
UPLOADS = (ZIP, FOLDER)
CUE_LABELS = {"ground": "background", "jpeg": "JPEG quality"}  # of the cues whose key is no good label
PLANTED = {f"Planted shortcut: {CUE_LABELS.get(cue, cue)}": (cue, 1.0) for cue in CUES} | {
    "Planted set, no shortcut": ("ground", 0.5)
}
"""Sets of rendered pictures: the cue, and the share of pictures in which the cue goes with the class."""

LAYOUT_HELP = (
    "Use one folder of pictures per class. Name each folder like the class in the model. Masks of the subjects are optional: "
    "one PNG per picture, white on the subject. Each mask has the size, file name and folder name of its picture."
)
EFFECT_HELP = (
    "**Effect of each cue.** The loss of logit margin with the cue of another class, minus the loss with the cue of the same "
    "class. 0 %: no effect. 100 %: the whole margin. ±: standard error. Red: significant."
)
GROUP_HELP = "**Clusters of similar heatmaps.** Click a cluster to see its pictures. Click a picture to explain it."

Upload = str | list[tuple[str, str]] | None
"""A zip, or the names and paths of the files of a folder."""

PictureKey = tuple[str, str]
"""The folder and the name of a picture, without its suffix. A picture and its mask have the same key."""


@dataclass
class AuditState:
    """What this tab keeps for a visitor: the last audit, the class that is shown, and the pictures of the open group."""

    runs: Runs = field(default_factory=Runs)
    auditor: Auditor | None = None
    audit: Audit | None = None
    class_number: int = 0
    members: list[int] = field(default_factory=list)


class Inputs(NamedTuple):
    """The components that choose the pictures and the model. `uploads`: pictures and masks, for each of UPLOADS."""

    pictures: gr.Dropdown
    model: gr.Dropdown
    uploads: list[Any]


class Results(NamedTuple):
    """The components that show an audit."""

    box: gr.Column
    overview: gr.HTML
    effects: gr.HTML
    label: gr.Radio
    details: list[Any]
    groups: gr.Gallery
    members: gr.Gallery


def build(session: gr.State, tab: gr.Tab, open_in_explain: Callable[[Any], None]) -> None:
    """Lay out the tab inside its context and bind its events.

    Args:
        session: the visitor.
        tab: the tab, whose selection updates the list of models.
        open_in_explain: what `build` of the Explain tab returns.
    """
    build_story(session, tab)
    gr.Markdown("### Audit a model", elem_classes="step")
    with gr.Row(equal_height=True, elem_id="audit-run"):
        inputs = lay_out_inputs()
        start = controls.run_button("Audit", "audit-start", scale=0)
        stop = controls.stop_button("audit-stop", scale=0)
    status = gr.Markdown(describe_source(next(iter(PLANTED))), elem_id="audit-status")
    results = lay_out_results()

    bind_inputs(session, tab, inputs, status)
    show_details = {"fn": show_class, "inputs": [session, results.label], "outputs": results.details, **SHORT_RUN}
    outputs = [status, stop, results.box, results.overview, results.effects, results.label]
    start.click(
        run_audit,
        [session, inputs.pictures, inputs.model, *inputs.uploads],
        outputs,
        **LONG_RUN,
        show_progress_on=status,
    ).then(**show_details)
    controls.bind_stop(stop, session, AuditState)
    results.label.input(**show_details)
    results.groups.select(open_group, session, results.members, **SHORT_RUN)
    open_in_explain(results.members.select(open_picture, session, None, **INSTANT).success)


def build_story(session: gr.State, tab: gr.Tab) -> None:
    """Lay out the tank story and bind its button. When `tab` is opened, its first pictures are shown."""
    with gr.Row(elem_id="story"):
        with gr.Column(scale=4, min_width=320):
            text = gr.Markdown(tank_story.render_step(0), elem_id="story-text")
            button = gr.Button("Start the tank story", variant="primary", elem_id="story-next")
        pictures = gallery("story-pictures", columns=4, visible=False, elem_classes="captioned", scale=8)
    tab.select(tank_story.show_opening, session, pictures, **INSTANT)
    button.click(tank_story.play_next_step, session, [text, pictures, button], **LONG_RUN, show_progress_on=text)


def lay_out_inputs() -> Inputs:
    """The pictures, the model, and the buttons that upload pictures and masks."""
    pictures = gr.Dropdown(
        [*PLANTED, OWN, *UPLOADS], value=next(iter(PLANTED)), label="Pictures", elem_id="audit-pictures", min_width=280,
        scale=4,
    )  # fmt: skip
    model = controls.model_dropdown("audit-model", visible=False, min_width=180, scale=2)
    hidden: dict[str, Any] = {"visible": False, "scale": 0, "min_width": 150}
    uploads = [
        CheckedUploadButton("Choose a zip file", file_types=[".zip"], elem_id="audit-zip", **hidden),
        CheckedUploadButton("Add masks (zip)", file_types=[".zip"], elem_id="audit-zip-masks", **hidden),
        folder_button("Choose a folder", elem_id="audit-folder", **hidden),
        folder_button("Add masks (folder)", elem_id="audit-folder-masks", **hidden),
    ]
    return Inputs(pictures, model, uploads)


def lay_out_results() -> Results:
    """The tables of all classes, and the details of one class; hidden until there is an audit."""
    with gr.Column(visible=False, elem_id="audit-results") as box:
        overview = gr.HTML(elem_id="audit-table")
        gr.Markdown(EFFECT_HELP)
        effects = gr.HTML(elem_id="audit-parts")
        label = gr.Radio([], label="Details of one class", elem_id="audit-class")
        with gr.Row():
            with gr.Column(scale=6, min_width=320):
                text = gr.Markdown(elem_id="audit-about")
                exchange = gr.Markdown(elem_id="audit-exchange")
                exchanges = gallery("audit-exchanged", columns=3, elem_classes="captioned")
            with gr.Column(scale=6, min_width=320):
                gr.Markdown(GROUP_HELP)
                groups = gallery("audit-groups", columns=3, elem_classes="captioned")
                members = gallery("audit-members", columns=4, visible=False)
    return Results(box, overview, effects, label, [text, exchange, exchanges, groups, members], groups, members)


def gallery(elem_id: str, **options: Any) -> gr.Gallery:
    """Pictures to look at or to click. `options`: those of gr.Gallery."""
    return gr.Gallery(
        show_label=False, allow_preview=False, interactive=False, height="auto", format="jpeg", buttons=[], elem_id=elem_id,
        **options,
    )  # fmt: skip


def bind_inputs(session: gr.State, tab: gr.Tab, inputs: Inputs, status: gr.Markdown) -> None:
    """Let the inputs and the status follow the chosen source of pictures and the uploads."""
    tab.select(
        lambda session, model: gr.Dropdown(session.model_choices(), value=model), [session, inputs.model], inputs.model,
        **INSTANT,
    )  # fmt: skip
    inputs.pictures.input(
        update_inputs, [session, inputs.pictures, inputs.model], [status, inputs.model, *inputs.uploads], **INSTANT
    )
    for pictures, masks in (inputs.uploads[:2], inputs.uploads[2:]):
        pictures.upload(lambda: ("The pictures are uploaded. Press **Audit**.", None), None, [status, masks], **INSTANT)
        masks.upload(lambda: "The masks are uploaded. Press **Audit**.", None, status, **INSTANT)


def describe_source(pictures: str) -> str:
    """What the visitor should know about a source of pictures before an audit."""
    if pictures in UPLOADS:
        return LAYOUT_HELP
    if pictures == OWN:
        return "Choose a model and press **Audit**."
    cue, correlation = PLANTED[pictures]
    content = CUES[cue] if correlation == 1 else "tanks and jeeps stand on the same grounds"
    kind = "with a known shortcut" if correlation == 1 else "without a shortcut"
    return f"Rendered pictures {kind}: {content}. Press **Audit** to train a model on such pictures and audit it."


def update_inputs(session: Session, pictures: str, model: str) -> tuple[Any, ...]:
    """The status, the list of models and the upload buttons for a source of pictures. Planted sets bring their own model."""
    buttons = [gr.UploadButton(visible=pictures == source) for source in UPLOADS for _ in range(2)]
    models = gr.Dropdown(session.model_choices(), value=model, visible=pictures not in PLANTED)
    return describe_source(pictures), models, *buttons


# --- The audit ---------------------------------------------------------------


def run_audit(session: Session, pictures: str, model: str, *uploads: Upload) -> Iterator[tuple[Any, ...]]:
    """Audit until the end, until Stop, or until a later run starts. Without a new result the last one stays."""
    state = session.state(AuditState)
    hide_stop, unchanged = gr.Button(visible=False), (gr.skip(),) * 4
    with state.runs.turn() as superseded:
        try:
            yield "Preparing the pictures and the model ...", gr.Button(visible=True), *unchanged
            auditor = prepare_auditor(session, pictures, model, uploads)
            total, done, shards = len(auditor.pictures), 0, []
            for shard in measure_shards(auditor, size=8):
                shards.append(shard)
                rows, excluded = shard
                done += len(rows.get("index", ())) + len(excluded)
                if superseded():
                    return
                if state.runs.stop_requested:
                    yield f"Stopped after {done} of {total} pictures.", hide_stop, *unchanged
                    return
                yield f"{controls.progress_bar(done / total)}{done} of {total} pictures ...", gr.skip(), *unchanged
            audit = summarise(auditor, iter(shards))
            state.auditor, state.audit = auditor, audit
            worst = max(audit.classes, key=lambda result: ("clean", "suspect", "shortcut").index(result.verdict))
            label = gr.Radio([result.label for result in audit.classes], value=worst.label)
            tables = render_overview(audit), render_effects(audit)
            yield describe_audit(audit), hide_stop, gr.Column(visible=True), *tables, label
        except Stopped as stop:
            yield f"{stop} Use fewer pictures, or the command line, which has no limit.", hide_stop, *unchanged
        except UserError as error:
            yield controls.warn(error), hide_stop, *unchanged


def describe_audit(audit: Audit) -> str:
    """The verdict, the accuracy, and what simple statistics of the pictures tell."""
    excluded = f" {len(audit.excluded)} could not be read." if audit.excluded else ""
    return (
        f"### {plain(audit.sentence)}\n{audit.pictures} pictures, {audit.accuracy:.1%} classified correctly. "
        f"{describe_probe(audit)}{excluded}"
    )


def prepare_auditor(session: Session, pictures: str, model: str, uploads: tuple[Upload, ...]) -> Auditor:
    """The auditor of a source of pictures.

    Args:
        session: the visitor.
        pictures: a key of PLANTED, OWN, or one of UPLOADS.
        model: the name of the model; a planted set trains its own instead.
        uploads: pictures and masks, for each of UPLOADS.

    Raises:
        UserError: something is missing, or the model does not know the classes.
    """
    if pictures in PLANTED:
        return prepare_planted(session, *PLANTED[pictures])
    keys: dict[str, PictureKey] = {}
    masks: dict[PictureKey, str] = {}
    if pictures == OWN:
        data = session.state(TrainState).data
        if data is None:
            raise UserError(f"There are no pictures in the Train tab yet. Train “{MODEL_NAME}” there, then audit it.")
    else:
        picture_upload, mask_upload = uploads[2 * UPLOADS.index(pictures) :][:2]
        if not picture_upload:
            raise UserError("Choose a zip file first." if pictures == ZIP else "Choose a folder with pictures first.")
        keys = list_files(session, picture_upload, "audited")
        masks = {key: path for path, key in list_files(session, mask_upload or [], "masks").items()}
        classes = defaultdict(list)
        for path, (folder, _) in keys.items():
            classes[folder].append(path)
        data = dataset.from_lists(classes)
    classifier = session.classifier(model)
    known = [item for item in data.items if data.labels[item.class_index] in classifier.labels][:MAX_PICTURES]
    if len({item.class_index for item in known}) < 2:
        raise UserError(
            f"“{model}” has fewer than two of these classes: {', '.join(data.labels[:5])}. Choose another model."
        )
    subjects = [masks.get(keys[str(item.path)]) for item in known] if masks else []
    if masks and not any(subjects):
        raise UserError("No mask belongs to a picture. Give each mask the folder name and file name of its picture.")
    return Auditor(
        classifier,
        [str(item.path) for item in known],
        [data.labels[item.class_index] for item in known],
        subjects=Masks(subjects) if masks else None,
        settings=AuditSettings(sample=SAMPLED_SCENES),
    )


def prepare_planted(session: Session, cue: str, correlation: float) -> Auditor:
    """The auditor of a planted set, with a model that is trained on other pictures of the same kind."""
    name = "Planted model" if correlation > 0.5 else "Planted model (no shortcut)"
    classifier = session.models[name] = train_on_scenes(planted_scenes(cue, correlation, TRAINING_SCENES, 0), name)
    return make_auditor(classifier, planted_scenes(cue, correlation, HELD_OUT_SCENES, 1))


def list_files(session: Session, upload: str | list[tuple[str, str]], name: str) -> dict[str, PictureKey]:
    """The path of each file of a zip or folder, with its key. A zip is unpacked into a folder with this `name`.

    Raises UserError for a zip that cannot be used.
    """
    if isinstance(upload, str):
        folder = session.new_folder(name)
        archive.unzip(Path(upload), folder, min(ZIP_BYTES, session.room()))
        upload = [(p.relative_to(folder).as_posix(), str(p)) for p in sorted(folder.rglob("*")) if p.is_file()]
    names = {path: PurePosixPath(name) for name, path in upload}
    return {path: (name.parent.name, name.stem) for path, name in names.items()}


# --- The details of one class ------------------------------------------------


def show_class(session: Session, label: str | None) -> tuple[Any, ...]:
    """The values of `Results.details` for one class: its verdict, its exchanges, and its groups of heatmaps."""
    state = session.state(AuditState)
    if state.audit is None or state.auditor is None or label is None:
        return (gr.skip(),) * 5
    state.class_number = [result.label for result in state.audit.classes].index(label)
    result = state.audit.classes[state.class_number]
    sentences = [f"**{plain(result.sentence)}**", *map(plain, [result.advice or "", *describe_class(result)])]
    cue = CUE_NAMES[result.kind or "background"]
    exchange = (
        f"**Exchange of {cue}.** Each row: a picture, a picture of another class, the first with {cue} of the second."
    )
    exchanges = []
    for example in choose_examples(state.auditor, result):
        exchanges.append((example.before, caption_prediction(example.prediction_before)))
        exchanges.append((example.donor, "another class"))
        exchanges.append((example.after, caption_prediction(example.prediction_after)))
    groups = [
        (
            heatmap_tile(group.heat),
            f"cluster {number}: {len(group.members)} pictures\n{group.accuracy:.0%} classified correctly",
        )
        for number, group in enumerate(result.clusters, 1)
    ]
    return "\n\n".join(filter(None, sentences)), exchange, exchanges, groups, gr.Gallery(visible=False)


def caption_prediction(prediction: tuple[str, float]) -> str:
    """A label and its probability, as the caption of a picture."""
    label, probability = prediction
    return f"{label}, {probability:.0%}"


def open_group(session: Session, event: gr.SelectData) -> Any:
    """The pictures of the group that was clicked, each with its heatmap; the typical ones first."""
    state = session.state(AuditState)
    if state.audit is None or state.auditor is None:
        return gr.skip()
    group = state.audit.classes[state.class_number].clusters[int(event.index)]
    state.members = list(dict.fromkeys([*group.typical, *group.members]))[:GROUP_PICTURES]
    return gr.Gallery([picture_tile(state.auditor, index, group.heat) for index in state.members], visible=True)


def open_picture(session: Session, event: gr.SelectData) -> None:
    """Make the picture that was clicked the picture of all tabs."""
    state = session.state(AuditState)
    if state.auditor is None:
        return
    index = state.members[int(event.index)]
    picture = state.auditor.pictures[index]
    if isinstance(picture, np.ndarray):
        path = session.file(f"audited-{index}.png")
        write_atomically(path, encode_png(picture))
        picture = str(path)
    session.path = picture
