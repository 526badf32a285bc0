from __future__ import annotations

import numpy as np
import pytest

from tests.networks import SIDE


@pytest.fixture
def weight() -> np.ndarray:
    return np.random.default_rng(4).normal(0, 0.01, (SIDE, SIDE, 3))


@pytest.fixture
def grey() -> np.ndarray:
    """Far from black and white, so that no change is cut off."""
    return np.random.default_rng(5).integers(80, 170, (SIDE, SIDE, 3), dtype=np.uint8)
