"""The Live tab: what the camera sees, what the classifier sees in it, and where, frame after frame."""

from __future__ import annotations

import base64
import html
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import cv2
import gradio as gr
import numpy as np

from capture import Quad, rectify, search
from capture.rectify import homography
from capture.track import MOVES, Track, shift
from explain import METHODS, explain
from explain.render import overlay
from models import DEFAULT, MODELS, UserError, load
from models.picture import Picture, read
from ui.screen import Screen
from ui.session import QUIET, SHARED, Session, within

EVERY = 0.06  # seconds between the frames a browser sends; one that comes while another is worked on replaces the waiting one
TURN = 60  # seconds after which a viewer queues again, so that everybody gets a turn
VIEWERS = 8  # at once; one who has gone to another tab keeps a place until the turn ends, and costs nothing
LOOK = 2  # while a screen is tracked it is searched for in every second frame
FAST, SLOWER = 0.06, 2  # seconds that a method may take for a frame, and times of Grad-CAM's where all is slow
FRAME = 960  # pixels of the longer side at which a frame is searched
VIEW = 640  # and shown
QUICK = "grad-cam"
SMOOTHING = 0.35  # weight of the newest frame in the probabilities shown
CONFIDENT, DOUBTFUL = 0.30, 0.20  # the probability from which a class is named, and under which it no longer is
BARS = 4
PAUSE = 5.0  # seconds without a frame after which what was seen before counts no more
EMPTY = "Allow the camera and point it at a thumbnail on a screen, or at anything else."
UNSURE = "Nothing confident in view. Move closer, or hold the camera steadier."
UNKNOWN = (
    "Nothing confident in view: the model is not sure what the screen shows. Freeze it to see what it takes it for."
)
CONSTRAINTS = {"video": {"facingMode": "environment", "width": {"ideal": 960}, "height": {"ideal": 540}}}


@dataclass
class Live:
    """What the tab remembers of one visitor's stream: the screen, the smoothed probabilities, and `last`, the frame shown last
    with where the screen was thought to be in it.

    `model`: whose probabilities they are. `frozen` counts the frames kept, `looks` those in which a screen was tracked.
    """

    track: Track = field(default_factory=Track)
    last: tuple[np.ndarray, Quad | None] | None = None
    model: str = ""
    shares: dict[str, float] = field(default_factory=dict)
    named: bool = False
    times: deque[float] = field(default_factory=lambda: deque(maxlen=12))
    frozen: Iterator[int] = field(default_factory=itertools.count)
    looks: Iterator[int] = field(default_factory=itertools.count)
    hidden: bool = False

    def begin(self, model: str) -> None:
        """Forget what no longer counts before the next frame: another model's probabilities, and all after a pause."""
        paused = bool(self.times) and time.monotonic() - self.times[-1] > PAUSE
        if paused:
            self.track = Track()
            self.times.clear()
        if paused or model != self.model:
            self.model, self.shares, self.named = model, {}, False


class Turns:
    """A lock that is handed on in the order in which it was asked for, so that no viewer's frames crowd out another's."""

    def __init__(self) -> None:
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for those who came before."""
        mine = threading.Event()
        with self._lock:
            self._waiting.append(mine)
            if len(self._waiting) == 1:
                mine.set()
        mine.wait()
        try:
            yield
        finally:
            with self._lock:
                self._waiting.popleft()
                if self._waiting:
                    self._waiting[0].set()


TURNS = Turns()
_MEASURING = threading.Lock()


def build(session: gr.State, tab: gr.Tab, tabs: gr.Tabs, open_in_explain: Callable[[Any], None]) -> None:
    """Lay the tab out inside its context and bind its events. `open_in_explain`: what the Explain tab's `build` returns."""
    with gr.Row():
        with gr.Column(scale=4, min_width=320):
            camera = gr.Image(
                sources=["webcam"],
                streaming=True,
                type="numpy",
                label="Camera",
                elem_id="camera",
                height=300,
                webcam_options=gr.WebcamOptions(mirror=False, constraints=CONSTRAINTS),
            )
            gr.HTML("", elem_classes="camera-hint")
            freeze = gr.Button("Freeze and explain", variant="primary", elem_id="freeze", interactive=False)
        with gr.Column(scale=6, min_width=320):
            view = gr.HTML(page(None, EMPTY, {}), elem_id="live-view", padding=False)
            with gr.Row():
                model = gr.Dropdown(
                    models(Session()), value=DEFAULT, label="Model", elem_id="live-model", min_width=200
                )
                method = gr.Dropdown(
                    [(METHODS[QUICK].title, QUICK)], value=QUICK, label="Method", elem_id="live-method",
                    min_width=200,
                )  # fmt: skip
            tracking = gr.Checkbox(
                True, label="Find the screen", info="Looks at the thumbnail only, upright", elem_id="live-tracking"
            )
    state = [session, camera, model, method, tracking]
    camera.stream(
        look, state, [view, freeze], stream_every=EVERY, time_limit=TURN, concurrency_id="live",
        concurrency_limit=VIEWERS, **QUIET,
    )  # fmt: skip
    open_in_explain(freeze.click(keep, session, None, queue=False, **QUIET).success)
    tab.select(choices, [session, model, method], [model, method], **QUIET, **SHARED)
    tabs.select(show_or_hide, session, None, queue=False, **QUIET)


def look(session: Session, frame: np.ndarray | None, model: str, method: str, tracking: bool) -> tuple[Any, Any]:
    """One frame in, one view out."""
    live = session.of(Live)
    if frame is None or live.hidden:
        return gr.skip(), gr.skip()
    first = live.last is None
    with TURNS.turn():
        try:
            shown = see(session, live, frame, model, method, tracking)
            return shown, gr.Button(interactive=True) if first else gr.skip()
        except UserError as error:
            return page(None, f"⚠️ {error}", {}), gr.skip()


def see(session: Session, live: Live, frame: np.ndarray, model: str, method: str, tracking: bool) -> str:
    """The frame with its heatmap, the screen's outline and the smoothed probabilities, as HTML."""
    pixels = within(read(frame).pixels, FRAME)
    live.begin(model)
    if not tracking:
        live.track = Track()
    elif live.track.quad is None or next(live.looks) % LOOK == 0:
        live.track = live.track.follow(search(pixels).quad)
    quad = live.track.quad
    picture = pixels if quad is None else rectify(pixels, quad, fringes=True)
    classifier = session.classifier(model)
    leader = max(live.shares, key=live.shares.__getitem__, default=None)
    target = leader if live.named and leader in classifier.labels else None
    found = explain(Picture(within(picture, VIEW)), classifier, method, target)
    live.shares = smooth(live.shares, {p.label: p.probability for p in found.top})
    best = max(live.shares.values())
    live.named = best >= (DOUBTFUL if live.named else CONFIDENT)
    live.times.append(time.monotonic())
    live.last = pixels, quad
    shown = draw(pixels, found.heatmap if live.named else None, quad)
    return page(shown, summary(live), live.shares if live.named else {})


def smooth(shares: dict[str, float], seen: dict[str, float]) -> dict[str, float]:
    """Probabilities after one more frame; classes that have all but gone are forgotten. A first frame counts in full."""
    if not shares:
        return dict(seen)
    mixed = {
        label: (1 - SMOOTHING) * shares.get(label, 0.0) + SMOOTHING * seen.get(label, 0.0)
        for label in {**shares, **seen}
    }
    return {label: share for label, share in mixed.items() if share > 0.01} or dict(seen)


def draw(frame: np.ndarray, heatmap: np.ndarray | None, quad: Quad | None) -> np.ndarray:
    """The frame at the size it is shown, under the heatmap where that belongs, and with the screen's outline."""
    small = within(frame, VIEW)
    if quad is None:
        return small if heatmap is None else overlay(small, cv2.resize(heatmap, small.shape[1::-1]))
    corners = quad.corners * (small.shape[1] / frame.shape[1])
    result = small.copy()
    if heatmap is not None:
        back = np.linalg.inv(homography(corners, heatmap.shape))
        placed = cv2.warpPerspective(heatmap, back, small.shape[1::-1])
        inside = np.zeros(small.shape[:2], np.uint8)
        cv2.fillConvexPoly(inside, np.rint(corners).astype(np.int32), 1)
        cv2.copyTo(overlay(small, placed), inside, result)
    cv2.polylines(result, [np.rint(corners * 16).astype(np.int32)], True, (80, 220, 120), 2, cv2.LINE_AA, shift=4)
    return result


def summary(live: Live) -> str:
    """A line on what is seen, and how quickly."""
    rate = (len(live.times) - 1) / max(live.times[-1] - live.times[0], 1e-6) if len(live.times) > 1 else 0.0
    where, doubt = ("Whole frame", UNSURE) if live.track.quad is None else ("Screen found", UNKNOWN)
    speed = f", {rate:.0f} frames a second" if rate else ""
    return f"{where}{speed}." + ("" if live.named else f" {doubt}")


def page(shown: np.ndarray | None, line: str, shares: dict[str, float]) -> str:
    """Picture, line and bars as HTML. The picture travels inside it: a file of its own would take a second request."""
    if shown is None:
        image = '<div class="blank"></div>'
    else:
        jpeg = cv2.imencode(".jpg", shown[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
        data = base64.b64encode(jpeg.tobytes()).decode()
        height, width = shown.shape[:2]
        image = (
            f'<img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" decoding="sync" '
            'alt="What the camera sees, with the heatmap">'
        )
    best = sorted(shares.items(), key=lambda item: -item[1])[:BARS]
    rows = "".join(
        f'<li><span>{html.escape(label)}</span><span class="bar"><i style="width:{share:.1%}"></i></span>'
        f"<b>{share:.0%}</b></li>"
        for label, share in best
    )
    return f'<div class="live">{image}<p>{html.escape(line)}</p><ul>{rows}</ul></div>'


def keep(session: Session) -> None:
    """Make the last frame the picture that all tabs look at, with the screen that is tracked in it.

    That one is searched for once more: it may have been smoothed, or seen in the frame before.
    """
    live = session.of(Live)
    if live.last is None:
        raise gr.Error("There is no frame yet; allow the camera first.", print_exception=False)
    frame, quad = live.last
    if quad is not None and (found := search(frame).quad) is not None and shift(quad, found) <= MOVES:
        quad = found
    session.of(Screen).frozen = frame, quad
    path = session.file(f"camera-{next(live.frozen)}.png")
    cv2.imwrite(str(path), frame[..., ::-1])
    session.path = str(path)


def choices(session: Session, model: str, method: str) -> tuple[Any, Any]:
    """The models there are, and the methods that are quick enough on this machine, with the time each takes."""
    with _MEASURING:
        quick = [(f"{METHODS[name].title} ({seconds * 1e3:.0f} ms)", name) for name, seconds in measured().items()]
    return gr.Dropdown(models(session), value=model), gr.Dropdown(quick, value=method)


def models(session: Session) -> list[tuple[str, str]]:
    """Titles and names of those that need no download, in the middle of a stream."""
    return [choice for choice in session.choices() if choice[1] not in MODELS or MODELS[choice[1]].embedded]


@cache
def measured() -> dict[str, float]:
    """Seconds that each method takes for a thumbnail here, those that take too long for a stream left out: much longer than
    Grad-CAM too, as the machine may be busy just now."""
    pixels = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    taken = {}
    for method in METHODS.values():
        if method.forward > 2 or method.backward > 1 or not method.sane:  # needs no trial
            continue
        seconds = []
        for _ in range(4):
            start = time.perf_counter()
            explain(Picture(pixels), load(DEFAULT), method.name)
            seconds.append(time.perf_counter() - start)
        taken[method.name] = min(seconds)
    most = max(FAST, SLOWER * taken[QUICK])
    return {name: seconds for name, seconds in taken.items() if seconds <= most}


def show_or_hide(session: Session, event: gr.SelectData) -> None:
    """Work on frames only while the tab is open: a browser goes on sending them."""
    session.of(Live).hidden = event.value != "Live"
