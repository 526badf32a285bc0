"""Colours, overlays and legends."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import UnknownNameError, UserError
from explain import explain, render
from tests.networks import linear, picture

RAMP = np.linspace(0, 1, 256, dtype=np.float32)[None]
UNIFORM = ("inferno", "viridis", "magma", "plasma", "cividis")


def _lightness(colours: np.ndarray) -> np.ndarray:
    """CIE L* of uint8 sRGB."""
    linear = np.where(colours / 255 <= 0.04045, colours / 255 / 12.92, ((colours / 255 + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return 116 * np.where(y > 0.008856, np.cbrt(y), 7.787 * y + 16 / 116) - 16


@pytest.mark.parametrize("colormap", UNIFORM)
def test_uniform_maps_grow_lighter_all_the_way(colormap: str) -> None:
    lightness = _lightness(render.colours(RAMP, colormap)[0])
    assert (np.diff(lightness) > -0.35).all()  # 8-bit colours round by that much
    assert lightness[-1] - lightness[0] > 55
    steps = np.diff(lightness[::16])
    assert steps.max() < 3.5 * steps.min()


def test_the_first_colour_map_is_uniform_and_jet_is_last() -> None:
    assert render.COLORMAPS[: len(UNIFORM)] == UNIFORM
    assert render.COLORMAPS[-1] == "jet"
    lightness = _lightness(render.colours(RAMP, "jet")[0])
    assert (np.diff(lightness) < -1).any(), "which is why it is not the default"


def test_colours_are_rgb_not_bgr() -> None:
    low, high = render.colours(np.array([[0.0, 1.0]]), "inferno")[0].astype(int)
    assert high[0] > 200  # a light yellow
    assert high[1] > 200
    assert high[2] < 190
    assert low.max() < 10
    red = render.colours(np.array([[1.0]]), "jet")[0, 0]
    blue = render.colours(np.array([[0.0]]), "jet")[0, 0]
    assert red[0] > 100 > red[2]
    assert blue[2] > 100 > blue[0]
    assert render.colours(np.array([[0.0]]), "viridis")[0, 0].tolist() == [68, 1, 84]
    assert render.colours(np.array([[1.0]]), "viridis")[0, 0].tolist() == [253, 231, 37]


@pytest.mark.parametrize("colormap", render.COLORMAPS)
def test_shape_type_and_the_whole_scale(colormap: str) -> None:
    colours = render.colours(RAMP, colormap)
    assert colours.shape == (1, 256, 3)
    assert colours.dtype == np.uint8
    assert len(np.unique(colours[0], axis=0)) > 200
    clipped = render.colours(np.array([[-1.0, 2.0]]), colormap)[0]
    np.testing.assert_array_equal(clipped, colours[0, [0, -1]])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_an_error(wrong: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        render.colours(np.array([[0, wrong]]))
    with pytest.raises(ValueError, match="not finite"):
        render.overlay(picture(16, 16), np.full((16, 16), wrong))


@pytest.mark.parametrize("colormap", render.COLORMAPS)
def test_opacity_goes_from_the_photo_to_the_colours(colormap: str) -> None:
    pixels = picture(31, 57)
    heatmap = np.random.default_rng(0).random((31, 57), np.float32)
    colours = render.colours(heatmap, colormap)
    np.testing.assert_array_equal(render.overlay(pixels, heatmap, colormap, 0), pixels)
    np.testing.assert_array_equal(render.overlay(pixels, heatmap, colormap, 1), colours)
    half = render.overlay(pixels, heatmap, colormap, 0.5)
    assert half.dtype == np.uint8
    assert half.shape == pixels.shape
    np.testing.assert_allclose(half, (pixels.astype(float) + colours) / 2, atol=0.51)


def test_the_photo_keeps_its_brightness_whatever_the_map() -> None:
    """Convex, not scaled by the brightest pixel: where the map is alike, so is the overlay."""
    pixels, one, other = picture(16, 16), np.zeros((16, 16)), np.zeros((16, 16))
    other[0, 0] = 1
    different = (render.overlay(pixels, one) != render.overlay(pixels, other)).any(-1)
    assert np.argwhere(different).tolist() == [[0, 0]]


def test_views_and_read_only_pictures_are_fine() -> None:
    pixels = picture(32, 32)[::2, ::-2]
    pixels.flags.writeable = False
    np.testing.assert_array_equal(render.overlay(pixels, np.zeros((16, 16)), opacity=0), pixels)


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_an_opacity_out_of_range(opacity: float) -> None:
    with pytest.raises(UserError, match="from 0 to 1"):
        render.overlay(picture(16, 16), np.zeros((16, 16)), opacity=opacity)


def test_an_unknown_colour_map() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'viridis'"):
        render.colours(RAMP, "virdis")


@pytest.mark.parametrize("size", [(16, 16), (30, 40), (40, 64), (50, 120), (300, 200), (720, 1280), (40, 4000)])
def test_sheet_and_legend_fit_any_width(size: tuple[int, int]) -> None:
    pixels = picture(*size)
    canvas = (16, 128) if size[1] > 16 * size[0] else (16, 16)
    explanation = explain(pixels[:, : 16 * size[0]], linear(canvas), "saliency", 0)
    legend = render.legend(explanation, size[1])
    assert legend.dtype == np.uint8
    assert legend.shape[1:] == (size[1], 3)
    assert 25 <= legend.shape[0] <= 100
    assert len(np.unique(legend.reshape(-1, 3), axis=0)) > 10, "the colour bar is there"
    assert (legend[:, 0] == 255).all(), "nothing runs over the edge"
    assert (legend[:, -1] == 255).all()
    if explanation.heatmap.shape == size:
        sheet = render.sheet(pixels, explanation, "viridis", 0.3)
        assert sheet.shape == (size[0] + legend.shape[0], size[1], 3)
        np.testing.assert_array_equal(sheet[: size[0]], render.overlay(pixels, explanation.heatmap, "viridis", 0.3))
        np.testing.assert_array_equal(sheet[size[0] :], render.legend(explanation, size[1], "viridis"))


def test_the_legend_says_what_is_explained() -> None:
    """Another class or another model gives another strip; very long labels are cut, not wrapped or run into the bar."""
    import dataclasses

    explanation = explain(picture(), linear(), "saliency", 0)
    other = dataclasses.replace(explanation, label="another")
    long = dataclasses.replace(explanation, label="a very long label " * 20)
    strips = [render.legend(e, 640) for e in (explanation, other, long, dataclasses.replace(explanation, model="m"))]
    assert len({strip.tobytes() for strip in strips}) == 4
    assert len({strip.shape for strip in strips}) == 1
    bar = slice(640 - 213 - 20, None)
    np.testing.assert_array_equal(strips[0][:, bar], strips[2][:, bar])
