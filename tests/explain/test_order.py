"""The order of the pixels: the heatmap keeps that of the raw map everywhere, and the peak is that of the raw map."""

from __future__ import annotations

import numpy as np
import pytest

from explain import METHODS, Method, explain
from explain.metrics.similarity import spearman
from tests.networks import blank, picture, small_classifier

PIXEL_METHODS = [name for name, method in METHODS.items() if method.percentile < 100]


@pytest.mark.parametrize("name", PIXEL_METHODS)
def test_the_heatmap_of_a_pixel_method_keeps_the_order_of_its_map(name: str) -> None:
    """Also where a few extreme pixels share the upper end of the scale: clipped, they would all be the hottest."""
    explanation = explain(picture(40, 52), small_classifier("gap"), name, 0)
    values = explanation.ranking
    heat, kept = explanation.heatmap, np.maximum(values, 0)
    assert heat.argmax() == values.argmax()
    assert explanation.peak == np.unravel_index(values.argmax(), values.shape)
    assert spearman(heat.ravel(), kept.ravel()) == pytest.approx(1, abs=1e-6)
    assert (heat == 1).sum() == 1
    assert ((heat > 0) == (kept > 0)).all()


@pytest.mark.parametrize("name", [name for name in PIXEL_METHODS if "guided" not in name])
def test_so_does_the_signed_map_of_a_contrast(name: str) -> None:
    explanation = explain(picture(40, 52), small_classifier("gap"), name, 0, against=2)
    values = explanation.geometry.restore(explanation.raw)
    assert explanation.signed is not None
    assert spearman(explanation.signed.ravel(), values.ravel()) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(np.sign(explanation.signed), np.sign(values))
    assert np.abs(explanation.signed).max() == 1


def test_one_extreme_pixel_does_not_hide_the_rest() -> None:
    """What the percentile is for: 99 of 100 pixels still have nine tenths of the scale."""
    explanation = explain(picture(40, 52), small_classifier("gap"), "saliency", 0)
    assert np.percentile(explanation.heatmap, 99) == pytest.approx(0.9, abs=0.01)


def test_the_peak_is_found_also_where_nothing_is_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = -np.ones((16, 16), np.float32)
    raw[3, 5] = -0.5
    monkeypatch.setitem(METHODS, "given", Method("given", "", "cam", "", "", "", function=lambda view, objective: raw))
    explanation = explain(picture(), blank((16, 16)), "given", 0)
    assert explanation.peak == (3, 5)
    assert explanation.to_dict()["peak"] == [3, 5]
    assert explanation.heatmap.max() == 0
