"""The figures of the Compare tab: the sheet and the matrix."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.explain.test_compare import graded
from tests.networks import picture
from ui import compare_figures as figures


@pytest.mark.parametrize("count", [1, 11])
def test_a_sheet_holds_every_map_and_opens(count: int) -> None:
    methods = [graded(seconds=float(index)) for index in range(count)]
    drawn = figures.sheet(
        "photo",
        picture(90, 160),
        [replace(g, explanation=replace(g.explanation, heatmap=np.zeros((90, 160), np.float32))) for g in methods],
    )
    shown = [axis for part in drawn.subfigs for axis in part.axes if axis.images]
    assert len(shown) >= count + 1, "the picture and each map"
    pixels = np.asarray(Image.open(io.BytesIO(figures.save(drawn, "png"))))
    assert pixels.shape[1] > 1500
    pdf = figures.save(drawn, "pdf")
    assert pdf.startswith(b"%PDF")
    assert pdf.rstrip().endswith(b"%%EOF")


def test_a_drawn_matrix_says_how_far_maps_agree() -> None:
    rising = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    same, opposite = graded(heatmap=rising), graded(heatmap=1 - rising)
    axis = figures.matrix([same, same, opposite]).axes[0]
    np.testing.assert_allclose(axis.images[0].get_array(), [[1, 1, -1], [1, 1, -1], [-1, -1, 1]], atol=1e-6)
