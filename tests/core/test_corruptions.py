"""Corruptions: exact where a closed form exists, as strong as stated, repeatable, and never in place."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from core.corruptions import CORRUPTIONS, background

NAMES = [
    "gaussian-noise", "salt-and-pepper", "blur", "jpeg", "brightness", "contrast", "occlusion", "rotation", "zoom",
    "perspective", "glare", "moire",
]  # fmt: skip
every = pytest.mark.parametrize("name", NAMES)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Smooth colours, so that a blur or a fringe can be measured."""
    rows, columns = np.mgrid[:180, :320]
    return np.stack([60 + rows / 2, 200 - columns / 3, 100 + (rows + columns) / 6], axis=-1).astype(np.uint8)


def test_the_names_that_others_use() -> None:
    assert list(CORRUPTIONS) == NAMES


@every
def test_zero_is_the_identity_and_more_is_more(name: str, picture: np.ndarray) -> None:
    before = picture.copy()
    assert np.array_equal(CORRUPTIONS[name](picture, 0, rng()), picture)
    changes = [
        np.mean([np.abs(CORRUPTIONS[name](picture, s, rng(k)).astype(float) - picture).mean() for k in range(8)])
        for s in (0.25, 0.5, 1)
    ]
    assert 0 < changes[0] < changes[1] < changes[2]
    assert np.array_equal(picture, before)


@every
def test_a_seed_repeats_it_and_the_size_stays(name: str, picture: np.ndarray) -> None:
    for shape in ((180, 320), (97, 61)):
        pixels = np.ascontiguousarray(picture[: shape[0], : shape[1]])
        once, again = (CORRUPTIONS[name](pixels, 0.7, rng(3)) for _ in range(2))
        assert np.array_equal(once, again)
        assert once.shape == pixels.shape
        assert once.dtype == np.uint8


@every
def test_other_severities_are_refused(name: str, picture: np.ndarray) -> None:
    for severity in (-0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            CORRUPTIONS[name](picture, severity, rng())


def test_noise_has_its_spread_and_impulses_their_share() -> None:
    grey = np.full((400, 400, 3), 128, np.uint8)
    assert CORRUPTIONS["gaussian-noise"](grey, 0.25, rng()).astype(float).std() == pytest.approx(16, rel=0.02)
    hit = CORRUPTIONS["salt-and-pepper"](grey, 1, rng())
    for level in (0, 255):
        assert (hit == level).all(-1).mean() == pytest.approx(0.1, rel=0.05)


def test_blur_widens_a_line_to_its_standard_deviation() -> None:
    line = np.zeros((300, 300, 3), np.uint8)
    line[:, 150] = 255
    profile = CORRUPTIONS["blur"](line, 1, rng())[150, :, 0].astype(float)
    assert np.sqrt((profile * (np.arange(300) - 150) ** 2).sum() / profile.sum()) == pytest.approx(4, rel=0.05)


def test_light_is_multiplied_and_contrast_kept_in_part(picture: np.ndarray) -> None:
    grey = np.full((32, 32, 3), 100, np.uint8)
    assert {int(CORRUPTIONS["brightness"](grey, 1, rng(k)).max()) for k in range(20)} == {40, 160}
    flat = CORRUPTIONS["contrast"](picture, 1, rng()).astype(float)
    assert flat.std() == pytest.approx(picture.std() / 4, rel=0.03)
    assert flat.mean() == pytest.approx(picture.mean(), abs=0.5)


def test_occlusion_covers_its_share() -> None:
    for seed in range(10):
        grey = np.full((200, 320, 3), 13, np.uint8)
        covered = CORRUPTIONS["occlusion"](grey, 1, rng(seed)) != 13
        assert covered.any(-1).mean() == pytest.approx(0.4, abs=0.01)


def test_rotation_turns_by_its_angle_about_the_middle() -> None:
    pixels = np.zeros((201, 201, 3), np.uint8)
    pixels[98:103, 100:] = 255  # a hand that points to the right, its middle at (150, 100)
    for seed in range(6):
        turned = CORRUPTIONS["rotation"](pixels, 1, rng(seed))[..., 0] == 255
        rows, columns = np.nonzero(turned)
        assert abs(rows.mean() - 100) == pytest.approx(50 * np.sin(np.pi / 4), abs=1.5)
        assert columns.mean() - 100 == pytest.approx(50 * np.cos(np.pi / 4), abs=1.5)


def test_zoom_shows_all_of_the_picture_at_half_its_side(picture: np.ndarray) -> None:
    small = cv2.resize(picture, (160, 90), interpolation=cv2.INTER_AREA)
    for seed in range(5):
        found = cv2.matchTemplate(CORRUPTIONS["zoom"](picture, 1, rng(seed)), small, cv2.TM_SQDIFF)
        assert found.min() < small.size  # on average less than one level off somewhere


def test_perspective_keeps_four_corners_in_the_frame_and_shortens_by_the_cosine() -> None:
    """A square seen at 30 degrees about its vertical axis is cos(30) as wide as tall at its middle, nearly."""
    pixels = np.full((300, 300, 3), 255, np.uint8)
    for seed in range(20):
        inside = (CORRUPTIONS["perspective"](pixels, 1, rng(seed)) >= 254).all(-1)
        contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        hull = cv2.convexHull(max(contours, key=len))
        quad = cv2.approxPolyDP(hull, 6, True)
        assert len(quad) == 4  # nothing is cut off
        assert 0.35 < cv2.contourArea(hull) / 300**2 < np.cos(np.radians(30)) + 0.02


def test_glare_only_adds_light_and_moire_leaves_the_mean(picture: np.ndarray) -> None:
    for seed in range(5):
        assert (CORRUPTIONS["glare"](picture, 1, rng(seed)) >= picture).all()
        fringed = CORRUPTIONS["moire"](picture, 0.5, rng(seed)).astype(float)
        assert fringed.mean() == pytest.approx(picture.mean(), abs=4)
        light = np.sqrt((picture.astype(float) ** 2).mean())
        assert (fringed - picture).std() == pytest.approx(0.2 * light / np.sqrt(2), rel=0.1)
        assert (CORRUPTIONS["moire"](np.zeros_like(picture), 1, rng(seed)) == 0).all(), "black sends no light"


def test_the_background_is_a_dim_and_nearly_grey_wall() -> None:
    for seed in range(20):
        wall = background((90, 160), rng(seed)).astype(float)
        assert wall.min() >= 0
        assert wall.max() <= 252
        assert np.ptp(wall.mean((0, 1))) <= 25
        assert np.abs(np.diff(wall, axis=1)).max() <= 2
