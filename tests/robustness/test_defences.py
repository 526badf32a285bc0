"""Defences on a real network."""

from __future__ import annotations

import numpy as np

from robustness.adversarial import attack
from robustness.defences import DEFENCES, run_defences
from tests.robustness.linear_models import read_back


def test_attacks_on_a_real_network_survive_png_and_meet_the_defences(mobilenet, cat_pixels: np.ndarray) -> None:
    """451 x 300 pixels on a canvas of 288 x 192."""
    result = attack(cat_pixels, mobilenet, "pgd", "espresso", epsilon=4, steps=20, early_stop=True)
    assert result.success
    seen = mobilenet.predict(read_back(result.attacked), 1)[0]
    assert seen.label == "espresso"
    assert result.linf <= 4
    rows = {row.name: row for row in run_defences(result, mobilenet)}
    assert set(rows) == set(DEFENCES)
    assert not rows["saved as PNG"].undone
    assert rows["saved as PNG"].attacked == result.after[0]
    assert rows["saved as PNG"].original == result.before[0]
    assert rows["resized to half and back"].undone, "the finest detail carries a weak attack"
    for row in rows.values():
        assert row.restored <= row.undone
