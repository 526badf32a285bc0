"""The Live tab: the camera's frames with prediction and heatmap, one after the other."""

from __future__ import annotations

import html
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np

from capture import Quad, rectify, search
from capture.rectification import homography
from capture.track import MOVES, Track, corner_shift
from core.errors import UserError
from core.files import encode_png, write_atomically
from core.html import data_url
from core.images import Picture, read, shrink
from explain import METHODS, explain
from explain.render import overlay
from models import DEFAULT, MODELS, load
from models.capabilities import lacks
from models.shared_engine import share_passes
from ui.picture_input import CameraInput
from ui.runs import INSTANT, MODEL_QUEUE, NO_PROGRESS
from ui.screen import Screen
from ui.session import Session

FRAME_INTERVAL = (
    0.06  # seconds between the frames that a browser sends; while one is processed, only the newest one waits
)
TIME_LIMIT = 60  # seconds after which a viewer joins the queue again, so that every viewer gets a turn
VIEWERS = 8  # at once; a viewer on another tab keeps the place until the time limit, but costs nothing
SEARCH_EVERY = 2  # frames, while a screen is tracked
# A method is offered if a frame takes at most this many seconds, or at most this many times as long as with Grad-CAM.
MAX_SECONDS, MAX_RATIO = 0.06, 2
FRAME, VIEW = 960, 640  # pixels of the longer side: of a frame that is searched, and of the frame as shown
FIRST_METHOD = "grad-cam"
SMOOTHING = 0.35  # weight of the newest frame in the probabilities
CONFIDENT, DOUBTFUL = 0.30, 0.20  # a class is named from the first probability on, until it falls below the second
BARS = 4
PAUSE = 5.0  # seconds without a frame after which earlier frames no longer count
EMPTY = "Allow the camera, then point it at a thumbnail on a screen or at an object."
UNSURE = "No confident prediction. Move closer, or hold the camera still."
UNKNOWN = "No confident prediction for the screen. Freeze the frame to see the most probable classes."
DRAWING = (Path(__file__).parent / "assets" / "live.svg").read_text(encoding="utf-8")
CONSTRAINTS = {"video": {"facingMode": "environment", "width": {"ideal": 960}, "height": {"ideal": 540}}}


@dataclass
class LiveState:
    """The stream of one visitor.

    `track`: the tracked screen. `last`: the frame shown last, uint8 RGB (H, W, 3), and the screen in it. `probabilities`:
    smoothed, by label, of the classifier `model`. `named`: whether the prediction is confident. `times`: of the last frames,
    in seconds. `frozen` counts the frozen frames, `tracked` the frames with a tracked screen. `hidden`: the visitor is on
    another tab.
    """

    track: Track = field(default_factory=Track)
    last: tuple[np.ndarray, Quad | None] | None = None
    model: str = ""
    probabilities: dict[str, float] = field(default_factory=dict)
    named: bool = False
    times: deque[float] = field(default_factory=lambda: deque(maxlen=12))
    frozen: Iterator[int] = field(default_factory=itertools.count)
    tracked: Iterator[int] = field(default_factory=itertools.count)
    hidden: bool = False

    def forget_outdated(self, model: str) -> None:
        """Before a frame: forget the probabilities of another model, and after a pause the earlier frames too."""
        paused = bool(self.times) and time.monotonic() - self.times[-1] > PAUSE
        if paused:
            self.track = Track()
            self.times.clear()
        if paused or model != self.model:
            self.model, self.probabilities, self.named = model, {}, False


class FairLock:
    """A lock that threads get in the order in which they ask for it. So no viewer has to wait for two frames of another."""

    def __init__(self) -> None:
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the threads that came before."""
        event = threading.Event()
        with self._lock:
            self._waiting.append(event)
            if len(self._waiting) == 1:
                event.set()
        event.wait()
        try:
            yield
        finally:
            with self._lock:
                self._waiting.popleft()
                if self._waiting:
                    self._waiting[0].set()


_FRAME_LOCK = FairLock()
_MEASURING = threading.Lock()


def build(session: gr.State, tab: gr.Tab, tabs: gr.Tabs, open_in_explain: Callable[[Any], None]) -> None:
    """Lay out the tab inside its context and bind its events.

    Args:
        session: the visitor's Session.
        tab: this tab.
        tabs: all tabs.
        open_in_explain: the function that `explain_tab.build` returns.
    """
    with gr.Row():
        with gr.Column(scale=4, min_width=320):
            camera = CameraInput(
                sources=["webcam"], streaming=True, label="Camera", elem_id="camera", height=300,
                webcam_options=gr.WebcamOptions(mirror=False, constraints=CONSTRAINTS),
            )  # fmt: skip
            gr.HTML("", elem_classes="camera-hint")
            freeze = gr.Button("Freeze and explain", variant="primary", elem_id="freeze", interactive=False)
        with gr.Column(scale=6, min_width=320):
            view = gr.HTML(render_view(None, EMPTY, {}), elem_id="live-view", padding=False)
            with gr.Row():
                model = gr.Dropdown(
                    live_models(Session()), value=DEFAULT, label="Model", elem_id="live-model", min_width=200
                )
                method = gr.Dropdown(
                    [(METHODS[FIRST_METHOD].title, FIRST_METHOD)], value=FIRST_METHOD, label="Method",
                    elem_id="live-method", min_width=200,
                )  # fmt: skip
            tracking = gr.Checkbox(
                True,
                label="Find the screen",
                info="Explains only the screen, as seen from the front",
                elem_id="live-tracking",
            )
    camera.stream(
        process_frame, [session, camera, model, method, tracking], [view, freeze], stream_every=FRAME_INTERVAL,
        time_limit=TIME_LIMIT, concurrency_id="live", concurrency_limit=VIEWERS, **NO_PROGRESS,
    )  # fmt: skip
    open_in_explain(freeze.click(freeze_frame, session, None, **INSTANT).success)
    tab.select(update_live_tab, [session, model, method], [model, method], **NO_PROGRESS, **MODEL_QUEUE)
    tabs.select(pause_on_other_tabs, session, None, **INSTANT)


def process_frame(
    session: Session, frame: np.ndarray | None, model: str, method: str, tracking: bool
) -> tuple[Any, Any]:
    """The view and the Freeze button after one more frame; arguments as for `explain_frame`."""
    state = session.state(LiveState)
    if frame is None or state.hidden:
        return gr.skip(), gr.skip()
    first = state.last is None
    with _FRAME_LOCK.turn():
        try:
            view = explain_frame(session, frame, model, method, tracking)
            return view, gr.Button(interactive=True) if first else gr.skip()
        except UserError as error:
            return render_view(None, f"⚠️ {error}", {}), gr.skip()


def explain_frame(session: Session, frame: np.ndarray, model: str, method: str, tracking: bool) -> str:
    """Explain one frame of the stream.

    Args:
        session: the visitor.
        frame: uint8 (H, W, 3), as the browser sends it.
        model: name of the classifier.
        method: name of the explanation method.
        tracking: find a screen in the frame and explain only its content.

    Returns:
        The frame with its heatmap, the outline of the screen and the smoothed probabilities, as HTML.

    Raises:
        UserError: the method cannot explain this model.
    """
    state = session.state(LiveState)
    pixels = shrink(read(frame).pixels, FRAME)
    state.forget_outdated(model)
    guess: Quad | None = None
    if not tracking:
        state.track = Track()
    elif state.track.quad is None or next(state.tracked) % SEARCH_EVERY == 0:
        found = search(pixels, second_look=False)  # one look, because the next frame is another chance
        state.track = state.track.follow(found.quad)
        guess = found.quad or next(iter(found.guesses), None)
    quad = state.track.quad
    picture = pixels if quad is None else rectify(pixels, quad, keep_moire=True)
    classifier = share_passes(session.classifier(model))
    leader = max(state.probabilities, key=state.probabilities.__getitem__, default=None)
    target = leader if state.named and leader in classifier.labels else None
    explanation = explain(Picture(shrink(picture, VIEW)), classifier, method, target)
    state.probabilities = smooth_probabilities(
        state.probabilities, {prediction.label: prediction.probability for prediction in explanation.top}
    )
    state.named = max(state.probabilities.values()) >= (DOUBTFUL if state.named else CONFIDENT)
    state.times.append(time.monotonic())
    state.last = pixels, quad
    view = draw_view(pixels, explanation.heatmap if state.named else None, quad, guess if quad is None else None)
    return render_view(view, describe_stream(state), state.probabilities if state.named else {})


def smooth_probabilities(smoothed: dict[str, float], newest: dict[str, float]) -> dict[str, float]:
    """Exponentially smoothed probabilities after one more frame; the first frame counts fully.

    Classes whose smoothed probability falls to 1 % are forgotten.
    """
    if not smoothed:
        return dict(newest)
    mixed = {
        label: (1 - SMOOTHING) * smoothed.get(label, 0.0) + SMOOTHING * newest.get(label, 0.0)
        for label in {**smoothed, **newest}
    }
    return {label: probability for label, probability in mixed.items() if probability > 0.01} or dict(newest)


def draw_view(
    frame: np.ndarray, heatmap: np.ndarray | None, quad: Quad | None, guess: Quad | None = None
) -> np.ndarray:
    """Draw a frame as it is shown.

    Args:
        frame: uint8 RGB (H, W, 3).
        heatmap: float32 in [0, 1], of the screen if there is one, else of the frame; None for no overlay.
        quad: the screen, in pixels of the frame; its outline is drawn.
        guess: where a screen may be; a thin outline is drawn.

    Returns:
        uint8 RGB, at most VIEW pixels on the longer side.
    """
    small = shrink(frame, VIEW)
    if quad is None:
        plain = small if heatmap is None else overlay(small, cv2.resize(heatmap, small.shape[1::-1]))
        return plain if guess is None else _outline(plain.copy(), guess.corners * (small.shape[1] / frame.shape[1]), 1)
    corners = quad.corners * (small.shape[1] / frame.shape[1])
    result = small.copy()
    if heatmap is not None:
        to_frame = np.linalg.inv(homography(corners, heatmap.shape))
        warped = cv2.warpPerspective(heatmap, to_frame, small.shape[1::-1])
        inside = np.zeros(small.shape[:2], np.uint8)
        cv2.fillConvexPoly(inside, np.rint(corners).astype(np.int32), 1)
        cv2.copyTo(overlay(small, warped), inside, result)
    return _outline(result, corners, 2)


def _outline(pixels: np.ndarray, corners: np.ndarray, width: int) -> np.ndarray:
    """Draw the sides of a quad (4, 2) into a picture and return it."""
    points = np.rint(corners * 16).astype(np.int32)
    cv2.polylines(pixels, [points], True, (80, 220, 120), width, cv2.LINE_AA, shift=4)
    return pixels


def describe_stream(state: LiveState) -> str:
    """One line: whether there is a screen, the frame rate, and whether the prediction is confident."""
    times = state.times
    rate = (len(times) - 1) / max(times[-1] - times[0], 1e-6) if len(times) > 1 else 0.0
    subject, doubt = ("Whole frame", UNSURE) if state.track.quad is None else ("Screen found", UNKNOWN)
    speed = f", {rate:.0f} frames per second" if rate else ""
    return f"{subject}{speed}." + ("" if state.named else f" {doubt}")


def render_view(pixels: np.ndarray | None, line: str, probabilities: dict[str, float]) -> str:
    """The frame, a line of text and the bars, as HTML.

    The frame is inside the HTML, because a file of its own would need a second request.

    Args:
        pixels: the frame, uint8 RGB (H, W, 3); None for an empty box.
        line: the text.
        probabilities: by label, in [0, 1]; the largest ones get a bar.
    """
    if pixels is None:
        image = f'<div class="blank">{DRAWING}</div>'
    else:
        height, width = pixels.shape[:2]
        image = (
            f'<img src="{data_url(pixels, quality=75)}" width="{width}" height="{height}" decoding="sync" '
            'alt="The camera frame with the heatmap">'
        )
    best = sorted(probabilities.items(), key=lambda item: -item[1])[:BARS]
    rows = "".join(
        f'<li><span>{html.escape(label)}</span><span class="bar"><i style="width:{probability:.1%}"></i></span>'
        f"<b>{probability:.0%}</b></li>"
        for label, probability in best
    )
    return f'<div class="live">{image}<p>{html.escape(line)}</p><ul>{rows}</ul></div>'


def freeze_frame(session: Session) -> None:
    """Make the last frame the picture of all tabs, with the screen that is tracked in it.

    The screen is searched again: the tracked one may be smoothed, or from the frame before.
    """
    state = session.state(LiveState)
    if state.last is None:
        raise gr.Error("There is no frame yet. Allow the camera first.", print_exception=False)
    frame, quad = state.last
    if quad is not None and (again := search(frame).quad) is not None and corner_shift(quad, again) <= MOVES:
        quad = again
    session.state(Screen).frozen = frame, quad
    path = session.file(f"camera-{next(state.frozen)}.png")
    write_atomically(path, encode_png(frame))
    session.path = str(path)


def update_live_tab(session: Session, model: str, method: str) -> tuple[Any, Any]:
    """When the tab is opened: the visitor's models, and the methods that are fast enough here, with their times."""
    with _MEASURING:
        methods = [
            (f"{METHODS[name].title} ({seconds * 1e3:.0f} ms)", name)
            for name, seconds in measure_fast_methods().items()
        ]
    return gr.Dropdown(live_models(session), value=model), gr.Dropdown(methods, value=method)


def live_models(session: Session) -> list[tuple[str, str]]:
    """Title and name of the models that need no download; a download would interrupt the stream."""
    return [choice for choice in session.model_choices() if choice[1] not in MODELS or MODELS[choice[1]].embedded]


@cache
def measure_fast_methods() -> dict[str, float]:
    """Seconds that each method takes for a thumbnail on this machine; methods that are too slow are left out.

    The limit is relative to Grad-CAM too, because the machine may be busy during the measurement.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    taken = {}
    for method in METHODS.values():
        too_slow = method.forward_passes > 1 or method.backward_passes > 1
        if too_slow or not method.passes_sanity_check or lacks(load(DEFAULT), method.needs):
            continue
        seconds = []
        for _ in range(4):
            start = time.perf_counter()
            explain(Picture(pixels), load(DEFAULT), method.name)
            seconds.append(time.perf_counter() - start)
        taken[method.name] = min(seconds)
    limit = max(MAX_SECONDS, MAX_RATIO * taken[FIRST_METHOD])
    return {name: seconds for name, seconds in taken.items() if seconds <= limit}


def pause_on_other_tabs(session: Session, event: gr.SelectData) -> None:
    """Process frames only while this tab is open. The browser sends them in any case."""
    session.state(LiveState).hidden = event.value != "Live"
