"""Shared forward passes: who shares with whom, in which order, and that the answers are those of the engine."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from models import load
from models.shared_engine import SharedEngine, share_engine, share_passes


class GatedEngine:
    """Waits in its first pass until `gate` is set. Notes the shape of every batch. The logits are the sums of the canvases."""

    def __init__(self, fails: bool = False) -> None:
        self.gate, self.entered = threading.Event(), threading.Event()
        self.shapes: list[tuple[int, ...]] = []
        self._fails = fails

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.shapes.append(batch.shape[:2])
        if len(self.shapes) == 1:
            self.entered.set()
            assert self.gate.wait(10)
        if self._fails and len(self.shapes) > 1:
            raise ArithmeticError("the pass failed")
        return batch[:, :1, :1], batch.sum((1, 2))


def canvas(value: float, height: int = 4, count: int = 1) -> np.ndarray:
    return np.full((count, height, 4, 1), value, np.float32)


def run_behind_a_pass(engine: GatedEngine, batches: list[np.ndarray]) -> list[object]:
    """What each of several threads gets that ask, in this order, while another pass runs."""
    shared = SharedEngine(engine)
    results: list[object] = [None] * len(batches)

    def ask(index: int) -> None:
        try:
            results[index] = shared.forward(batches[index])
        except ArithmeticError as error:
            results[index] = error

    first = threading.Thread(target=shared.forward, args=[canvas(0)])
    first.start()
    assert engine.entered.wait(10)
    threads = []
    for index in range(len(batches)):
        thread = threading.Thread(target=ask, args=[index])
        thread.start()
        while len(shared._single) + len(shared._batches) <= index:
            assert thread.is_alive()
        threads.append(thread)
    engine.gate.set()
    for thread in [first, *threads]:
        thread.join(10)
    return results


def test_canvases_that_wait_share_a_pass_and_each_gets_its_own_outputs() -> None:
    engine = GatedEngine()
    results = run_behind_a_pass(engine, [canvas(value) for value in (1, 2, 3)])
    assert engine.shapes == [(1, 4), (3, 4)]
    for value, outputs in zip((1, 2, 3), results, strict=True):
        assert isinstance(outputs, tuple)
        assert outputs[0].tolist() == [[[[value]]]]
        assert outputs[1].tolist() == [[16 * value]]


def test_other_sizes_wait_for_their_own_pass() -> None:
    engine = GatedEngine()
    results = run_behind_a_pass(engine, [canvas(1), canvas(2, height=8), canvas(3)])
    assert engine.shapes == [(1, 4), (2, 4), (1, 8)]
    assert [outputs[1].tolist() for outputs in results if isinstance(outputs, tuple)] == [[[16]], [[64]], [[48]]]


def test_single_canvases_come_before_batches() -> None:
    engine = GatedEngine()
    run_behind_a_pass(engine, [canvas(1, count=5), canvas(2, count=6), canvas(3), canvas(4)])
    assert engine.shapes == [(1, 4), (2, 4), (5, 4), (6, 4)]


def test_a_pass_that_fails_fails_for_all_who_share_it() -> None:
    engine = GatedEngine(fails=True)
    results = run_behind_a_pass(engine, [canvas(1), canvas(2)])
    assert [str(error) for error in results] == ["the pass failed"] * 2


def test_after_a_failure_the_next_pass_runs() -> None:
    class FailsOnce:
        calls = 0

        def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            self.calls += 1
            if self.calls == 1:
                raise ArithmeticError("once")
            return batch, batch.sum((1, 2))

    shared = SharedEngine(FailsOnce())
    with pytest.raises(ArithmeticError, match="once"):
        shared.forward(canvas(1))
    assert shared.forward(canvas(2))[1].tolist() == [[32]]


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_lite0"])
def test_shared_answers_are_those_of_a_pass_of_their_own(name: str) -> None:
    """Within 1e-6 of the largest value, for every number of canvases that share a pass."""
    classifier, rng = load(name), np.random.default_rng(0)
    canvases = rng.uniform(0, 255, (5, 96, 128, 3)).astype(np.float32)
    alone = [classifier.forward(one[None]) for one in canvases]
    for count in range(2, 6):
        together = classifier.forward(canvases[:count])
        for index in range(count):
            for mine, shared in zip(alone[index], together, strict=True):
                assert np.abs(mine[0] - shared[index]).max() <= 1e-6 * np.abs(mine).max()


def test_all_runs_of_a_model_share() -> None:
    classifier = load("mobilenet_v2")
    first, second = share_passes(classifier), share_passes(classifier)
    assert first.engine is second.engine is share_engine(classifier.engine)
    assert first.engine is not share_engine(load("efficientnet_lite0").engine)
    assert classifier.engine is not first.engine
