"""Runs of one visitor: one at a time, the last one wins, and Stop reaches into a method."""

from __future__ import annotations

import time

import numpy as np
import pytest

from core.stopping import Stopped
from explain import explain
from models import load
from samples import ROOT
from ui.runs import Runs, asked_at, stoppable


def test_a_later_run_supersedes_and_clears_stop() -> None:
    runs = Runs()
    with runs.turn() as superseded:
        assert not superseded()
        runs.stop()
        assert runs.stop_requested
        runs.started += 1  # as a later run does before it waits
        assert superseded()
    with runs.turn() as superseded:
        assert not runs.stop_requested
        assert not superseded()


def test_a_run_that_starts_late_does_not_replace_a_later_one() -> None:
    """A slow method waits longer than a quick one that was asked for after it, also after Stop."""
    runs = Runs()
    slow = time.monotonic()
    runs.stop()
    with runs.turn() as superseded:
        assert not superseded()
    token = asked_at.set(slow)
    with runs.turn() as late:
        assert late()
        assert not superseded()
        assert not runs.stop_requested
    asked_at.reset(token)


def test_stop_ends_a_method_between_two_forward_passes() -> None:
    """And the shared classifier itself is never stopped."""
    classifier = load("mobilenet_v2")
    asked: list[int] = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(Stopped):
        explain(ROOT / "photos" / "cat.jpg", stoppable(classifier, should_stop), "occlusion")
    assert len(asked) == 3
    assert np.isfinite(explain(ROOT / "photos" / "cat.jpg", classifier).heatmap).all()
