"""Patches, cells, blur and passes follow the size and the shape of the picture on its canvas."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import UserError
from explain import METHODS, explain, stream
from explain.methods.masks import make_grid
from explain.view import View
from tests.networks import linear, picture

SHAPES = [(28, 28), (64, 64), (720, 1280), (200, 600), (64, 1024), (1024, 64)]


def only_upper_left(side: int) -> np.ndarray:
    """Weights of a network that looks at the red channel of the upper left quarter."""
    weights = np.zeros((side, side, 3, 2))
    weights[: side // 2, : side // 2, 0, 0] = 1
    return weights


@pytest.mark.parametrize("side", [28, 32, 48, 224])
def test_the_patch_of_a_small_network_shows_where_the_evidence_is(side: int) -> None:
    pixels = picture(side, side)
    pixels[: side // 2, : side // 2, 0] |= 128
    found = explain(pixels, linear((side, side), weights=only_upper_left(side)), "occlusion", 0, fill="black")
    assert found.heatmap[: side // 2, : side // 2].sum() > 0.8 * found.heatmap.sum()
    assert found.parameters["patch"] == round(side / 7)
    assert found.parameters["stride"] == -(-found.parameters["patch"] // 2)


def test_a_patch_that_was_chosen_stays() -> None:
    found = explain(picture(), linear(), "occlusion", patch=8, stride=8)
    assert (found.parameters["patch"], found.parameters["stride"]) == (8, 8)
    assert explain(picture(), linear(), "occlusion", patch=8).parameters["stride"] == 4
    assert METHODS["occlusion"].parse({"patch": "32"})["patch"] == 32
    assert explain(picture(), linear(), "occlusion", **METHODS["occlusion"].parse({})).parameters["patch"] == 2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", ["occlusion", "sobol"])
def test_passes_are_as_announced_whatever_the_shape(method: str, shape: tuple[int, int]) -> None:
    first = next(stream(picture(*shape), linear((96, 96)), method))
    passes = 1 + (first.forward_passes - 1) / first.progress
    assert 0.5 * METHODS[method].forward_passes < passes < 1.35 * METHODS[method].forward_passes


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 5, 8, 12])
def test_cells_are_nearly_square_and_not_too_many(shape: tuple[int, int], count: int) -> None:
    classifier = linear((96, 96))
    grid = make_grid(View(classifier, classifier.geometry(shape), picture(*shape)), count, soft=False)
    assert grid.count <= 2 * count**2
    if max(shape) <= 2 * min(shape):
        assert min(grid.rows, grid.columns) == count
    sides = sorted((grid.size[0] / grid.rows, grid.size[1] / grid.columns))
    assert sides[1] <= 2.5 * sides[0] or min(grid.rows, grid.columns) == 1


def test_the_first_blur_is_a_share_of_the_picture() -> None:
    assert explain(picture(), linear(), "blur-ig", 0, steps=2).parameters["sigma"] == pytest.approx(50 * 16 / 224)
    assert explain(picture(), linear(), "blur-ig", 0, steps=2, sigma=3).parameters["sigma"] == 3


def test_several_canvases_of_a_fixed_one() -> None:
    with pytest.raises(UserError, match="takes one canvas only, 16x16; use smooth='flip'"):
        explain(picture(), linear(), smooth="multiscale")
