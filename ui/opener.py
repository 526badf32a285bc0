"""The part of the Explain tab that opens a model file of the visitor, shows what it is, and puts it into the visitor's list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from core.errors import UserError
from core.images import read, shrink
from explain import METHODS
from models import MODELS, Classifier, open_model
from models.capabilities import lacks
from models.geometry import FITS
from models.head import split_cells
from models.isolated import open_isolated
from models.labels import parse_labels
from models.preprocessing import SATURATED, WAYS
from samples import SAMPLES
from ui import controls
from ui.hosting import is_public, unique_name
from ui.runs import INSTANT, SHORT_RUN, Runs
from ui.session import Session
from ui.uploads import CheckedUploadButton

FOUND, BY_FILE = "find out", "as the file says"
TILE = 320  # pixels of the longer side of a sample
SHOWN_CLASSES = 12
ENGINES = {
    "LiteRTEngine": "LiteRT",
    "TFLiteEngine": "LiteRT",
    "TensorFlowEngine": "TensorFlow",
    "Process": "a process apart",
}
INVITATION = (
    "A `.keras`, `.h5`, `.tflite` or `.npz` file, or the zip file that Teachable Machine exports. Only you see it. No code in "
    "the file is executed."
)
ON_OWN_MACHINE = " An `.onnx` file can be opened too."


@dataclass
class OpenerState:
    """What a visitor has opened: the uploaded file and its classifier, until it is used."""

    runs: Runs = field(default_factory=Runs)
    path: str | None = None
    classifier: Classifier | None = None


@dataclass(frozen=True)
class Opener:
    """The components."""

    file: gr.UploadButton
    labels: gr.Textbox
    preprocess: gr.Dropdown
    fit: gr.Dropdown
    card: gr.HTML
    samples: gr.Gallery
    use: gr.Button


def lay_out() -> Opener:
    """An accordion, closed at first."""
    with gr.Accordion("Open a model of your own", open=False, elem_id="open-model"):
        gr.Markdown(INVITATION + ("" if is_public() else ON_OWN_MACHINE))
        with gr.Row():
            file = CheckedUploadButton("Choose a file", size="sm", min_width=130, elem_id="open-file")
            preprocess = gr.Dropdown(
                [FOUND, *WAYS], value=FOUND, label="Scaling of pixels", elem_id="open-preprocess", min_width=140
            )
            fit = gr.Dropdown(
                [BY_FILE, *FITS], value=BY_FILE, label="Fit to its input", elem_id="open-fit", min_width=140
            )
        labels = gr.Textbox(
            label="Labels", info="one per line, if the file has none; then press Enter with Shift", lines=1, max_lines=6,
            elem_id="open-labels",
        )  # fmt: skip
        card = gr.HTML(elem_id="open-card")
        samples = gr.Gallery(
            columns=3, height="auto", object_fit="contain", show_label=False, interactive=False, allow_preview=False,
            visible=False, format="jpeg", elem_id="open-samples", elem_classes="captioned", buttons=[],
        )  # fmt: skip
        use = gr.Button("Looks right: use it", variant="primary", visible=False, elem_id="open-use")
    return Opener(file, labels, preprocess, fit, card, samples, use)


def bind(session: gr.State, opener: Opener, model: gr.Dropdown) -> Any:
    """Bind the events. `model`: the list of models of the tab.

    Returns the event after which the visitor's model is chosen in the list.
    """
    settings = [opener.labels, opener.preprocess, opener.fit]
    results = [opener.card, opener.samples, opener.use]
    opener.file.upload(open_upload, [session, opener.file, *settings], results, **SHORT_RUN)
    gr.on(
        [opener.labels.submit, opener.preprocess.input, opener.fit.input], open_again, [session, *settings], results,
        **SHORT_RUN,
    )  # fmt: skip
    return opener.use.click(use_model, session, model, **INSTANT)


def open_upload(session: Session, path: str | None, *settings: str) -> Iterator[tuple[Any, ...]]:
    """Open a file that has just arrived. `settings`: labels, preprocessing and fit, as shown."""
    session.state(OpenerState).path = path
    yield from open_again(session, *settings)


def open_again(session: Session, labels: str, preprocess: str, fit: str) -> Iterator[tuple[Any, ...]]:
    """Open the visitor's file with these settings.

    Yields:
        Values of the card, the samples and the button.
    """
    state = session.state(OpenerState)
    hidden = gr.Gallery(visible=False), gr.Button(visible=False)
    with state.runs.turn() as superseded:
        if superseded() or state.path is None:
            return
        name = Path(state.path).name
        yield f"<p>Opening {escape(name)} ...</p>", *hidden
        try:
            classifier = open_file(Path(state.path), labels, preprocess, fit)
            tiles = predict_samples(classifier)
            state.classifier = classifier
            yield render_card(classifier), gr.Gallery(tiles, visible=True), gr.Button(visible=True)
        except UserError as error:
            state.classifier = None
            yield f"<p>{escape(controls.warn(error))}</p>", *hidden


def open_file(path: Path, labels: str, preprocess: str, fit: str) -> Classifier:
    """The classifier in a file; on a public server in a process of its own. Raises UserError in one sentence."""
    names = parse_labels(labels.encode(), "labels") if labels.strip() else None
    way = None if preprocess == FOUND else preprocess
    chosen: Any = None if fit == BY_FILE else fit
    return (open_isolated if is_public() else open_model)(path, names, way, chosen)


def use_model(session: Session) -> Any:
    """Put the opened model into the visitor's list, and choose it. Returns the list of models."""
    state = session.state(OpenerState)
    if state.classifier is None:
        return gr.skip()
    name = unique_name(state.classifier.name, MODELS)
    session.models[name] = state.classifier
    return gr.Dropdown(session.model_choices(), value=name)


def predict_samples(classifier: Classifier) -> list[tuple[np.ndarray, str]]:
    """The first three sample photographs, and the two most probable classes of each."""
    tiles = []
    for sample in SAMPLES[:3]:
        pixels = read(sample.path).pixels
        top = classifier.predict(pixels, 2)
        lines = [f"{prediction.label[:40]} {prediction.probability:.1%}" for prediction in top]
        tiles.append((shrink(pixels, TILE), "\n".join(lines)))
    return tiles


def render_card(classifier: Classifier) -> str:
    """What a classifier is, as an HTML table: how it takes a picture, its layer, and which methods work."""
    photographs = [read(sample.path).pixels for sample in SAMPLES[:3]]
    logits = np.stack([classifier.logits(pixels) for pixels in photographs])
    able = [method.title for method in METHODS.values() if not lacks(classifier, method.needs)]
    reasons: dict[str, list[str]] = {}
    for method in METHODS.values():
        if missing := lacks(classifier, method.needs):
            reasons.setdefault(missing, []).append(method.title)
    rows = {
        "Classes": describe_classes(classifier),
        "Input": describe_input(classifier),
        "Scaling of pixels": classifier.preprocessing,
        "Fit": classifier.fit,
        "Map for the CAM methods": describe_map(classifier),
        "Runs in": ENGINES.get(type(classifier.engine).__name__, "the library of its file format"),
        "Methods that work": f"{len(able)} of {len(METHODS)}: {', '.join(able)}",
        **{f"Needs {missing}": ", ".join(titles) for missing, titles in reasons.items()},
    }
    body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items())
    notes = [*classifier.notes, *warnings(classifier, logits)]
    return f"<table class='facts'>{body}</table>" + "".join(f"<p>{escape(note)}</p>" for note in notes)


def describe_classes(classifier: Classifier) -> str:
    """Their number and the first of them."""
    labels = classifier.labels
    more = f", and {len(labels) - SHOWN_CLASSES} more" if len(labels) > SHOWN_CLASSES else ""
    return f"{len(labels)}: {', '.join(label[:40] for label in labels[:SHOWN_CLASSES])}{more}"


def describe_input(classifier: Classifier) -> str:
    """The size of its input, width x height."""
    if classifier.canvas:
        return f"{classifier.canvas[1]} x {classifier.canvas[0]} pixels"
    return f"about {classifier.side} x {classifier.side} pixels, in the shape of the picture"


def describe_map(classifier: Classifier) -> str:
    """The cells and channels of its features."""
    if "features" not in classifier.capabilities:
        return "none was found"
    height, width = classifier.canvas or (classifier.side, classifier.side)
    features = classifier.forward(np.zeros((1, height, width, 3), np.float32))[0]
    cells, _ = split_cells(classifier.head, features[0])
    return f"{cells.shape[1]} x {cells.shape[0]} cells, {cells.shape[2]} channels"


def warnings(classifier: Classifier, logits: np.ndarray) -> list[str]:
    """Signs of wrong preprocessing in the logits (N, classes) of photographs, one sentence each."""
    if np.abs(logits).max() > 1000:
        return [
            f"The logits reach {np.abs(logits).max():.0f}. This is a sign of wrong scaling of the pixels; choose another one."
        ]
    if (classifier.probabilities(logits).max(1) > SATURATED).all():
        return [
            "Every prediction has a probability of 100.0 %. This is a sign of wrong scaling of the pixels; choose another one."
        ]
    return []
