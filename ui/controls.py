"""Controls that several tabs share, and the functions behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from core.errors import UserError
from core.html import data_url
from core.images import shrink
from explain import METHODS
from explain.registry import default_method
from models import DEFAULT, MODELS, Classifier, load
from models.capabilities import lacks
from ui.picture_input import PictureInput, picture_input
from ui.plain_text import plain
from ui.runs import FILE_RUN, INSTANT, NO_PROGRESS
from ui.session import Session

PREDICTED = "the predicted class"
STRIP = 320  # pixels of the longer side of a picture of a strip
PICTURE_PLACEHOLDER = "Drop a picture here, paste it with Ctrl+V, or click to choose one"


def picture_box(elem_id: str, **options: Any) -> PictureInput:
    """The picture of a tab. `options`: those of gr.Image, such as `height`."""
    return picture_input(label="Picture", elem_id=elem_id, placeholder=PICTURE_PLACEHOLDER, **options)


def model_dropdown(elem_id: str, **options: Any) -> gr.Dropdown:
    """The models that every visitor has. `options`: those of gr.Dropdown, such as `min_width`."""
    return gr.Dropdown(Session().model_choices(), value=DEFAULT, label="Model", elem_id=elem_id, **options)


def method_dropdown(elem_id: str, **options: Any) -> gr.Dropdown:
    """The explanation methods. `options`: those of gr.Dropdown; by default the first method is chosen."""
    choices = [(method.title, name) for name, method in METHODS.items()]
    return gr.Dropdown(
        choices, elem_id=elem_id, **{"value": next(iter(METHODS)), "label": "Method", "min_width": 180, **options}
    )


def class_dropdown(elem_id: str, first: str = PREDICTED, **options: Any) -> gr.Dropdown:
    """The classes of the default model, after `first`, which stands for no chosen class.

    `options`: those of gr.Dropdown; by default the label is "Target class".
    """
    choices = [first, *load(DEFAULT).labels]
    return gr.Dropdown(choices, value=first, elem_id=elem_id, **{"label": "Target class", "min_width": 180, **options})


def run_button(text: str, elem_id: str, **options: Any) -> gr.Button:
    """The button that starts the run of a tab. `options`: those of gr.Button."""
    return gr.Button(text, variant="primary", elem_id=elem_id, **{"min_width": 110, **options})


def stop_button(elem_id: str, **options: Any) -> gr.Button:
    """The button that stops the run of a tab; hidden until a run starts. `options`: those of gr.Button."""
    return gr.Button("Stop", variant="stop", visible=False, min_width=90, elem_id=elem_id, **options)


def bind_stop(button: gr.Button, session: gr.State, state: type) -> None:
    """Let `button` stop the run of a tab. `state`: the tab's state class, with the attribute `runs`."""
    button.click(lambda session: session.state(state).runs.stop(), session, **INSTANT)


# The page opens the link that a download button would open, once its file is written.
SAVE_JS = """(file) => {
  if (!file) return;
  const link = document.createElement("a");
  Object.assign(link, {href: file.url, download: file.orig_name});
  document.body.append(link);
  link.click();
  link.remove();
}"""


def download_buttons(prefix: str, labels: Mapping[str, str], min_width: int = 90) -> list[gr.DownloadButton]:
    """One button per file, disabled until there is a file.

    Args:
        prefix: the elem_id of each button is `prefix-kind`.
        labels: the text on the button, for each kind of file.
        min_width: of each button, in pixels.
    """
    return [
        gr.DownloadButton(label, size="sm", interactive=False, min_width=min_width, elem_id=f"{prefix}-{kind}")
        for kind, label in labels.items()
    ]


def offer_downloads(paths: Sequence[Path]) -> list[gr.DownloadButton]:
    """Enable the download buttons, with these files behind them."""
    return [gr.DownloadButton(value=str(path), interactive=True) for path in paths]


def disable_downloads(count: int) -> list[gr.DownloadButton]:
    """Disable `count` download buttons."""
    return [gr.DownloadButton(value=None, interactive=False) for _ in range(count)]


class ClickedDownloads:
    """Buttons whose files are written when they are clicked, so that no run waits for a file that nobody wants.

    The buttons are disabled until there is something to download.

    Args:
        prefix: the elem_id of each button is `prefix-kind`.
        labels: the text on the button, for each kind of file.
        min_width: of each button, in pixels.
    """

    def __init__(self, prefix: str, labels: Mapping[str, str], min_width: int = 90) -> None:
        self._buttons = {
            kind: gr.Button(label, size="sm", interactive=False, min_width=min_width, elem_id=f"{prefix}-{kind}")
            for kind, label in labels.items()
        }
        self._file = gr.DownloadButton("", visible="hidden", elem_id=f"{prefix}-file")

    def bind(self, write: Callable[..., str], inputs: list[Any]) -> None:
        """Let each button write its file and download it.

        `write`: gets the kind and the values of `inputs`, and returns the path. Raises UserError if there is nothing.
        """
        for kind, button in self._buttons.items():
            written = button.click(partial(_write, write, kind), inputs, self._file, **FILE_RUN)
            written.success(fn=None, inputs=self._file, js=SAVE_JS, **NO_PROGRESS)

    def enable_after(self, event: Any, shown: Any) -> None:
        """After an event, enable the buttons if the component `shown` has a value. This needs no request."""
        update = '{"__type__": "update", "interactive": Boolean([shown].flat()[0])}'
        js = f"(shown) => [{', '.join([update] * len(self._buttons))}]"
        event(fn=None, inputs=shown, outputs=list(self._buttons.values()), js=js, **NO_PROGRESS)


def _write(write: Callable[..., str], kind: str, *values: Any) -> str:
    try:
        return write(kind, *values)
    except UserError as error:
        raise gr.Error(str(error), title="", print_exception=False) from error


def set_picture(session: Session, path: str | None) -> None:
    """Make a picture that has just arrived the picture of all tabs."""
    session.path = path


def update_tab(session: Session, model: str) -> tuple[gr.Dropdown, str | None]:
    """When a tab is opened: the models of this visitor, and the picture that was chosen in another tab."""
    return gr.Dropdown(session.model_choices(), value=model), session.path


def known_classifier(session: Session, model: str) -> Classifier:
    """The classifier, or the default one for a model that must be downloaded first: these have ImageNet's classes too."""
    downloaded = not (model in session.models or MODELS[model].embedded)
    return session.classifier(DEFAULT if downloaded else model)


def update_classes(session: Session, model: str, target: str, first: str = PREDICTED) -> gr.Dropdown:
    """The classes of `model`, after `first`. The chosen class stays if the model has it."""
    labels = known_classifier(session, model).labels
    return gr.Dropdown([first, *labels], value=target if target in labels else first)


def method_choices(classifier: Classifier) -> list[tuple[str, str]]:
    """Title and name of every method. A title says what the classifier lacks for it; the page shows such titles in grey."""
    choices = []
    for name, method in METHODS.items():
        missing = lacks(classifier, method.needs)
        choices.append((f"{method.title} (needs {missing})" if missing else method.title, name))
    return choices


def usable_methods(classifier: Classifier, chosen: str | list[str]) -> str | list[str]:
    """The chosen method if it works with the classifier, or else another one; of a list of several, those that work."""
    if isinstance(chosen, list):
        return [name for name in chosen if not lacks(classifier, METHODS[name].needs)]
    return chosen if not lacks(classifier, METHODS[chosen].needs) else default_method(classifier)


def update_methods(session: Session, model: str, chosen: str | list[str]) -> gr.Dropdown:
    """The methods for `model`. A chosen one that does not work with it is replaced, or taken out of a list of several."""
    classifier = known_classifier(session, model)
    return gr.Dropdown(method_choices(classifier), value=usable_methods(classifier, chosen))


def model_title(model: str) -> str:
    """The name of a model on the page."""
    return MODELS[model].title if model in MODELS else model


def progress_bar(share: float) -> str:
    """A bar, for the beginning of a status line in Markdown. `share`: in [0, 1], how much is done."""
    return f'<progress max="1" value="{share:.2f}" aria-label="{share:.0%} done"></progress>\n\n'


def picture_strip(pictures: Sequence[tuple[np.ndarray, str]]) -> str:
    """HTML: small pictures, uint8 RGB (H, W, 3), side by side, each with its caption."""
    figures = "".join(
        f'<figure><img src="{data_url(shrink(pixels, STRIP))}" alt=""><figcaption>{escape(caption)}</figcaption></figure>'
        for pixels, caption in pictures
    )
    return f'<div class="picture-strip">{figures}</div>'


def parse_options(text: str) -> dict[str, str]:
    """Options as typed, "name=value name=value". Raises UserError for anything else."""
    words = text.split()
    if not all("=" in word for word in words):
        raise UserError("Write options as name=value, separated by spaces, such as samples=500 cells=8.")
    return dict(word.split("=", 1) for word in words)


def warn(error: Exception) -> str:
    """Show the error as a toast. Returns the text for the status line."""
    gr.Warning(escape(str(error), quote=False), title="")
    return f"⚠️ {plain(str(error))}"
