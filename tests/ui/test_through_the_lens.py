"""A screen in a photograph and in the camera's stream, as the tabs keep and explain it."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from benchmarks.scenes import Scene, compose, pictures
from benchmarks.screens import iou
from capture import Search, quad_of, rectify, search
from explain import METHODS
from models import MODELS, UserError, load
from models.picture import read
from samples import ROOT
from ui import explain_tab, live_tab, screen
from ui.live_tab import Live
from ui.screen import Screen
from ui.session import SIDE, Session, within


@pytest.fixture(scope="module")
def scene() -> Scene:
    thumbnails = [path for path in pictures(ROOT / "thumbnails") if path.suffix == ".jpg"]
    return compose(1005, thumbnails, pictures(ROOT / "photos"))


@pytest.fixture
def session() -> Session:
    return Session()


def write(path: Path, pixels: np.ndarray) -> str:
    cv2.imwrite(str(path), pixels[..., ::-1])
    return str(path)


def test_the_corners_of_a_large_photograph_are_its_own(session: Session, scene: Scene, tmp_path: Path) -> None:
    """They mean the same to the page and to the command line, and what is explained is not scaled down first."""
    large = cv2.resize(scene.pixels, (2560, 1440), interpolation=cv2.INTER_CUBIC)
    seen = screen.seen(session, write(tmp_path / "large.png", large))
    done = seen.done["screen"]
    assert isinstance(done, dict)
    assert done["photograph"] == [1440, 2560]
    assert iou(np.array(done["corners"]), 2 * scene.corners) > 0.9
    quad = session.of(Screen).quad
    assert quad is not None
    assert np.array_equal(seen.pixels, within(rectify(large, quad), SIDE))
    assert screen.NOTE in seen.notes


def test_a_large_photograph_is_not_kept(session: Session, scene: Scene, tmp_path: Path) -> None:
    path = write(tmp_path / "large.png", cv2.resize(scene.pixels, (2560, 1440)))
    one = screen.seen(session, path)
    state = session.of(Screen)
    assert state.view is not None
    assert state.view.size <= 640 * 360 * 3
    assert screen.seen(session, path) is one  # nor is it read or searched again
    state.use(None)
    assert screen.seen(session, path).pixels.shape == (720, 1280, 3)


def test_a_broken_picture_in_between_changes_nothing(session: Session, scene: Scene, tmp_path: Path) -> None:
    path = write(tmp_path / "screen.png", scene.pixels)
    one = screen.seen(session, path)
    (tmp_path / "broken.png").write_text("no picture")
    with pytest.raises(UserError):
        screen.seen(session, str(tmp_path / "broken.png"))
    assert np.array_equal(screen.seen(session, path).pixels, one.pixels)
    assert session.of(Screen).quad is not None


def test_a_photograph_without_a_screen_is_passed_on(session: Session) -> None:
    path = ROOT / "photos" / "cat.jpg"
    seen = screen.seen(session, str(path))
    assert np.array_equal(seen.pixels, within(read(path).pixels, SIDE))
    assert seen.done == {}


def test_an_explanation_keeps_the_corners_of_its_own_run(session: Session, scene: Scene, tmp_path: Path) -> None:
    """Also where another picture is looked at before the run ends."""
    path = write(tmp_path / "screen.png", scene.pixels)
    how = ("mobilenet_v2", "occlusion", "patch=96 stride=96", "224", "", explain_tab.NOBODY, "turbo", 0.6)
    run = explain_tab.run_new(session, path, *how)
    next(run)
    screen.seen(session, str(ROOT / "photos" / "cat.jpg"))
    for _ in run:
        pass
    found = session.of(explain_tab.Shown).found
    assert found is not None
    assert found.parameters["screen"]["photograph"] == [720, 1280]


def test_a_run_that_was_overtaken_looks_at_nothing(session: Session) -> None:
    runs = session.of(explain_tab.Shown).runs
    given: dict[str, list] = {}

    def explained(name: str) -> None:
        how = ("mobilenet_v2", "grad-cam", "", "224", "", explain_tab.NOBODY, "turbo", 0.6)
        given[name] = list(explain_tab.run_new(session, str(ROOT / "photos" / name), *how))

    threads = [threading.Thread(target=explained, args=[name]) for name in ("cat.jpg", "coffee.jpg")]
    with runs.turn():
        for count, thread in enumerate(threads, 2):
            thread.start()
            while runs._begun < count:
                time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert given["cat.jpg"] == []
    assert given["coffee.jpg"]


def test_a_frozen_frame_and_its_corners_belong_together(session: Session, scene: Scene) -> None:
    """The camera moves, and every second frame is not searched; what is frozen is looked at once more."""
    live = session.of(Live)
    small = within(scene.pixels, live_tab.FRAME)
    for x in (0, 0, 0, 24):
        frame = np.roll(small, x, axis=1)
        live_tab.see(session, live, frame, "mobilenet_v2", "grad-cam", tracking=True)
    assert live.track.quad is not None
    live_tab.keep(session)
    frozen = session.of(Screen).frozen
    assert frozen is not None
    assert frozen[1] is not None
    again = search(np.roll(small, 24, axis=1)).quad
    assert again is not None
    assert np.array_equal(frozen[0], np.roll(small, 24, axis=1))
    assert np.array_equal(frozen[1].corners, again.corners)
    assert live.track.quad.corners[:, 0].mean() < again.corners[:, 0].mean() - 12, "what was tracked is a frame behind"


def test_without_tracking_the_whole_frame_is_frozen(session: Session, scene: Scene) -> None:
    live_tab.see(session, session.of(Live), scene.pixels, "mobilenet_v2", "grad-cam", tracking=False)
    live_tab.keep(session)
    frozen = session.of(Screen).frozen
    assert frozen is not None
    assert frozen[1] is None


def test_freezing_works_after_a_first_frame_that_failed(session: Session, scene: Scene) -> None:
    _, button = live_tab.look(session, scene.pixels, "no such model", "grad-cam", tracking=True)
    assert session.of(Live).last is None
    _, button = live_tab.look(session, scene.pixels, "mobilenet_v2", "grad-cam", tracking=True)
    assert button.interactive


def test_probabilities_follow_the_frames_slowly() -> None:
    shares = live_tab.smooth({}, {"cat": 0.9, "dog": 0.1})
    assert shares == {"cat": 0.9, "dog": 0.1}
    for frame in range(1, 6):
        shares = live_tab.smooth(shares, {"dog": 1.0})
        assert shares["cat"] == pytest.approx(0.9 * (1 - live_tab.SMOOTHING) ** frame)
        assert shares["dog"] == pytest.approx(1 - 0.9 * (1 - live_tab.SMOOTHING) ** frame)


def test_a_class_is_named_once_it_is_confident_and_until_it_is_doubtful(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = session.of(Live)
    frame = read(ROOT / "photos" / "cat.jpg").pixels
    grey = np.full((540, 960, 3), 127, np.uint8)

    def stream(pixels: np.ndarray, frames: int) -> list[str]:
        return [live_tab.see(session, live, pixels, "mobilenet_v2", "grad-cam", tracking=False) for _ in range(frames)]

    monkeypatch.setattr(live_tab, "CONFIDENT", 1.0)
    assert all("Nothing confident in view" in shown and "<li>" not in shown for shown in stream(frame, 3))
    monkeypatch.undo()
    assert all("Nothing confident" not in shown and "tabby" in shown for shown in stream(frame, 2))
    named = ["<li>" in shown for shown in stream(grey, 12)]
    assert named == sorted(named, reverse=True)  # lost once, never to and fro
    assert named[0]
    assert not named[-1]


def test_where_a_screen_is_tracked_nobody_is_told_to_move(
    session: Session, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_tab, "CONFIDENT", 1.1)
    live = session.of(Live)
    shown = [live_tab.see(session, live, scene.pixels, "mobilenet_v2", "grad-cam", tracking=True) for _ in range(4)]
    assert live_tab.UNSURE in shown[0]
    assert "Screen found" in shown[-1]
    assert live_tab.UNKNOWN in shown[-1]


def test_what_another_model_saw_or_was_seen_before_a_pause_is_forgotten(
    session: Session, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = session.of(Live)
    cat, coffee = (read(ROOT / "photos" / name).pixels for name in ("cat.jpg", "coffee.jpg"))

    def shown(pixels: np.ndarray, model: str = "mobilenet_v2") -> str:
        return live_tab.see(session, live, pixels, model, "grad-cam", tracking=True)

    for _ in range(3):
        assert "tabby" in shown(cat)
    assert "tabby" not in shown(cat, "practice_channels")
    for _ in range(4):
        shown(scene.pixels)
    assert live.track.quad is not None
    monkeypatch.setattr(live_tab, "PAUSE", 0.0)
    after = shown(coffee)
    assert "Whole frame." in after
    assert live.shares == {p.label: p.probability for p in load("mobilenet_v2").predict(coffee)}


def test_no_model_of_the_stream_needs_a_download(session: Session) -> None:
    assert all(MODELS[name].embedded for _, name in live_tab.models(session))


def test_grad_cam_is_offered_however_busy_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    live_tab.measured.cache_clear()
    monkeypatch.setattr(live_tab, "FAST", 0.0)
    offered = live_tab.measured()
    live_tab.measured.cache_clear()
    assert live_tab.QUICK in offered
    assert set(offered) < set(METHODS)


def test_a_tapped_corner_goes_where_the_next_tap_is(session: Session, scene: Scene, tmp_path: Path) -> None:
    """In the pixels of the photograph, which is shown smaller; the other three stay, at the frame's border too."""
    screen.seen(session, write(tmp_path / "screen.png", scene.pixels))
    state = session.of(Screen)
    state.use(quad_of([(0, 0), (1280, 0), (1280, 720), (0, 720)], (720, 1280)))
    tap = partial(SimpleNamespace, value=None)
    screen.tap(session, 0, tap(index=[3, 4]))
    assert state.held == 0
    assert screen.tap(session, 0, tap(index=[100, 50])) == 1
    assert state.quad is not None
    assert state.quad.corners.tolist() == [[200, 100], [1280, 0], [1280, 720], [0, 720]]
    assert "was moved" in state.note
    screen.tap(session, 1, tap(index=[100, 50]))
    screen.tap(session, 1, tap(index=[630, 355]))  # onto another corner: no quad any more
    assert state.quad.corners[0].tolist() == [200, 100]
    assert state.note.startswith("⚠️")


def test_a_moved_corner_keeps_the_shape_that_is_shown(session: Session) -> None:
    screen.seen(session, str(ROOT / "photos" / "cat.jpg"))
    state = session.of(Screen)
    state.use(quad_of([(10, 10), (330, 10), (330, 250), (10, 250)], state.size))
    before = screen.seen(session, state.path).pixels.shape
    tap = partial(SimpleNamespace, value=None)
    screen.tap(session, 0, tap(index=[10, 10]))
    screen.tap(session, 0, tap(index=[12, 11]))
    after = screen.seen(session, state.path).pixels.shape
    assert before == (240, 320, 3)
    assert after[1] / after[0] == pytest.approx(4 / 3, abs=0.01)


def test_another_thumbnail_is_tapped(session: Session) -> None:
    screen.seen(session, str(ROOT / "photos" / "cat.jpg"))
    state = session.of(Screen)
    left, right = (quad_of([(x, 60), (x + 160, 60), (x + 160, 150), (x, 150)], state.size) for x in (20, 190))
    state.found = Search(left, (right,))
    state.use(left, state.words())
    assert screen.ANOTHER in state.note
    tap = partial(SimpleNamespace, value=None)
    assert screen.tap(session, 0, tap(index=[216, 100])) == 1  # nearer to a corner than a tap elsewhere may be
    assert state.quad is right
    assert state.found.others == (left,)
    screen.tap(session, 1, tap(index=[182, 62]))
    assert state.held == 0
    state.use(right)
    screen.tap(session, 1, tap(index=[40, 100]))
    assert state.quad is left


def test_corners_marked_by_hand_are_not_called_found(session: Session) -> None:
    screen.seen(session, str(ROOT / "photos" / "cat.jpg"))
    screen.begin(session, 0)
    screen.switch(session, 1)
    assert session.of(Screen).note == screen.PASSED
    screen.switch(session, 2)
    assert session.of(Screen).note == screen.BY_HAND
