"""What the Stress tab says of its results: the facts are in it, and nothing of a visitor's names runs as HTML."""

from __future__ import annotations

import numpy as np

from models import Prediction
from robustness.corruption_curves import CorruptionCurve
from robustness.defences import DefenceResult
from robustness.minimal import MinimalPerturbation
from ui.stress_results import describe_curves, describe_search, render_card, render_defences

EVIL = "<script>alert(1)</script>"


def curve(name: str, labels: tuple[str, str, str]) -> CorruptionCurve:
    """A curve at severities 0, 0.5 and 1 with the predicted labels there."""
    top = tuple(Prediction(0 if label == labels[0] else 1, label, 0.9) for label in labels)
    return CorruptionCurve(name, top[0], (0.0, 0.5, 1.0), (0.9, 0.5, 0.1), top, (1.0, 0.9, 0.8))


def test_names_are_escaped() -> None:
    prediction = Prediction(0, EVIL, 0.9)
    defences = render_defences([DefenceResult("saved as PNG", prediction, prediction, False, True)])
    card = render_card(np.zeros((20, 30, 3), np.uint8), curve("blur", (EVIL, EVIL, EVIL)))
    for html in (defences, card):
        assert "<script" not in html
        assert "&lt;script&gt;" in html


def test_no_defence_is_no_table() -> None:
    assert render_defences([]) == ""


def test_the_first_failure_is_named() -> None:
    curves = {
        "blur": curve("blur", ("cat", "cat", "dog")),
        "jpeg": curve("jpeg", ("cat", "dog", "dog")),
        "zoom": curve("zoom", ("cat", "cat", "cat")),
    }
    text = describe_curves(curves)
    assert "cat" in text
    assert "2 of 3" in text
    assert "jpeg, at severity 0.5" in text
    assert "none of the 1 corruptions" in describe_curves({"zoom": curves["zoom"]})
    assert "%" not in describe_curves({})


def test_a_search_lists_its_budgets() -> None:
    tried = ((1.0, False), (2.0, True))
    assert "1/255 fails, 2/255 succeeds." in describe_search(MinimalPerturbation("linf", tried, None, 1.0))
    assert "1.00 fails, 2.00 succeeds ..." in describe_search(MinimalPerturbation("l2", tried, None, 0.5))
