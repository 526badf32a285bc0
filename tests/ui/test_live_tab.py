"""The Live tab without a browser: frames in, views out."""

from __future__ import annotations

import numpy as np
import pytest

from capture import Quad, search
from core.images import read, shrink
from explain import METHODS
from models import MODELS, load
from samples import ROOT
from samples.photographs import Scene
from ui import live_tab
from ui.live_tab import LiveState
from ui.screen import Screen
from ui.session import Session


def test_a_frozen_frame_and_its_corners_belong_together(session: Session, scene: Scene) -> None:
    """The camera moves, and every second frame is not searched; what is frozen is looked at once more."""
    live = session.state(LiveState)
    small = shrink(scene.pixels, live_tab.FRAME)
    for x in (0, 0, 0, 24):
        frame = np.roll(small, x, axis=1)
        live_tab.explain_frame(session, frame, "mobilenet_v2", "grad-cam", tracking=True)
    assert live.track.quad is not None
    live_tab.freeze_frame(session)
    frozen = session.state(Screen).frozen
    assert frozen is not None
    assert frozen[1] is not None
    again = search(np.roll(small, 24, axis=1)).quad
    assert again is not None
    assert np.array_equal(frozen[0], np.roll(small, 24, axis=1))
    assert np.array_equal(frozen[1].corners, again.corners)
    assert live.track.quad.corners[:, 0].mean() < again.corners[:, 0].mean() - 12, "what was tracked is a frame behind"


def test_without_tracking_the_whole_frame_is_frozen(session: Session, scene: Scene) -> None:
    live_tab.explain_frame(session, scene.pixels, "mobilenet_v2", "grad-cam", tracking=False)
    live_tab.freeze_frame(session)
    frozen = session.state(Screen).frozen
    assert frozen is not None
    assert frozen[1] is None


def test_freezing_works_after_a_first_frame_that_failed(session: Session, scene: Scene) -> None:
    _, button = live_tab.process_frame(session, scene.pixels, "no such model", "grad-cam", tracking=True)
    assert session.state(LiveState).last is None
    _, button = live_tab.process_frame(session, scene.pixels, "mobilenet_v2", "grad-cam", tracking=True)
    assert button.interactive


def test_probabilities_follow_the_frames_slowly() -> None:
    probabilities = live_tab.smooth_probabilities({}, {"cat": 0.9, "dog": 0.1})
    assert probabilities == {"cat": 0.9, "dog": 0.1}
    for frame in range(1, 6):
        probabilities = live_tab.smooth_probabilities(probabilities, {"dog": 1.0})
        assert probabilities["cat"] == pytest.approx(0.9 * (1 - live_tab.SMOOTHING) ** frame)
        assert probabilities["dog"] == pytest.approx(1 - 0.9 * (1 - live_tab.SMOOTHING) ** frame)


def test_a_class_is_named_once_it_is_confident_and_until_it_is_doubtful(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.state(LiveState)
    frame = read(ROOT / "photos" / "cat.jpg").pixels
    grey = np.full((540, 960, 3), 127, np.uint8)

    def stream(pixels: np.ndarray, frames: int) -> list[str]:
        return [
            live_tab.explain_frame(session, pixels, "mobilenet_v2", "grad-cam", tracking=False) for _ in range(frames)
        ]

    monkeypatch.setattr(live_tab, "CONFIDENT", 1.0)
    assert all(live_tab.UNSURE in shown and "<li>" not in shown for shown in stream(frame, 3))
    monkeypatch.undo()
    assert all(live_tab.UNSURE not in shown and "tabby" in shown for shown in stream(frame, 2))
    named = ["<li>" in shown for shown in stream(grey, 12)]
    assert named == sorted(named, reverse=True)  # lost once, never to and fro
    assert named[0]
    assert not named[-1]


def test_where_a_screen_is_tracked_nobody_is_told_to_move(
    session: Session, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_tab, "CONFIDENT", 1.1)
    session.state(LiveState)
    shown = [live_tab.explain_frame(session, scene.pixels, "mobilenet_v2", "grad-cam", tracking=True) for _ in range(4)]
    assert live_tab.UNSURE in shown[0]
    assert "Screen found" in shown[-1]
    assert live_tab.UNKNOWN in shown[-1]


def test_what_another_model_saw_or_was_seen_before_a_pause_is_forgotten(
    session: Session, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = session.state(LiveState)
    cat, coffee = (read(ROOT / "photos" / name).pixels for name in ("cat.jpg", "coffee.jpg"))

    def shown(pixels: np.ndarray, model: str = "mobilenet_v2") -> str:
        return live_tab.explain_frame(session, pixels, model, "grad-cam", tracking=True)

    for _ in range(3):
        assert "tabby" in shown(cat)
    assert "tabby" not in shown(cat, "practice_channels")
    for _ in range(4):
        shown(scene.pixels)
    assert live.track.quad is not None
    monkeypatch.setattr(live_tab, "PAUSE", 0.0)
    after = shown(coffee)
    assert "Whole frame." in after
    assert live.probabilities == {p.label: p.probability for p in load("mobilenet_v2").predict(coffee)}


def test_no_model_of_the_stream_needs_a_download(session: Session) -> None:
    assert all(MODELS[name].embedded for _, name in live_tab.live_models(session))


def test_grad_cam_is_offered_however_busy_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    live_tab.measure_fast_methods.cache_clear()
    monkeypatch.setattr(live_tab, "MAX_SECONDS", 0.0)
    offered = live_tab.measure_fast_methods()
    live_tab.measure_fast_methods.cache_clear()
    assert live_tab.FIRST_METHOD in offered
    assert set(offered) < set(METHODS)


def test_where_a_screen_may_be_a_thin_outline_is_drawn() -> None:
    """In a single frame the place of a screen is not sure yet."""
    frame = np.zeros((360, 640, 3), np.uint8)
    quad = Quad(np.array([(100.0, 80), (500, 80), (500, 300), (100, 300)]), 0.4)
    thin = live_tab.draw_view(frame, None, None, quad)
    assert thin[80, 300].max() > 100
    assert not thin[100:280, 120:480].any()
    assert 0 < thin.any(2).sum() < live_tab.draw_view(frame, None, quad).any(2).sum()


def test_a_new_screen_is_thin_before_it_is_tracked(session: Session, scene: Scene) -> None:
    state = session.state(LiveState)
    drawn = []

    def draw(pixels: np.ndarray, heatmap: np.ndarray | None, quad: Quad | None, guess: Quad | None) -> np.ndarray:
        drawn.append((quad is None, guess is None))
        return pixels

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_tab, "draw_view", draw)
        for _ in range(3):
            live_tab.explain_frame(session, scene.pixels, "mobilenet_v2", "grad-cam", tracking=True)
    assert drawn == [(True, False), (False, True), (False, True)]
    assert state.track.quad is not None
