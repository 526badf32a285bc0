"""Rectified screens: known perspectives, planted fringes, light and bars."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from capture import Quad, rectify
from capture.rectification import corners_without_bars, output_size, remove_moire, remove_reflections, warp
from core.corruptions import CORRUPTIONS
from core.images import read
from tests.capture.shapes import THUMBNAIL, THUMBNAILS, frame


def test_rectifying_undoes_a_known_perspective() -> None:
    corners = np.array([(210.0, 120), (1050, 60), (1120, 640), (180, 600)])
    source = cv2.resize(THUMBNAIL, (960, 540), interpolation=cv2.INTER_AREA)
    to = cv2.getPerspectiveTransform((frame(960, 540) - 0.5).astype(np.float32), (corners - 0.5).astype(np.float32))
    photograph = cv2.warpPerspective(source, to, (1280, 720))
    upright = rectify(photograph, Quad(corners, 1.0))
    again = remove_reflections(cv2.resize(source, upright.shape[1::-1], interpolation=cv2.INTER_AREA))
    smooth = [cv2.GaussianBlur(pixels, (0, 0), 2).astype(float) for pixels in (upright, again)]
    assert np.abs(smooth[0] - smooth[1])[8:-8, 8:-8].mean() < 1.5


def test_the_whole_frame_is_the_identity() -> None:
    pixels = THUMBNAIL[:360, :640].copy()
    assert np.array_equal(warp(pixels, frame(640, 360), (360, 640)), pixels)


def test_light_on_a_screen_is_removed() -> None:
    """From a dim screen under the light of a room and of a lamp. A screen without such light stays as it is."""
    board = np.where(np.indices((36, 64)).sum(0) % 2, 255, 0).astype(np.uint8)
    screen = np.repeat(cv2.resize(board, (640, 360), interpolation=cv2.INTER_NEAREST)[..., None], 3, 2)
    assert np.array_equal(remove_reflections(screen), screen)
    rows, columns = np.indices((360, 640))
    lamp = 40 * np.exp(-(((columns - 200) / 200) ** 2) - ((rows - 100) / 150) ** 2)[..., None]
    lit = np.rint(20 + lamp + 0.6 * screen).astype(np.uint8)
    before, after = (np.abs(pixels.astype(int) - screen).mean() for pixels in (lit, remove_reflections(lit)))
    assert after < 0.25 * before
    grey = np.full((90, 160, 3), 128, np.uint8)
    assert remove_reflections(grey).max() <= 2.2 * (128 - 70) + 1, "what is bright all over is not all light"


def test_a_large_photograph_is_averaged_and_not_sampled() -> None:
    """A fine chequerboard is grey from afar."""
    board = np.where(np.indices((2160, 3840)).sum(0) % 2, 255, 0).astype(np.uint8)
    upright = warp(np.repeat(board[..., None], 3, 2), frame(3840, 2160), (540, 960))
    assert np.abs(upright.astype(int) - 127).max() <= 1


def test_size_follows_what_was_photographed() -> None:
    assert output_size(frame(480, 270)) == (270, 480)
    assert output_size(frame(300, 270)) == (270, 480)  # foreshortened: the height still resolves that much
    assert output_size(frame(8000, 4500)) == (1080, 1920)
    assert output_size(frame(200, 600), 9 / 16) == (600, 338)


def test_black_bars_are_dropped_and_other_edges_kept() -> None:
    screen = np.full((450, 640, 3), 6, np.uint8)
    screen[45:405] = cv2.resize(THUMBNAIL, (640, 360))
    inner = corners_without_bars(screen, frame(640, 450))
    assert np.abs(inner - frame(640, 360, 0, 45)).max() < 4
    screen[430:436, :400] = (230, 20, 20)  # the progress bar of the player
    assert np.abs(corners_without_bars(screen, frame(640, 450)) - frame(640, 360, 0, 45)).max() < 4
    wide = np.full((360, 640, 3), 6, np.uint8)
    wide[:, 219:421] = cv2.resize(THUMBNAIL[:, 400:800], (202, 360))  # an upright video
    assert np.abs(corners_without_bars(wide, frame(640, 360)) - frame(202, 360, 219)).max() < 4
    plain = cv2.resize(THUMBNAIL, (640, 360))
    assert corners_without_bars(plain, frame(640, 360)) is None
    black = np.zeros((90, 160, 3), np.uint8)
    assert corners_without_bars(black, frame(160, 90)) is None


@pytest.mark.parametrize("seed", range(3))
def test_fringes_go_and_the_picture_stays(seed: int) -> None:
    plain = read(THUMBNAILS[4 * seed]).pixels
    fringed = CORRUPTIONS["moire"](plain, 0.4, np.random.default_rng(seed))
    before, after = (np.abs(pixels.astype(float) - plain).mean() for pixels in (fringed, remove_moire(fringed)))
    assert after < 0.6 * before
    assert np.array_equal(remove_moire(plain), plain)


def test_grey_stripes_are_no_fringes() -> None:
    """What rises and falls in all colours together belongs to the picture."""
    wave = 128 + 60 * np.sin(np.arange(640) / 3)
    stripes = np.broadcast_to(wave[None, :, None], (360, 640, 3)).astype(np.uint8)
    assert np.array_equal(remove_moire(stripes), stripes)
