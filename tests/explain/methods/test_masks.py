"""Cells and their masks: pixels of cells, nearly square grids, scores of masked pictures, untouched padding."""

from __future__ import annotations

import numpy as np
import pytest

from explain.baselines import make_baseline
from explain.methods.masks import Grid, Segments, make_grid, pad_to_canvas, score_masks
from explain.view import View
from tests.networks import blank, linear, picture, unit


def view_of(classifier, pixels: np.ndarray) -> View:
    return View(classifier, classifier.geometry(pixels.shape[:2]), pixels)


def test_hard_cells_are_painted_whole() -> None:
    cells = Grid((8, 12), 2, 3, soft=False)
    values = np.arange(12.0).reshape(2, 6)
    expected = np.repeat(np.repeat(values.reshape(2, 2, 3), 4, 1), 4, 2)
    np.testing.assert_array_equal(cells.to_pixels(values), expected)


def test_soft_cells_keep_their_value_in_the_middle_and_their_mean() -> None:
    cells = Grid((9, 15), 3, 5, soft=True)
    values = np.random.default_rng(0).random((4, 15))
    painted = cells.to_pixels(values)
    np.testing.assert_allclose(painted[:, 1::3, 1::3].reshape(4, 15), values, atol=1e-6)
    assert painted.min() >= values.min() - 1e-6


def test_segments_are_painted_by_their_label() -> None:
    labels = np.array([[0, 0, 1], [2, 2, 1]])
    np.testing.assert_array_equal(Segments(labels).to_pixels(np.array([[5.0, 6, 7]])), [[[5, 5, 6], [7, 7, 6]]])


def test_cells_are_nearly_square() -> None:
    view = view_of(blank((32, 64)), picture(32, 64))
    assert (make_grid(view, 4, soft=True).rows, make_grid(view, 4, soft=True).columns) == (4, 8)


@pytest.mark.parametrize("size", [(16, 16), (8, 16), (16, 9)])
def test_scores_are_those_of_the_blended_pictures_and_leave_padding_alone(size: tuple[int, int]) -> None:
    classifier, pixels = linear(), picture(*size)
    view = view_of(classifier, pixels)
    cells = make_grid(view, 2, soft=False)
    masks = np.random.default_rng(1).random((21, cells.count)).astype(np.float32)
    empty = make_baseline(view, "black")
    found = score_masks(view, unit(3, 0), cells, masks, empty)
    top, left, height, width = view.geometry.box
    for score, mask in zip(found, masks, strict=True):
        canvas = view.canvas.copy()
        canvas[top : top + height, left : left + width] *= cells.to_pixels(mask[None])[0][..., None]
        assert score == pytest.approx(float(classifier.forward(canvas[None])[1][0, 0]), abs=1e-3)


def test_a_map_of_the_picture_is_zero_on_the_padding() -> None:
    view = view_of(linear((32, 48)), picture(32, 24))
    padded = pad_to_canvas(view, np.ones((32, 24)))
    assert padded.shape == (32, 48)
    assert padded.sum() == 32 * 24
    assert (padded[:, 12:36] == 1).all()
