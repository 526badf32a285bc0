"""Comparing: the order, the price, the sheet."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from explain import METHODS, explain, figures
from explain.compare import BACKWARD, CURVES, PRESETS, SORTS, Graded, caption, ordered, passes
from explain.faithfulness import Curve
from explain.sanity import Trust, trust
from tests.explain.nets import detector, from_keras, picture


def graded(method: str = "grad-cam", falls: float = 0.0, rises: float = 0.0, **facts: object) -> Graded:
    found = replace(explain(picture(), from_keras("gap"), method), **facts)
    line = np.array([0.0, 1.0])
    return Graded(found, Trust(Curve(line, line * falls * 2), Curve(line, line * rises * 2), None))


def test_every_preset_names_methods_and_all_is_all() -> None:
    assert {name for names in PRESETS.values() for name in names} == set(METHODS)
    assert len(PRESETS["fast"]) == 6
    assert all(METHODS[name].forward + METHODS[name].backward <= 2 for name in PRESETS["fast"])


def test_sorting_puts_the_best_first_and_keeps_equals() -> None:
    slow = graded(falls=0.1, rises=0.9, seconds=3.0, forward_passes=50)
    quick = graded(falls=0.3, rises=0.2, seconds=1.0, forward_passes=70)
    assert ordered([slow, quick], "order asked for") == [slow, quick]
    assert ordered([slow, quick], "time") == [quick, slow]
    for by in ("passes", "deletion", "insertion", "insertion - deletion"):
        assert ordered([quick, slow], by) == [slow, quick], by
    assert ordered([quick, slow], "stability") == [quick, slow], "where it was not measured"
    assert set(SORTS) >= {"time", "passes", "deletion", "insertion", "stability"}


def test_the_price_counts_the_method_its_repeats_and_the_curves() -> None:
    assert passes(["rise"], 0) == METHODS["rise"].forward + CURVES
    assert passes(["saliency"], 4) == 5 * (1 + BACKWARD) + CURVES
    assert passes(["rise", "saliency"], 2) == passes(["rise"], 2) + passes(["saliency"], 2)


def test_the_curves_cost_what_the_price_says() -> None:
    classifier = detector()
    counted = []
    forward = classifier.engine.forward
    found = explain(picture(), classifier, "grad-cam")
    classifier.engine.forward = lambda batch: counted.append(len(batch)) or forward(batch)
    try:
        trust(found, classifier, picture(), samples=0)
    finally:
        del classifier.engine.forward
    assert sum(counted) == CURVES


def test_captions_leave_out_what_was_not_measured() -> None:
    assert "stability" not in caption(graded())
    steady = Graded(graded().found, replace(graded().trust, stability=0.5))
    assert caption(steady).endswith("stability 0.50")


@pytest.mark.parametrize("count", [1, 11])
def test_a_sheet_holds_every_map_and_opens(count: int) -> None:
    methods = [graded(seconds=float(index)) for index in range(count)]
    drawn = figures.sheet(
        "photo",
        picture(90, 160),
        [replace(g, found=replace(g.found, heatmap=np.zeros((90, 160), np.float32))) for g in methods],
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
