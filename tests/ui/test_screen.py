"""The screen in a photograph, as the tabs keep and explain it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from capture import Quad, Search, quad_from_corners, rectify
from capture.detection import SURE
from capture.quad import iou
from core.errors import UserError
from core.images import read, shrink
from samples import ROOT
from samples.photographs import Scene
from tests.ui.conftest import write_picture
from ui import screen
from ui.picture_input import MAX_SIDE
from ui.screen import Screen
from ui.session import Session


def test_the_corners_of_a_large_photograph_are_its_own(session: Session, scene: Scene, tmp_path: Path) -> None:
    """They mean the same to the page and to the command line, and what is explained is not scaled down first."""
    large = cv2.resize(scene.pixels, (2560, 1440), interpolation=cv2.INTER_CUBIC)
    prepared = screen.prepare_picture(session, write_picture(tmp_path / "large.png", large))
    provenance = prepared.provenance["screen"]
    assert isinstance(provenance, dict)
    assert provenance["photograph"] == [1440, 2560]
    assert iou(np.array(provenance["corners"]), 2 * scene.corners) > 0.9
    quad = session.state(Screen).quad
    assert quad is not None
    assert np.array_equal(prepared.pixels, shrink(rectify(large, quad), MAX_SIDE))
    assert screen.NOTE in prepared.notes


def test_a_large_photograph_is_not_kept(session: Session, scene: Scene, tmp_path: Path) -> None:
    path = write_picture(tmp_path / "large.png", cv2.resize(scene.pixels, (2560, 1440)))
    prepared = screen.prepare_picture(session, path)
    state = session.state(Screen)
    assert state.view is not None
    assert state.view.size <= 640 * 360 * 3
    assert screen.prepare_picture(session, path) is prepared  # nor is it read or searched again
    state.use(None)
    assert screen.prepare_picture(session, path).pixels.shape == (720, 1280, 3)


def test_a_broken_picture_in_between_changes_nothing(session: Session, scene: Scene, tmp_path: Path) -> None:
    path = write_picture(tmp_path / "screen.png", scene.pixels)
    prepared = screen.prepare_picture(session, path)
    (tmp_path / "broken.png").write_text("no picture")
    with pytest.raises(UserError):
        screen.prepare_picture(session, str(tmp_path / "broken.png"))
    assert np.array_equal(screen.prepare_picture(session, path).pixels, prepared.pixels)
    assert session.state(Screen).quad is not None


def test_a_photograph_without_a_screen_is_passed_on(session: Session) -> None:
    path = ROOT / "photos" / "cat.jpg"
    prepared = screen.prepare_picture(session, str(path))
    assert np.array_equal(prepared.pixels, shrink(read(path).pixels, MAX_SIDE))
    assert prepared.provenance == {}


def test_a_tapped_corner_goes_where_the_next_tap_is(session: Session, scene: Scene, tmp_path: Path) -> None:
    """In the pixels of the photograph, which is shown smaller; the other three stay, at the frame's border too."""
    screen.prepare_picture(session, write_picture(tmp_path / "screen.png", scene.pixels))
    state = session.state(Screen)
    state.use(quad_from_corners([(0, 0), (1280, 0), (1280, 720), (0, 720)], (720, 1280)))
    tap = partial(SimpleNamespace, value=None)
    screen.handle_tap(session, 0, tap(index=[3, 4]))
    assert state.selected == 0
    assert screen.handle_tap(session, 0, tap(index=[100, 50])) == 1
    assert state.quad is not None
    assert state.quad.corners.tolist() == [[200, 100], [1280, 0], [1280, 720], [0, 720]]
    assert "was moved" in state.note
    screen.handle_tap(session, 1, tap(index=[100, 50]))
    screen.handle_tap(session, 1, tap(index=[630, 355]))  # onto another corner: no quad any more
    assert state.quad.corners[0].tolist() == [200, 100]
    assert state.note.startswith("⚠️")


def test_a_moved_corner_keeps_the_shape_that_is_shown(session: Session) -> None:
    screen.prepare_picture(session, str(ROOT / "photos" / "cat.jpg"))
    state = session.state(Screen)
    state.use(quad_from_corners([(10, 10), (330, 10), (330, 250), (10, 250)], state.size))
    before = screen.prepare_picture(session, state.path).pixels.shape
    tap = partial(SimpleNamespace, value=None)
    screen.handle_tap(session, 0, tap(index=[10, 10]))
    screen.handle_tap(session, 0, tap(index=[12, 11]))
    after = screen.prepare_picture(session, state.path).pixels.shape
    assert before == (240, 320, 3)
    assert after[1] / after[0] == pytest.approx(4 / 3, abs=0.01)


def test_another_thumbnail_is_tapped(session: Session) -> None:
    screen.prepare_picture(session, str(ROOT / "photos" / "cat.jpg"))
    state = session.state(Screen)
    left, right = (quad_from_corners([(x, 60), (x + 160, 60), (x + 160, 150), (x, 150)], state.size) for x in (20, 190))
    state.found = Search(left, (right,))
    state.use(left, state.describe_found())
    assert screen.ANOTHER in state.note
    tap = partial(SimpleNamespace, value=None)
    assert screen.handle_tap(session, 0, tap(index=[216, 100])) == 1  # nearer to a corner than a tap elsewhere may be
    assert state.quad is right
    assert state.found.others == (left,)
    screen.handle_tap(session, 1, tap(index=[182, 62]))
    assert state.selected == 0
    state.use(right)
    screen.handle_tap(session, 1, tap(index=[40, 100]))
    assert state.quad is left


def test_corners_marked_by_hand_are_not_called_found(session: Session) -> None:
    screen.prepare_picture(session, str(ROOT / "photos" / "cat.jpg"))
    screen.mark_by_hand(session, 0)
    screen.toggle_screen(session, 1)
    assert session.state(Screen).note == screen.AS_IT_IS
    screen.toggle_screen(session, 2)
    assert session.state(Screen).note == screen.BY_HAND


def test_a_guess_is_tapped_and_given_back(session: Session) -> None:
    """Until one is tapped, the whole photograph is explained; of two that lie in each other, the inner one is meant."""
    path = str(ROOT / "photos" / "cat.jpg")
    screen.prepare_picture(session, path)
    state = session.state(Screen)
    outer, inner = (
        quad_from_corners([(x, x), (300 - x, x), (300 - x, 220 - x), (x, 220 - x)], state.size) for x in (20, 60)
    )
    state.found = Search(None, guesses=(outer, inner))
    state.use(None, state.describe_found())
    box, note, photograph, _, toggle, mark = screen.render_display(session, path)
    assert box.visible
    assert note == screen.GUESSES
    assert not np.array_equal(photograph, state.view)
    assert not toggle.visible
    assert mark.visible
    tap = partial(SimpleNamespace, value=None)
    screen.handle_tap(session, 0, tap(index=[5, 5]))
    assert state.quad is None
    assert screen.handle_tap(session, 0, tap(index=[150, 110])) == 1
    assert state.quad is inner
    assert "screen" in screen.prepare_picture(session, path).provenance
    assert screen.render_display(session, path)[4].visible
    assert screen.toggle_screen(session, 1) == 2
    assert state.quad is None
    assert screen.prepare_picture(session, path).provenance == {}


def test_an_unsure_screen_is_called_unsure(session: Session) -> None:
    screen.prepare_picture(session, str(ROOT / "photos" / "cat.jpg"))
    state = session.state(Screen)
    corners = quad_from_corners([(10, 10), (290, 10), (290, 210), (10, 210)], state.size).corners
    for confidence, note in ((SURE - 0.05, screen.UNSURE), (SURE + 0.05, screen.FOUND)):
        state.found = Search(Quad(corners, confidence))
        assert note in state.describe_found()
