"""A quad over the frames of a camera."""

from __future__ import annotations

import numpy as np

from capture import Quad
from capture.track import PATIENCE, Track
from tests.capture.shapes import frame


def moved(x: float) -> Quad:
    return Quad(frame(160, 90, x, 0), 0.9)


def test_a_trembling_screen_stands_still() -> None:
    rng = np.random.default_rng(0)
    track, places = Track().follow(moved(0)), []
    for _ in range(60):
        track = track.follow(moved(rng.normal(0, 0.8)))
        places.append(track.quad.corners[0, 0])
    assert np.std(places[20:]) < 0.8 / 2


def test_a_moving_screen_is_followed() -> None:
    track = Track().follow(moved(0)).follow(moved(0))
    for x in range(0, 100, 5):
        track = track.follow(moved(x))
    assert abs(track.quad.corners[0, 0] - 95) < 8


def test_one_wrong_frame_changes_nothing_and_two_do() -> None:
    assert Track().follow(moved(0)).quad is None
    track = Track().follow(moved(0)).follow(moved(0)).follow(moved(500))
    assert track.quad.corners[0, 0] == 0
    assert track.follow(moved(501)).quad.corners[0, 0] == 501
    assert track.follow(moved(0)).quad.corners[0, 0] == 0


def test_a_screen_out_of_sight_is_kept_for_a_while() -> None:
    track = Track().follow(moved(0)).follow(moved(0))
    for _ in range(PATIENCE):
        track = track.follow(None)
        assert track.quad is not None
    assert track.follow(None).quad is None


def test_a_screen_never_seen_again_is_given_up_whatever_else_is_seen() -> None:
    track = Track().follow(moved(0)).follow(moved(0))
    for x in range(1, PATIENCE + 2):
        track = track.follow(moved(500 * x))
    assert track.quad is None
