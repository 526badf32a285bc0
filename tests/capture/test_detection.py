"""The search as a whole: screens in composed scenes with known corners, and pictures without a screen."""

from __future__ import annotations

import numpy as np
import pytest

from capture import ASPECT, find_screen, quad_from_corners, search
from capture.candidates import MIN_SIDE_SHARE
from capture.quad import convex, iou
from core.images import read
from samples import SAMPLES
from samples.photographs import UPRIGHT, WIDE, Scene, compose
from tests.capture.shapes import PHOTOS, THUMBNAILS

GOOD = 0.9  # IoU from which a quad counts as right


@pytest.mark.parametrize("size", [WIDE, *UPRIGHT])
def test_composed_screens_are_found(size: tuple[int, int]) -> None:
    for seed in range(6):
        scene = compose(1000 + seed, THUMBNAILS, PHOTOS, size)
        assert scene.pixels.shape == (*size[::-1], 3)
        quad = find_screen(scene.pixels)
        assert quad is not None
        assert convex(quad.corners[None]).all()
        assert quad.aspect == ASPECT
        assert iou(quad.corners, scene.corners) > 0.9


def count_others(scene: Scene) -> tuple[int, int, int]:
    """Of the further thumbnails on a page: how many are large enough, how many are offered, and how many quads are wrong."""
    least = MIN_SIDE_SHARE * min(scene.pixels.shape[:2])
    large = [box for box in scene.others if np.linalg.norm(box - np.roll(box, -1, 0), axis=1).min() >= least]
    result = search(scene.pixels)
    assert result.quad is not None
    assert iou(result.quad.corners, scene.corners) > GOOD
    screens = (scene.corners, *scene.others)
    right = sum(any(iou(quad.corners, box) > GOOD for quad in (result.quad, *result.others)) for box in large)
    wrong = sum(all(iou(quad.corners, box) <= GOOD for box in screens) for quad in result.others)
    return len(large), right, wrong


def test_of_several_on_a_page_the_most_central_is_taken_and_others_are_offered() -> None:
    """At least two thirds of eleven others, and nothing else; benchmarks.screens finds 60 % of many."""
    there, right, wrong = np.sum(
        [count_others(compose(seed, THUMBNAILS, PHOTOS)) for seed in (2004, 2021, 2067)], axis=0
    )
    assert there == 11
    assert right >= 8
    assert wrong == 0


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.path.stem)
def test_a_plain_picture_is_left_alone(sample) -> None:
    result = search(read(sample.path).pixels)
    assert result.quad is None
    assert result.reason


def test_a_picture_without_edges_is_left_alone() -> None:
    assert search(np.full((90, 160, 3), 128, np.uint8)).reason


def test_what_is_no_photograph_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="not uint8 \\(90, 160\\)"):
        search(np.zeros((90, 160), np.uint8))
    with pytest.raises(ValueError, match="A photograph is a uint8 array"):
        search(np.zeros((90, 160, 4), np.uint8))
    for shape in ((0, 0, 3), (5, 10_000, 3), (40, 1000, 3)):
        assert "too small or too narrow" in search(np.zeros(shape, np.uint8)).reason


def test_detected_corners_can_be_given_back() -> None:
    """They lie in the photograph, so that one of them can be moved by hand."""
    for seed in range(12):
        quad = search(compose(1000 + seed, THUMBNAILS, PHOTOS).pixels).quad
        if quad:
            assert np.array_equal(quad_from_corners(quad.corners, (720, 1280)).corners, quad.corners)
