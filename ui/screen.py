"""The screen in a photograph: shown to the visitor, who can correct its corners or turn it off, before the explanation."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import gradio as gr
import numpy as np

from capture import Quad, Search, quad_from_corners, rectify, search
from capture.detection import SURE
from capture.quad import area
from core.errors import UserError
from core.images import Picture, shrink
from explain import Explanation
from ui.picture_input import MAX_SIDE, read_picture
from ui.runs import INSTANT, NO_PROGRESS, SEARCH_RUN
from ui.session import Session

VIEW = 640  # pixels of the longer side of the photograph, as shown
# A tap selects a corner that is at most this far away, as a share of the width. The second value holds inside another screen.
NEAR, NEAR_IN_OTHER = 0.12, 0.04
LINE, OTHER_LINE, SELECTED = (60, 200, 100), (240, 240, 250), (255, 150, 0)
FOUND = "**A screen was found.** Only its content is explained, as seen from the front."
UNSURE = '**This may be a screen.** Only its content is explained. Is it none? "Use the whole photograph".'
GUESSES = "**Is it one of these?** Tap the screen that you mean. Until then the whole photograph is explained."
CHOSEN = "Only the content of this screen is explained, as seen from the front."
FROZEN = "**Frozen frame.** Only the screen in it is explained, as seen from the front."
HELP = "Wrong corner? Tap near it, then tap its correct position."
ANOTHER = "Another screen? Tap it."
BY_HAND = "Tap near a corner, then tap its correct position."
NOTE = "Only the screen in the photograph is explained, as seen from the front."
AS_IT_IS = "The whole photograph is explained."


@dataclass(frozen=True)
class PreparedPicture(Picture):
    """A picture that is ready to be explained.

    `provenance`: how it was made from the visitor's picture, JSON-ready: whether it was frozen live, the corners of the screen.
    """

    provenance: dict[str, object] = field(default_factory=dict)


@dataclass
class Screen:
    """The last photograph of a visitor, the screens found in it, and the corners in use.

    `size`: height and width of the photograph. `view`: the photograph as shown. `prepared`: the picture to explain, None
    until it is needed. A server keeps both for every visitor, so both are small. `quad`: the corners in use; None means the
    whole photograph. `last`: the corners that the button brings back. `selected`: the index of the corner that was tapped.
    `frozen`: pixels of the last frame frozen from the camera, and the screen tracked in it. `live`: whether the photograph
    is that frame. `searched`: whether `found` belongs to this photograph.
    """

    path: str | None = None
    size: tuple[int, int] = (0, 0)
    view: np.ndarray | None = None
    prepared: PreparedPicture | None = None
    found: Search = field(default_factory=lambda: Search(None))
    quad: Quad | None = None
    last: Quad | None = None
    selected: int | None = None
    note: str = ""
    frozen: tuple[np.ndarray, Quad | None] | None = None
    live: bool = False
    searched: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)
    searching: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self, path: str | None, find: bool = True) -> PreparedPicture:
        """The picture to explain from a photograph. Raises UserError if it cannot be read.

        `find`: search a new photograph for screens first. A frozen frame has a new path too, but its screen is known already.
        The locks matter because two events can prepare different photographs at the same time.
        """
        if find:
            self.find(path)
        with self.lock:
            if self.prepared is None or path != self.path:
                picture = read_picture(path)
                if path != self.path:
                    self._take(path, picture.pixels)
                self.prepared = _prepare(picture, self.quad, self.live)
            return self.prepared

    def find(self, path: str | None) -> bool:
        """Search the photograph for screens, unless that is done. Returns whether a screen is in use now that was not before.

        An explanation does not wait for the search. Raises UserError if the photograph cannot be read.
        """
        with self.searching:
            with self.lock:
                if path == self.path and self.searched:
                    return False
            pixels = read_picture(path).pixels
            with self.lock:
                if path != self.path:
                    self._take(path, pixels)
                    if self.searched:
                        return False
            found = search(pixels)
            with self.lock:
                if path != self.path or self.searched:  # meanwhile another photograph came
                    return False
                self.searched, self.found = True, found
                if self.found.quad is None or self.quad is not None:
                    return False
                self.use(self.found.quad, self.describe_found())
                return True

    def _take(self, path: str | None, pixels: np.ndarray) -> None:
        """Forget the screens of the last photograph. `pixels`: of the new one, uint8 RGB (H, W, 3)."""
        frozen = self.frozen
        self.live = frozen is not None and np.array_equal(frozen[0], pixels)
        self.path, self.searched = path, self.live
        self.found = Search(frozen[1]) if self.live and frozen else Search(None)
        self.size, self.view, self.last = (pixels.shape[0], pixels.shape[1]), shrink(pixels, VIEW), None
        self.use(self.found.quad, self.describe_found())

    def describe_found(self) -> str:
        """The note on the screen that was found, or on those that may be one."""
        if self.found.quad is None:
            return GUESSES
        found = FOUND if self.found.quad.confidence >= SURE else UNSURE
        return " ".join([FROZEN if self.live else found, HELP, *([ANOTHER] if self.found.others else [])])

    def use(self, quad: Quad | None, note: str = "") -> None:
        """Use these corners, or with None the whole photograph."""
        with self.lock:
            self.last, self.quad, self.selected, self.note, self.prepared = quad or self.last, quad, None, note, None


def _prepare(picture: Picture, quad: Quad | None, live: bool) -> PreparedPicture:
    """The rectified screen, or the whole photograph; at most MAX_SIDE pixels on the longer side."""
    provenance: dict[str, object] = {"frozen_live": True} if live else {}
    if quad is None:
        return PreparedPicture(shrink(picture.pixels, MAX_SIDE), picture.notes, provenance)
    provenance["screen"] = quad.to_dict(picture.pixels.shape[:2])
    return PreparedPicture(
        shrink(rectify(picture.pixels, quad), MAX_SIDE), (*picture.notes, NOTE), provenance
    )  # fmt: skip


def prepare_picture(session: Session, path: str | None) -> PreparedPicture:
    """The picture to explain from the file behind an input. Raises UserError if there is none."""
    return session.state(Screen).prepare(path)


def picture_so_far(session: Session, path: str | None) -> PreparedPicture:
    """As `prepare_picture`, but without a search: a new photograph is explained as a whole until its screen is found."""
    return session.state(Screen).prepare(path, find=False)


def is_prepared(session: Session, path: str | None, pixels: np.ndarray | None) -> bool:
    """Whether these pixels are what is explained of a file now: no other corners are in use."""
    screen = session.state(Screen)
    prepared = screen.prepared
    return screen.path == path and prepared is not None and prepared.pixels is pixels


def add_provenance(explanation: Explanation, picture: PreparedPicture) -> Explanation:
    """The explanation of a prepared picture, with the picture's provenance among its parameters."""
    return replace(explanation, parameters={**explanation.parameters, **picture.provenance})


def build(session: gr.State, picture: Any) -> tuple[gr.State, Callable[[Any], None]]:
    """Lay out the display of the screen and bind its events. `picture`: the input with the photograph.

    Returns:
        A state that changes when other corners are in use, and a function that searches a new photograph and updates the
        display after an event. The function takes the event's listener, such as `picture.input`.
    """
    with gr.Column(visible=False, elem_id="screen") as box:
        note = gr.Markdown(elem_id="screen-note")
        shown: dict[str, Any] = {
            "interactive": False, "show_label": False, "buttons": [], "format": "jpeg", "height": 180
        }  # fmt: skip
        with gr.Row():
            photograph = gr.Image(
                elem_id="screen-photo",
                min_width=260,
                alt_text="The photograph, with the corners of the screen",
                **shown,
            )
            rectified = gr.Image(
                elem_id="screen-upright", min_width=150, alt_text="The picture that is explained", **shown
            )
        toggle = gr.Button("", size="sm", elem_id="screen-toggle")
    mark = gr.Button("Mark the corners of a screen", size="sm", visible=False, elem_id="screen-mark")
    changed = gr.State(0)
    outputs = [box, note, photograph, rectified, toggle, mark]

    def update_after(event: Any) -> None:
        event(render_display, [session, picture], outputs, **INSTANT)

    def find_after(event: Any) -> None:
        event(find_screen, [session, picture, changed], [changed, *outputs], **SEARCH_RUN)

    update_after(photograph.select(handle_tap, [session, changed], changed, **NO_PROGRESS).then)
    update_after(toggle.click(toggle_screen, [session, changed], changed, **NO_PROGRESS).then)
    update_after(mark.click(mark_by_hand, [session, changed], changed, **NO_PROGRESS).then)
    return changed, find_after


def find_screen(session: Session, path: str | None, count: int) -> tuple[Any, ...]:
    """Search a new photograph, and show its screen. The first value is `count` + 1 if a screen is in use now."""
    found = False
    with contextlib.suppress(UserError):  # the explanation reports it
        found = path is not None and session.state(Screen).find(path)
    return count + 1 if found else gr.skip(), *render_display(session, path)


def render_display(session: Session, path: str | None) -> tuple[Any, ...]:
    """The display for the current corners: its box, note, both pictures and both buttons."""
    screen = session.state(Screen)
    hidden = gr.Column(visible=False), "", None, None, gr.skip(), gr.Button(visible=False)
    if path is None:
        return hidden
    with screen.lock:
        try:
            picture = screen.prepare(path, find=False)
        except UserError:  # the explanation reports it
            return hidden
        if screen.last is None and screen.view is not None and screen.found.guesses:
            guesses = draw_outlines(screen.view, screen.size, None, screen.found.guesses, None)
            return (
                gr.Column(visible=True), screen.note, guesses, shrink(picture.pixels, VIEW), gr.Button(visible=False),
                gr.Button(visible=True),
            )  # fmt: skip
        if screen.last is None or screen.view is None:
            return *hidden[:-1], gr.Button(visible=True)
        outline = draw_outlines(
            screen.view, screen.size, screen.quad or screen.last, screen.found.others, screen.selected
        )
        text = "Use the whole photograph" if screen.quad else "Use the screen only"
        return (
            gr.Column(visible=True), screen.note, outline, shrink(picture.pixels, VIEW), gr.Button(text, visible=True),
            gr.Button(visible=False),
        )  # fmt: skip


def draw_outlines(
    view: np.ndarray, size: tuple[int, int], quad: Quad | None, others: tuple[Quad, ...], selected: int | None
) -> np.ndarray:
    """Draw the outlines of the screens on a photograph.

    Args:
        view: the photograph as shown, uint8 RGB.
        size: height and width of the photograph itself. The corners of the quads are in its pixels.
        quad: the screen in use; its corners are drawn too. None if there is none yet.
        others: other screens.
        selected: the index of the corner that was tapped.

    Returns:
        A copy of `view` with the outlines.
    """
    result = view.copy()
    scale = view.shape[1] / size[1]

    def draw_outline(corners: np.ndarray, colour: tuple[int, int, int]) -> None:
        points = np.rint(corners * (16 * scale)).astype(np.int32)
        cv2.polylines(result, [points], True, colour, 3, cv2.LINE_AA, shift=4)

    for other in others:
        draw_outline(other.corners, OTHER_LINE)
    if quad is None:
        return result
    draw_outline(quad.corners, LINE)
    for index, corner in enumerate(quad.corners * scale):
        centre = tuple(int(value) for value in np.rint(corner))
        cv2.circle(result, centre, 9, SELECTED if index == selected else LINE, -1, cv2.LINE_AA)
    return result


def handle_tap(session: Session, count: int, event: gr.SelectData) -> Any:
    """Select the corner near the tap, move the selected corner to the tap, or use another screen that was tapped.

    Returns `count` + 1 if other corners are in use now.
    """
    screen = session.state(Screen)
    quad = screen.quad or screen.last
    if screen.view is None:
        return gr.skip()
    point = np.array(event.index, float) * (screen.size[1] / screen.view.shape[1])
    if quad is None:
        meant = [guess for guess in screen.found.guesses if _contains(guess, point)]
        if not meant:
            return gr.skip()
        screen.use(
            min(meant, key=lambda guess: float(area(guess.corners))), f"{CHOSEN} {HELP}"
        )  # one may lie in another
        return count + 1
    if screen.selected is not None:
        corners = quad.corners.copy()
        corners[screen.selected] = point
        try:
            screen.use(quad_from_corners(corners, screen.size), f"The corner was moved. {BY_HAND}")
        except ValueError as error:
            screen.selected, screen.note = None, f"⚠️ {error}"
            return gr.skip()
        return count + 1
    distances = np.linalg.norm(quad.corners - point, axis=1)
    tapped = next((other for other in screen.found.others if _contains(other, point)), None)
    if distances.min() <= (NEAR if tapped is None else NEAR_IN_OTHER) * screen.size[1]:
        screen.selected, screen.note = int(distances.argmin()), "Now tap the correct position of this corner."
    elif tapped is not None:
        others = (*(other for other in screen.found.others if other is not tapped), quad)
        screen.found = replace(screen.found, others=others)
        screen.use(tapped, f"The other screen is explained. {HELP} {ANOTHER}")
        return count + 1
    else:
        screen.note = BY_HAND
    return gr.skip()


def _contains(quad: Quad, point: np.ndarray) -> bool:
    return cv2.pointPolygonTest(quad.corners.astype(np.float32), (float(point[0]), float(point[1])), False) >= 0


def toggle_screen(session: Session, count: int) -> int:
    """Switch between the screen and the whole photograph. Returns `count` + 1."""
    screen = session.state(Screen)
    if screen.quad:
        screen.use(None, AS_IT_IS)
    else:
        screen.use(screen.last, screen.describe_found() if screen.last is screen.found.quad else BY_HAND)
    return count + 1


def mark_by_hand(session: Session, count: int) -> int:
    """Put corners on a photograph without a screen; the visitor then moves them. Returns `count` + 1."""
    screen = session.state(Screen)
    if screen.view is not None:
        height, width = screen.size
        corners = [(x * width, y * height) for x, y in ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9))]
        screen.use(quad_from_corners(corners, (height, width)), BY_HAND)
    return count + 1
