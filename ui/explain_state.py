"""What the Explain tab keeps for a visitor, and how its viewer and its list of classes show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from explain import Explanation
from models import Classifier
from ui.explain_links import sample_name
from ui.explain_texts import describe_map
from ui.runs import Runs
from ui.viewer import encode_classes, encode_small_map, encode_view

EXAMPLE_NOTE = "Example"


@dataclass
class ExplainState:
    """What this tab shows a visitor: the file of the picture, its pixels, its explanation, and by which classifier.

    `example`: the file that is explained while the visitor has no picture of their own. `maps`: of classes, by label, as
    `encode_small_map` gives them, for the settings `maps_of`. `unchecked`: the number of the run whose map has no proof yet,
    or 0. `sent`: the pixels that the viewer has. `view`: how the viewer shows the map at first. `answered`: what the
    visitor asked for in the last run that ended by itself.
    """

    runs: Runs = field(default_factory=Runs)
    path: str | None = None
    pixels: np.ndarray | None = None
    explanation: Explanation | None = None
    classifier: Classifier | None = None
    example: str | None = None
    maps: dict[str, str] = field(default_factory=dict)
    maps_of: tuple[Any, ...] = ()
    unchecked: int = 0
    sent: np.ndarray | None = None
    view: str = ""
    answered: tuple[Any, ...] = ()

    def clear(self) -> None:
        """Forget the picture and its explanation."""
        self.path = self.pixels = self.explanation = self.classifier = self.sent = None
        self.answered = ()


def keep_map(state: ExplainState, settings: tuple[Any, ...]) -> None:
    """Keep the map of the explained class for the list; maps of another picture or of other settings are forgotten."""
    explanation, key = state.explanation, (id(state.pixels), *map(str, settings))
    assert explanation is not None
    if key != state.maps_of:
        state.maps, state.maps_of = {}, key
    if explanation.against is None:
        state.maps[explanation.label] = encode_small_map(explanation.heatmap)


def render_classes(state: ExplainState) -> dict[str, Any]:
    """The value of the list of classes."""
    explanation = state.explanation
    assert explanation is not None
    assert state.pixels is not None
    against = None if explanation.against is None else explanation.against.label
    return encode_classes(state.pixels, explanation.top, explanation.label, against, state.maps)


def render_view(state: ExplainState) -> dict[str, Any]:
    """The value of the viewer. The picture is sent only if the viewer has another one."""
    explanation, pixels = state.explanation, state.pixels
    assert explanation is not None
    assert pixels is not None
    signed = explanation.signed is not None
    values = explanation.signed if explanation.signed is not None else explanation.heatmap
    known, state.sent = state.sent is pixels, pixels
    return encode_view(
        None if known else pixels, values, describe_map(explanation), signed=signed, label=explanation.label,
        against=explanation.against.label if explanation.against else "", view=state.view, sample=sample_name(state.path),
        badge=EXAMPLE_NOTE if state.path == state.example else "", name=f"{Path(state.path or '').stem}.{explanation.method}",
    )  # fmt: skip
