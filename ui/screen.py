"""The screen in a photograph: shown, corrected by hand, or passed over, before anything is explained."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import gradio as gr
import numpy as np

from capture import Quad, Search, facts, quad_of, rectify, search
from explain import Explanation
from models import UserError
from models.picture import Picture
from ui.session import QUIET, SIDE, Session, photograph, within

VIEW = 640  # pixels of the longer side of the photograph as shown
NEAR, AT = 0.12, 0.04  # of its width: a tap so near to a corner takes hold of it; inside another thumbnail so near
LINE, OTHER, HELD = (60, 200, 100), (240, 240, 250), (255, 150, 0)
FOUND = "**A screen was found**, and what it shows is explained, upright."
FROZEN = "**Frozen live.** What the screen in the frame shows is explained, upright."
HELP = "Wrong corner? Tap near it, then where it belongs."
ANOTHER = "Is another one meant? Tap it."
BY_HAND = "Tap near a corner, then where it belongs."
NOTE = "The screen in the photograph is looked at, upright."
PASSED = "The photograph is explained as it is, with all that is around the screen."


@dataclass(frozen=True)
class Seen(Picture):
    """`done`: how it was made of what the visitor gave, as JSON allows it: frozen live, the corners of the screen in it."""

    done: dict[str, object] = field(default_factory=dict)


@dataclass
class Screen:
    """The photograph that a visitor gave last, what was found in it, and which corners count.

    `size`: its height and width. `view`: the photograph as shown, and `seen`: what is to be explained of it, None until it is
    asked for; both small, as a server keeps them for every visitor. `quad` None: the photograph as it is. `last`: what one
    click brings back. `held`: the corner that was tapped. `frozen`: the pixels of the frame that was taken from the camera's
    stream last, and the screen that was tracked in it. `live`: whether the photograph is that frame.
    """

    path: str | None = None
    size: tuple[int, int] = (0, 0)
    view: np.ndarray | None = None
    seen: Seen | None = None
    found: Search = field(default_factory=lambda: Search(None))
    quad: Quad | None = None
    last: Quad | None = None
    held: int | None = None
    note: str = ""
    frozen: tuple[np.ndarray, Quad | None] | None = None
    live: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def look(self, path: str | None) -> Seen:
        """What is to be explained of a photograph, which is searched unless it is the one looked at last; another event may
        look at another one right afterwards. Raises UserError.

        A frame that was frozen comes back under another path; it is not searched again.
        """
        with self.lock:
            if self.seen is None or path != self.path:
                picture = photograph(path)
                if path != self.path:
                    self.open(picture.pixels)
                    self.path = path
                self.seen = prepared(picture, self.quad, self.live)
            return self.seen

    def open(self, pixels: np.ndarray) -> None:
        """Search another photograph, uint8 RGB (H, W, 3); what counted in the one before is forgotten."""
        frozen = self.frozen
        self.live = frozen is not None and np.array_equal(frozen[0], pixels)
        self.found = Search(frozen[1]) if self.live and frozen else search(pixels)
        self.size, self.view, self.last = (pixels.shape[0], pixels.shape[1]), within(pixels, VIEW), None
        self.use(self.found.quad, self.words())

    def words(self) -> str:
        """What to say where what was found counts."""
        words = [FROZEN if self.live else FOUND, HELP, *([ANOTHER] if self.found.others else [])]
        return " ".join(words)

    def use(self, quad: Quad | None, note: str = "") -> None:
        """Take these corners, or the photograph as it is."""
        with self.lock:
            self.last, self.quad, self.held, self.note, self.seen = quad or self.last, quad, None, note, None


def prepared(picture: Picture, quad: Quad | None, live: bool) -> Seen:
    """The screen in a photograph, or all of it; at most SIDE pixels on its longer side."""
    done: dict[str, object] = {"frozen_live": True} if live else {}
    if quad is None:
        return Seen(within(picture.pixels, SIDE), picture.notes, done)
    done["screen"] = facts(quad, picture.pixels.shape[:2])
    return Seen(within(rectify(picture.pixels, quad), SIDE), (*picture.notes, NOTE), done)


def seen(session: Session, path: str | None) -> Seen:
    """What is to be explained of the picture behind a path. Raises UserError."""
    return session.of(Screen).look(path)


def recorded(found: Explanation, picture: Seen) -> Explanation:
    """The explanation of such a picture, with how it was made among its parameters."""
    return replace(found, parameters={**found.parameters, **picture.done})


def build(session: gr.State, picture: Any) -> tuple[gr.State, Callable[[Any], None]]:
    """Lay out what shows the screen, and bind its events.

    Returns a state that changes when other corners are to be explained, and what binds the display to an event after
    which there may be another picture.
    """
    with gr.Column(visible=False, elem_id="screen") as box:
        note = gr.Markdown(elem_id="screen-note")
        with gr.Row():
            photograph = gr.Image(
                interactive=False, show_label=False, elem_id="screen-photo", buttons=[], format="jpeg", min_width=260,
                height=180, alt_text="The photograph, with the corners of the screen",
            )  # fmt: skip
            upright = gr.Image(
                interactive=False, show_label=False, elem_id="screen-upright", buttons=[], format="jpeg", min_width=150,
                height=180, alt_text="What is explained",
            )  # fmt: skip
        toggle = gr.Button("", size="sm", elem_id="screen-toggle")
    mark = gr.Button("Is there a screen in it? Mark its corners", size="sm", visible=False, elem_id="screen-mark")
    changed = gr.State(0)
    outputs = [box, note, photograph, upright, toggle, mark]
    quick = {"queue": False, **QUIET}

    def shows(event: Any) -> None:
        event(show, [session, picture], outputs, **quick)

    shows(photograph.select(tap, [session, changed], changed, **QUIET).then)
    shows(toggle.click(switch, [session, changed], changed, **QUIET).then)
    shows(mark.click(begin, [session, changed], changed, **QUIET).then)
    return changed, shows


def show(session: Session, path: str | None) -> tuple[Any, ...]:
    """The display as it should be now."""
    screen = session.of(Screen)
    hidden = gr.Column(visible=False), "", None, None, gr.skip(), gr.Button(visible=False)
    if path is None:
        return hidden
    with screen.lock:
        try:
            picture = screen.look(path)
        except UserError:  # the run says so
            return hidden
        if screen.last is None or screen.view is None:
            return *hidden[:-1], gr.Button(visible=True)
        drawn = draw(screen.view, screen.size, screen.quad or screen.last, screen.found.others, screen.held)
        words = "Use the photograph as it is" if screen.quad else "Use the screen in it"
        return (
            gr.Column(visible=True), screen.note, drawn, within(picture.pixels, VIEW), gr.Button(words),
            gr.Button(visible=False),
        )  # fmt: skip


def draw(view: np.ndarray, size: tuple[int, int], quad: Quad, others: tuple[Quad, ...], held: int | None) -> np.ndarray:
    """The photograph of that size (H, W) as it is shown, with the outline and its corners."""
    result = view.copy()
    scale = view.shape[1] / size[1]

    def outline(corners: np.ndarray, colour: tuple[int, int, int], thick: int) -> None:
        points = np.rint(corners * (16 * scale)).astype(np.int32)
        cv2.polylines(result, [points], True, colour, thick, cv2.LINE_AA, shift=4)

    for other in others:
        outline(other.corners, OTHER, 3)
    outline(quad.corners, LINE, 3)
    for index, corner in enumerate(quad.corners * scale):
        centre = tuple(int(v) for v in np.rint(corner))
        cv2.circle(result, centre, 9, HELD if index == held else LINE, -1, cv2.LINE_AA)
    return result


def tap(session: Session, count: int, event: gr.SelectData) -> Any:
    """Take hold of the corner near a tap, put the one held where the tap is, or take another screen that was tapped."""
    screen = session.of(Screen)
    quad = screen.quad or screen.last
    if quad is None or screen.view is None:
        return gr.skip()
    place = np.array(event.index, float) * (screen.size[1] / screen.view.shape[1])
    if screen.held is not None:
        corners = quad.corners.copy()
        corners[screen.held] = place
        try:
            screen.use(quad_of(corners, screen.size), f"The corner was moved. {BY_HAND}")
        except ValueError as error:
            screen.held, screen.note = None, f"⚠️ {error}"
            return gr.skip()
        return count + 1
    away = np.linalg.norm(quad.corners - place, axis=1)
    other = next((each for each in screen.found.others if _inside(each, place)), None)
    if away.min() <= (NEAR if other is None else AT) * screen.size[1]:
        screen.held, screen.note = int(away.argmin()), "Now tap where this corner belongs."
    elif other is not None:
        screen.found = replace(
            screen.found, others=(*(each for each in screen.found.others if each is not other), quad)
        )
        screen.use(other, f"The other one is explained. {HELP} {ANOTHER}")
        return count + 1
    else:
        screen.note = BY_HAND
    return gr.skip()


def _inside(quad: Quad, place: np.ndarray) -> bool:
    return cv2.pointPolygonTest(quad.corners.astype(np.float32), (float(place[0]), float(place[1])), False) >= 0


def switch(session: Session, count: int) -> int:
    """From the screen to the photograph as it is, or back."""
    screen = session.of(Screen)
    found = screen.words() if screen.last is screen.found.quad else BY_HAND
    screen.use(*((None, PASSED) if screen.quad else (screen.last, found)))
    return count + 1


def begin(session: Session, count: int) -> int:
    """Corners to be moved by hand where nothing was found."""
    screen = session.of(Screen)
    if screen.view is not None:
        height, width = screen.size
        inset = [(x * width, y * height) for x, y in ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9))]
        screen.use(quad_of(inset, (height, width)), BY_HAND)
    return count + 1
