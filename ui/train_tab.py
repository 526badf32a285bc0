"""The Train tab: collect pictures, train a classifier, look at its confusion matrix, and use it. Each visitor has their own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from scipy.special import softmax

from core.errors import UserError
from core.files import write_atomically
from core.html import encode_html
from core.images import shrink
from core.stopping import Stopped, must_stop
from explain import explain
from explain.render import overlay
from models import DEFAULT, load, trained_head
from models.trained_head import TrainedClassifier
from training import dataset, report
from training.classification_metrics import Interval
from training.cross_validation import Progress, TrainingResult, mean_curves, train_and_validate
from training.dataset import Dataset
from training.evaluation import Evaluation, held_out_evaluation
from training.settings import TrainingSettings
from training.trainer import EPOCHS, Epoch
from ui import class_boxes, controls
from ui.class_boxes import MAX_CLASSES
from ui.plain_text import plain
from ui.runs import FILE_RUN, INSTANT, LONG_RUN, SHORT_RUN, Runs
from ui.session import Session
from ui.uploads import CheckedUploadButton

MODEL_NAME = "My model"
HEADS = {"One layer (CAM is exact)": "linear", "Hidden layer with 100 units": "mlp"}
TILE = 360  # pixels of the longer side of a picture of a cell
CELL_PICTURES = 8  # shown of a cell of the confusion matrix
MAX_EPOCHS, MAX_VIEWS = 100, 8
SECONDS_PER_UPDATE = 0.3
READY = (
    "Give each class a name and pictures. Or load the practice channels: thumbnails of three invented channels. "
    "Then press **Train**."
)
EVALUATE = (
    "### 3. Evaluate\nConfusion matrix: a row per true class, a column per predicted class; errors are coloured. Click a cell "
    "to see its pictures. Each picture is classified by a model that was not trained on it."
)

# A click on a cell, or Enter, selects it. The arrow keys go from cell to cell.
MATRIX_JS = """
element.addEventListener("click", (event) => {
  const cell = event.target.closest("button[data-row]");
  if (cell) trigger("select", { row: +cell.dataset.row, column: +cell.dataset.column });
});
element.addEventListener("keydown", (event) => {
  const cell = event.target.closest("button[data-row]");
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (!cell || !step) return;
  event.preventDefault();
  const [row, column] = [+cell.dataset.row + step[0], +cell.dataset.column + step[1]];
  element.querySelector(`button[data-row="${row}"][data-column="${column}"]`)?.focus();
});
"""

Curves = dict[int, list[Epoch]]
"""The epochs of each fold, by its number from 1; 0 is the last training, on all pictures."""


@dataclass
class TrainState:
    """What this tab keeps for a visitor. `fold_classifiers`: for each held-out picture the classifier of its fold."""

    runs: Runs = field(default_factory=Runs)
    data: Dataset | None = None
    result: TrainingResult | None = None
    evaluation: Evaluation | None = None
    fold_classifiers: list[TrainedClassifier] = field(default_factory=list)


class Results(NamedTuple):
    """The components that show an evaluation."""

    box: gr.Column
    matrix: gr.HTML
    figures: gr.Markdown
    cell: gr.Gallery


class Exports(NamedTuple):
    """The components that hand a model on."""

    use: gr.Button
    opened: gr.UploadButton
    files: list[gr.DownloadButton]
    message: gr.Markdown


def build(session: gr.State, tabs: gr.Tabs) -> None:
    """Lay out the tab inside its context and bind its events."""
    boxes = class_boxes.lay_out_boxes()
    gr.Markdown("### 2. Train", elem_classes="step")
    with gr.Row(equal_height=True, elem_id="train-run"):
        settings = lay_out_settings()
        start = controls.run_button("Train", "train-start", scale=0)
        stop = controls.stop_button("train-stop", scale=0)
    status = gr.Markdown(READY, elem_id="train-status")
    curves = gr.HTML(elem_id="train-curves")
    results = lay_out_results()
    gr.Markdown("### 4. Use", elem_classes="step")
    exports = lay_out_exports()

    class_boxes.bind_events(session, boxes, status)
    head, html, keras = exports.files
    start.click(
        run_training, [session, *settings, *boxes.names, *boxes.galleries], [status, curves, stop, *results],
        **LONG_RUN, show_progress_on=status,
    ).then(
        write_head_and_report, session, [exports.use, head, html, exports.message], **FILE_RUN
    ).then(write_keras_model, session, keras, **FILE_RUN)  # fmt: skip
    controls.bind_stop(stop, session, TrainState)
    results.matrix.select(show_cell, session, results.cell, **SHORT_RUN)
    exports.opened.upload(open_head, [session, exports.opened], [exports.use, exports.message], **SHORT_RUN)
    exports.use.click(lambda: gr.Tabs(selected="explain"), outputs=tabs, **INSTANT)


def lay_out_settings() -> list[Any]:
    """Head, augmentations, folds and epochs."""
    head = gr.Dropdown(
        list(HEADS), value=next(iter(HEADS)), label="Head (trained layers)", elem_id="train-head", min_width=240
    )
    views = gr.Slider(
        0, MAX_VIEWS, 4, step=1, label="Augmentations per picture", info="imitate photographs of a screen",
        elem_id="train-views", min_width=190, buttons=[],
    )  # fmt: skip
    folds = gr.Slider(
        2, 5, 4, step=1, label="Folds", info="parts of the cross-validation", elem_id="train-folds", min_width=170,
        buttons=[],
    )  # fmt: skip
    epochs = gr.Slider(
        5, 60, EPOCHS, step=1, label="Maximum epochs", info="training may stop earlier", elem_id="train-epochs",
        min_width=170, buttons=[],
    )  # fmt: skip
    return [head, views, folds, epochs]


def lay_out_results() -> Results:
    """The confusion matrix and the pictures of one of its cells; hidden until there is an evaluation."""
    with gr.Column(visible=False, elem_id="train-results") as box:
        gr.Markdown(EVALUATE, elem_classes="step")
        with gr.Row():
            with gr.Column(scale=4, min_width=320):
                matrix = gr.HTML(elem_id="confusion", js_on_load=MATRIX_JS, apply_default_css=False)
                figures = gr.Markdown(elem_id="train-figures")
            with gr.Column(scale=6, min_width=320):
                cell = gr.Gallery(
                    show_label=False, columns=3, height="auto", object_fit="contain", interactive=False, format="jpeg",
                    elem_id="cell", elem_classes="captioned", buttons=[],
                )  # fmt: skip
    return Results(box, matrix, figures, cell)


def lay_out_exports() -> Exports:
    """The button that leads to the Explain tab, the upload of a trained head, and the downloads."""
    with gr.Row(elem_id="train-use"):
        use = gr.Button(
            f"Explain with “{MODEL_NAME}”", size="sm", interactive=False, min_width=150, elem_id="train-explain"
        )
        opened = CheckedUploadButton(
            "Open a trained head (.npz)", file_types=[".npz"], size="sm", min_width=150, elem_id="train-open"
        )
        labels = {"npz": "Head (.npz)", "html": "Report (.html)", "keras": "Whole model (.keras)"}
        files = controls.download_buttons("train", labels, min_width=150)
    return Exports(use, opened, files, gr.Markdown(elem_id="train-used"))


# --- Training ----------------------------------------------------------------


def run_training(
    session: Session, head: str, views: float, folds: float, epochs: float, *values: Any
) -> Iterator[tuple[Any, ...]]:
    """Train and show the learning curves, until the end, until Stop, or until a later run starts.

    After Stop the best head so far is kept.

    Args:
        session: the visitor.
        head: a key of HEADS.
        views: augmentations per picture.
        folds: parts of the cross-validation.
        epochs: the maximum per fold.
        values: the names of all classes, then their pictures.
    """
    state = session.state(TrainState)
    hide_stop, unchanged = gr.Button(visible=False), (gr.skip(),) * 4
    with state.runs.turn() as superseded:
        try:
            classes = class_boxes.collect_classes(values[:MAX_CLASSES], values[MAX_CLASSES:])
            hide_results = gr.Column(visible=False), gr.skip(), gr.skip(), None
            yield "Reading the pictures ...", "", gr.Button(visible=True), *hide_results
            data = dataset.from_lists(classes)
            settings = TrainingSettings(
                head="mlp" if HEADS[head] == "mlp" else "linear", folds=int(folds), epochs=min(int(epochs), MAX_EPOCHS),
                augmentations=min(int(views), MAX_VIEWS),
            )  # fmt: skip
            backbone = load(DEFAULT)
            start = shown = time.monotonic()
            curves: Curves = {}
            result = None
            for progress in train_and_validate(
                backbone, data, settings, name=MODEL_NAME,
                should_stop=lambda: state.runs.stop_requested or superseded() or must_stop(),
            ):  # fmt: skip
                result = progress.result
                if progress.epoch:
                    curves.setdefault(progress.fold, []).append(progress.epoch)
                now = time.monotonic()
                if now - shown >= SECONDS_PER_UPDATE:
                    shown = now
                    status = describe_progress(progress, settings.folds, now - start)
                    yield status, render_curves(curves), gr.skip(), *unchanged
            if superseded():
                return
            if result is None:
                yield "Stopped before a head was trained.", gr.skip(), hide_stop, *unchanged
                return
            state.data, state.result = data, result
            state.evaluation, state.fold_classifiers = None, []
            shown_results = (gr.Column(visible=False), gr.skip(), gr.skip(), None)
            if (result.fold_of_picture >= 0).any():
                state.evaluation, state.fold_classifiers = held_out_evaluation(backbone, data, result)
                matrix, figures = render_confusion(state.evaluation), describe_evaluation(state.evaluation)
                shown_results = (gr.Column(visible=True), matrix, figures, None)
            session.models[MODEL_NAME] = result.model
            status = describe_training(result, data, time.monotonic() - start)
            yield status, render_curves(curves), hide_stop, *shown_results
        except Stopped as stop:  # while pictures were embedded
            yield f"{stop} No head was trained. Use fewer pictures or augmentations.", gr.skip(), hide_stop, *unchanged
        except UserError as error:
            yield controls.warn(error), gr.skip(), hide_stop, *unchanged


def describe_progress(progress: Progress, folds: int, seconds: float) -> str:
    """The stage of a training, and the time it still takes. `seconds`: since its start."""
    stage = {
        "embed": "Computing the features of all pictures and augmentations",
        "folds": f"Training fold {progress.fold} of {folds}",
        "final": "Training on all pictures",
    }.get(progress.stage, "Almost done")
    left = seconds * (1 - progress.share) / progress.share
    return f"{controls.progress_bar(progress.share)}{stage}: {progress.share:.0%}, about {left:.0f} s left."


def describe_training(result: TrainingResult, data: Dataset, seconds: float) -> str:
    """How a training ended, and which pictures could not be used."""
    end = "Stopped" if result.stopped else "Done"
    sentences = [
        f"{end} after {seconds:.0f} s.",
        *(["The best head so far is kept."] if result.stopped else []),
        f"**{MODEL_NAME}** is now in your list of models. Nobody else sees it.",
        *map(escape, result.notes),
        *class_boxes.describe_excluded(data),
    ]
    return " ".join(sentences)


def render_curves(curves: Curves) -> str:
    """HTML: the learning curves so far, averaged over the folds."""
    folds = [epochs for number, epochs in curves.items() if number]
    return report.render_learning_curves(mean_curves(folds)) if folds else ""


# --- Evaluation --------------------------------------------------------------


def render_confusion(evaluation: Evaluation) -> str:
    """HTML: the confusion matrix, whose cells are buttons, and the most confused pairs of classes."""
    pairs = report.confused_pairs(evaluation.labels, evaluation.confusion)
    items = "".join(
        f"<li>{escape(true)}, classified as {escape(predicted)}: {count} of {total}</li>"
        for true, predicted, count, total in pairs
    )
    confused = f"<b>Most confused</b><ol>{items}</ol>" if items else "<b>No errors</b>"
    matrix = report.render_confusion_matrix(evaluation.labels, evaluation.confusion, clickable=True)
    return f'<div class="matrix-scroll">{matrix}</div><div class="confused">{confused}</div>'


def describe_evaluation(evaluation: Evaluation) -> str:
    """Accuracy, macro F1 and calibration error, in words."""
    content = evaluation.to_dict()
    accuracy, f1 = (Interval(**content[name]) for name in ("accuracy", "macro_f1"))
    padding = content["heat_on_padding"]
    bars = f" {padding:.0%} of the heat lies on the padding." if padding >= 0.005 else ""
    return (
        f"{content['pictures']} held-out pictures: accuracy **{accuracy.value:.1%}** "
        f"(95 % confidence interval {accuracy.low:.0%} to {accuracy.high:.0%}), macro F1 **{f1.value:.3f}**, "
        f"calibration error {content['calibration']['ece']:.2f}.{bars}"
    )


def show_cell(session: Session, event: gr.EventData) -> list[tuple[np.ndarray, str]]:
    """The pictures of a cell of the confusion matrix, the most confident first.

    Each is followed by the heatmap of its predicted class and that of its true class; where both are the same, by that of
    the second most probable class.
    """
    state = session.state(TrainState)
    evaluation = state.evaluation
    if evaluation is None:
        return []
    true, predicted = int(event.row), int(event.column)
    if not (0 <= true < len(evaluation.labels) and 0 <= predicted < len(evaluation.labels)):
        return []
    labels, probabilities = evaluation.labels, softmax(evaluation.logits, axis=-1)
    inside = np.flatnonzero((evaluation.truth == true) & (evaluation.predicted == predicted)).tolist()
    tiles = []
    for index in sorted(inside, key=lambda index: -probabilities[index, predicted])[:CELL_PICTURES]:
        item = evaluation.items[index]
        pixels = shrink(item.pixels(), TILE)
        tiles.append((pixels, f"{labels[true]}\n{item.path.stem}"))
        second = true if true != predicted else int(np.argsort(-probabilities[index])[1])
        for class_index in (predicted, second):
            heatmap = explain(pixels, state.fold_classifiers[index], "grad-cam", labels[class_index]).heatmap
            caption = f"Heatmap: {labels[class_index]}\n{probabilities[index, class_index]:.1%}"
            tiles.append((overlay(pixels, heatmap), caption))
    if not tiles:
        gr.Info(f"No picture of {escape(labels[true])} was classified as {escape(labels[predicted])}.", title="")
    return tiles


# --- Use ---------------------------------------------------------------------


def write_head_and_report(session: Session) -> tuple[Any, ...]:
    """Enable the button that leads to the Explain tab, and offer the head and the report."""
    state = session.state(TrainState)
    if state.result is None:
        return (gr.skip(),) * 4
    head, html = session.file("my_model.npz"), session.file("my_model.html")
    model, classifiers = state.result.model, state.fold_classifiers
    trained_head.save(model, head)
    if state.evaluation is None:  # no picture could be held out
        return gr.Button(interactive=True), *controls.offer_downloads([head]), *controls.disable_downloads(1), ""
    page = report.render_report(state.evaluation, lambda index: classifiers[index], model.figures["curves"])
    write_atomically(html, encode_html(page))
    return gr.Button(interactive=True), *controls.offer_downloads([head, html]), ""


def write_keras_model(session: Session) -> Any:
    """Offer the whole network with its head, for Keras."""
    result = session.state(TrainState).result
    if result is None:
        return gr.skip()
    path = session.file("my_model.keras")
    write_atomically(path, trained_head.export_keras(result.model))
    return controls.offer_downloads([path])[0]


def open_head(session: Session, path: str | None) -> tuple[Any, str]:
    """Make a trained head this visitor's model."""
    if path is None:
        return gr.skip(), ""
    try:
        model = trained_head.load(path, MODEL_NAME)
    except UserError as error:
        return gr.skip(), controls.warn(error)
    session.models[MODEL_NAME] = model
    return gr.Button(interactive=True), f"**{MODEL_NAME}** has the classes {', '.join(map(plain, model.labels))}."
