"""The effect of a cue, in closed form."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from audit import summarise
from audit.cues import KINDS


def test_an_effect_is_the_loss_beyond_that_of_the_control_exchange() -> None:
    """Of four pictures with a margin of 2. Every exchange costs 1 of it, whoever gives the cue, except the first kind's.

    The first kind costs 4 with a cue of the rival and 0, 1, 1 and 2 with one of the own class.
    """
    exchanged = np.ones((4, len(KINDS), 2), np.float32)
    exchanged[:, 0, 0] = 2, 1, 1, 0
    exchanged[:, 0, 1] = -2
    sample = {
        "label": np.array([0, 0, 1, 1]),
        "rival": np.array([1, 1, 0, 0]),
        "margin": np.full(4, 2, np.float32),
        "exchanged": exchanged,
        "kept_class": (exchanged > 0).astype(np.float32),
    }
    for class_index in (0, 1):
        first, *others = summarise._measure_reliances(sample, class_index)
        assert first.effect_size == pytest.approx(3 / 2)
        assert first.standard_error == pytest.approx(np.std([4, 3, 3, 2], ddof=1) / 2 / 2)
        assert (first.accuracy_with_own_cue, first.accuracy_with_other_cue) == (0.75, 0)
        assert [astuple(cue)[1:] for cue in others] == [(0, 0, 1, 1)] * len(others)
