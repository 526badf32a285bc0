"""The public API of the page: `predict` and `explain`, for gradio_client and plain HTTP."""

from __future__ import annotations

from typing import Any

import gradio as gr
import numpy as np

from core.errors import UserError
from core.iterate import last_of
from core.stopping import Stopped
from explain.api import ExplainSettings
from explain.render import COLORMAPS, overlay
from models import DEFAULT, load
from models.shared_engine import share_passes
from ui import explainers
from ui.picture_input import read_small_picture
from ui.runs import MODEL_QUEUE

OPACITY = 0.6


def add_endpoints(picture: Any, model: Any, method: Any) -> None:
    """Add both endpoints. Their parameters take the types and choices of these components of the Explain tab."""
    colormap = gr.Dropdown(list(COLORMAPS), value=COLORMAPS[0], visible=False, label="colormap")
    opacity = gr.Slider(0, 1, OPACITY, step=0.05, visible=False, label="opacity")
    target = gr.Textbox("", visible=False, label="target")
    probabilities = gr.Label(visible=False, label="probabilities")
    heatmap, facts = gr.Image(visible=False, format="png", label="overlay"), gr.JSON(visible=False, label="facts")
    gr.Button(visible=False).click(predict, [picture, model], probabilities, api_name="predict", **MODEL_QUEUE)
    inputs = [picture, model, method, target, colormap, opacity]
    gr.Button(visible=False).click(explain_upload, inputs, [heatmap, facts], api_name="explain", **MODEL_QUEUE)


def predict(image: str, model: str = DEFAULT) -> dict[str, float]:
    """The five most probable classes of a picture, with their probabilities."""
    try:
        return {p.label: p.probability for p in share_passes(load(model)).predict(read_small_picture(image).pixels)}
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error


def explain_upload(
    image: str,
    model: str = DEFAULT,
    method: str = "grad-cam",
    target: str = "",
    colormap: str = COLORMAPS[0],
    opacity: float = OPACITY,
) -> tuple[np.ndarray, dict[str, Any]]:
    """The overlay of an explanation and its facts: target class, top five, seconds, passes, parameters.

    Args:
        image: the file with the picture.
        model: name of a model.
        method: name of an explanation method.
        target: label of the target class, in upper or lower case; empty for the predicted class.
        colormap: name of a colour map.
        opacity: of the heatmap over the picture, in [0, 1].
    """
    try:
        picture = read_small_picture(image)
        settings = ExplainSettings(method, target or None)
        explanation = last_of(explainers.stream(settings, picture, load(model), lambda: False))
    except Stopped as stop:
        raise gr.Error(f"{stop} Choose a faster method.", print_exception=False) from None
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error
    return overlay(picture.pixels, explanation.heatmap, colormap, opacity), explanation.to_dict()
