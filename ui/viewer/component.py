"""The two components of the viewer, and the values that the server sends them: pictures as JPEG, maps as grey PNG.

A map travels once, as 8-bit grey levels of at most MAP pixels. `viewer.js` colours and blends it, `classes.js` draws the list
of classes. Both are in the head of the page, so they are sent once for all components.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np

from core.html import data_url
from core.images import shrink
from explain.render import COLORMAPS, colours
from models.classifier import Prediction

FOLDER = Path(__file__).parent
VIEW, MAP = 960, 480  # pixels of the longer side: of the picture and of the map
THUMBNAIL = 176  # pixels of the longer side of the pictures in the list of classes
VIEWER_CSS = (FOLDER / "viewer.css").read_text(encoding="utf-8")


def _head() -> str:
    """The scripts of the viewer, with the tables of the colour maps."""
    levels = np.linspace(0, 1, 256)[None]
    tables = {name: base64.b64encode(colours(levels, name)[0].tobytes()).decode() for name in COLORMAPS}
    scripts = [(FOLDER / name).read_text(encoding="utf-8") for name in ("viewer.js", "classes.js")]
    return "".join(
        f"<script>{script}</script>" for script in (f"window.viewerColours = {json.dumps(tables)};", *scripts)
    )


HEAD = _head()
"""For the head of the page."""


def viewer(elem_id: str, **options: Any) -> gr.HTML:
    """A viewer. Its value is what `encode_view` gives, or None. `options`: those of gr.HTML."""
    return gr.HTML(
        None, elem_id=elem_id, html_template='<div class="viewer" hidden></div>', apply_default_css=False,
        js_on_load="window.attachViewer(element, props, watch);", **options,
    )  # fmt: skip


def class_list(elem_id: str, **options: Any) -> gr.HTML:
    """The predicted classes, each with a small map; its value is what `encode_classes` gives, or None.

    A click fires the event `select`. Its data: `label`, and `role`, "target" or "against". `options`: those of gr.HTML.
    """
    return gr.HTML(
        None, elem_id=elem_id, html_template='<ol class="classes"></ol>', apply_default_css=False,
        js_on_load="window.attachClasses(element, props, trigger, watch);", **options,
    )  # fmt: skip


def encode_view(
    pixels: np.ndarray | None, values: np.ndarray, text: str, *, signed: bool = False, **facts: Any
) -> dict[str, Any]:
    """The value of a viewer.

    Args:
        pixels: the picture, uint8 RGB (H, W, 3); None keeps the picture that the viewer has.
        values: the map (h, w) of this picture in [0, 1], or in [-1, 1] if it is signed.
        text: a sentence that says what the map shows, for people who do not see it.
        signed: whether the map has two signs.
        facts: more to keep with the view, JSON-ready, such as `sample` and `view`.
    """
    maps = (np.maximum(values, 0), np.maximum(-values, 0)) if signed else (values,)
    return {
        "picture": "" if pixels is None else data_url(shrink(pixels, VIEW), quality=88),
        "maps": [encode_map(part) for part in maps],
        "text": text,
        **facts,
    }


def encode_map(values: np.ndarray, side: int = MAP) -> str:
    """A map (h, w) in [0, 1] as a `data:` URL with a grey PNG of at most `side` pixels on the longer side."""
    scale = min(1.0, side / max(values.shape))
    if scale < 1:
        height, width = (max(1, round(length * scale)) for length in values.shape)
        values = cv2.resize(np.asarray(values, np.float32), (width, height), interpolation=cv2.INTER_AREA)
    levels = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    content = cv2.imencode(".png", levels, [cv2.IMWRITE_PNG_COMPRESSION, 4])[1].tobytes()
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def encode_small_map(values: np.ndarray) -> str:
    """A map (h, w) in [0, 1] for the list of classes, as `encode_map` gives it."""
    return encode_map(values, THUMBNAIL)


def encode_classes(
    pixels: np.ndarray, top: Sequence[Prediction], target: str, against: str | None, maps: Mapping[str, str]
) -> dict[str, Any]:
    """The value of a list of classes.

    Args:
        pixels: the picture, uint8 RGB (H, W, 3).
        top: the classes, most probable first.
        target: the label of the class that is explained.
        against: the label of the class that it is compared with, if any.
        maps: for some of the labels, the map, as `encode_small_map` gives it.
    """
    rows = [
        {
            "label": prediction.label,
            "probability": prediction.probability,
            "map": maps.get(prediction.label, ""),
        }
        for prediction in top
    ]
    return {"picture": data_url(shrink(pixels, THUMBNAIL)), "classes": rows, "target": target, "against": against or ""}
