"""Localisation metrics on a map whose values are known."""

from __future__ import annotations

import numpy as np

from explain.metrics import localisation


def test_pointing_game_and_energy() -> None:
    heatmap = np.zeros((10, 10))
    heatmap[2, 3], heatmap[7, 7], heatmap[0, 0] = 3, 1, -5
    region = localisation.regions([(3, 2, 5, 4)], (10, 10))
    assert region.sum() == 4
    assert localisation.pointing_game(heatmap, region)
    assert not localisation.pointing_game(-heatmap, region)
    assert localisation.energy(heatmap, region) == 0.75
    assert localisation.energy(np.zeros((10, 10)), region) == 0
    far = localisation.regions([(6, 2, 9, 4)], (10, 10))
    assert not localisation.pointing_game(heatmap, far, tolerance=2)
    assert localisation.pointing_game(heatmap, far, tolerance=3)
