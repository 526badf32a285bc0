"""Comparisons: sort orders, expected cost, the sheet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from explain import METHODS, explain
from explain.compare import BACKWARD_COST, CURVE_PASSES, PRESETS, SORTS, Graded, caption, estimate_passes, sort_graded
from explain.metrics.faithfulness import Curve
from explain.metrics.sanity import Trust, trust
from tests.networks import detector, picture, small_classifier


def graded(method: str = "grad-cam", falls: float = 0.0, rises: float = 0.0, **facts: object) -> Graded:
    explanation = replace(explain(picture(), small_classifier("gap"), method), **facts)
    line = np.array([0.0, 1.0])
    return Graded(explanation, Trust(Curve(line, line * falls * 2), Curve(line, line * rises * 2), None))


def test_every_preset_names_methods_and_all_is_all() -> None:
    assert {name for names in PRESETS.values() for name in names} == set(METHODS)
    assert len(PRESETS["fast"]) == 6
    assert all(METHODS[name].forward_passes + METHODS[name].backward_passes <= 2 for name in PRESETS["fast"])


def test_sorting_puts_the_best_first_and_keeps_equals() -> None:
    slow = graded(falls=0.1, rises=0.9, seconds=3.0, forward_passes=50)
    quick = graded(falls=0.3, rises=0.2, seconds=1.0, forward_passes=70)
    assert sort_graded([slow, quick], "selection order") == [slow, quick]
    assert sort_graded([slow, quick], "time") == [quick, slow]
    for by in ("passes", "deletion", "insertion", "insertion - deletion"):
        assert sort_graded([quick, slow], by) == [slow, quick], by
    assert sort_graded([quick, slow], "stability") == [quick, slow], "where it was not measured"
    assert set(SORTS) >= {"time", "passes", "deletion", "insertion", "stability"}


def test_the_price_counts_the_method_its_repeats_and_the_curves() -> None:
    assert estimate_passes(["rise"], 0) == METHODS["rise"].forward_passes + CURVE_PASSES
    assert estimate_passes(["saliency"], 4) == 5 * (1 + BACKWARD_COST) + CURVE_PASSES
    assert estimate_passes(["rise", "saliency"], 2) == estimate_passes(["rise"], 2) + estimate_passes(["saliency"], 2)


def test_the_curves_cost_what_the_price_says() -> None:
    classifier = detector()
    counted = []
    forward = classifier.engine.forward
    explanation = explain(picture(), classifier, "grad-cam")
    classifier.engine.forward = lambda batch: counted.append(len(batch)) or forward(batch)
    try:
        trust(explanation, classifier, picture(), samples=0)
    finally:
        del classifier.engine.forward
    assert sum(counted) == CURVE_PASSES


def test_captions_leave_out_what_was_not_measured() -> None:
    assert "stability" not in caption(graded())
    steady = Graded(graded().explanation, replace(graded().trust, stability=0.5))
    assert caption(steady).endswith("stability 0.50")
