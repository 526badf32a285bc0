"""Explanations on Ray without Ray: a stand-in for the handle of its deployment, whose replicas die, are full, or refuse."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from core.images import read
from core.stopping import Stopped
from explain.api import ExplainSettings, explain
from models import MODELS, Classifier, catalogue, load
from ui import explainers, monitor
from ui.explainers import LocalExplainers
from ui.ray_explainers import RayExplainers, Replica

OCCLUSION = ExplainSettings("occlusion", options={"patch": 96, "stride": 48})


class Response:
    """What the handle answers: an iterator that can be cancelled."""

    def __init__(self, values: Iterator[Any]) -> None:
        self._values = values
        self.cancelled = False

    def __iter__(self) -> Iterator[Any]:
        return self._values

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """A deployment with one real replica. `faults`: what happens to the first requests, one entry each."""

    def __init__(self, *faults: str) -> None:
        self._replica = Replica()
        self._faults = list(faults)
        self.responses: list[Response] = []

    def options(self, **options: Any) -> Handle:
        assert options == {"stream": True, "method_name": "stream"}
        return self

    def remote(self, *arguments: Any) -> Response:
        fault = self._faults.pop(0) if self._faults else ""
        if fault == "full":
            raise RuntimeError("too many requests wait")
        self.responses.append(Response(self._values(fault, arguments)))
        return self.responses[-1]

    def _values(self, fault: str, arguments: tuple[Any, ...]) -> Iterator[Any]:
        async def collect() -> list[Any]:
            return [value async for value in self._replica.stream(*arguments)]

        values = asyncio.run(collect())
        if fault == "dies":
            yield from values[:1]
            raise ConnectionError("the replica died")
        yield from values[:1] if fault == "cut" else values


@pytest.fixture
def count_fallbacks() -> Callable[[], float]:
    before = monitor.fallbacks._value.get()
    return lambda: monitor.fallbacks._value.get() - before


def last(handle: Handle, settings: ExplainSettings, path: Path, classifier: Classifier) -> Any:
    *_, explanation = RayExplainers(handle).stream(settings, read(path), classifier, lambda: False)
    return explanation


@pytest.mark.parametrize(
    ("faults", "asked", "fallbacks"),
    [
        ((), 1, 0),
        (("dies",), 2, 0),
        (("cut",), 2, 0),
        (("full",), 1, 0),
        (("dies", "dies"), 2, 1),
        (("full", "full"), 0, 1),
    ],
)
def test_no_answer_is_lost(
    faults: tuple[str, ...], asked: int, fallbacks: int, mobilenet: Classifier, cat: Path,
    count_fallbacks: Callable[[], float],
) -> None:  # fmt: skip
    """Whether a replica dies in the middle, ends too early, or none has room: the map is that of this process."""
    handle = Handle(*faults)
    explanation = last(handle, OCCLUSION, cat, mobilenet)
    right = explain(cat, mobilenet, "occlusion", patch=96, stride=48)
    assert explanation.progress == 1
    assert np.array_equal(explanation.raw, right.raw)
    assert explanation.top == right.top
    assert len(handle.responses) == asked
    assert count_fallbacks() == fallbacks


def test_a_mistake_is_the_same_sentence_and_is_not_repeated(mobilenet: Classifier, cat: Path) -> None:
    handle = Handle()
    with pytest.raises(UserError) as here:
        explain(cat, mobilenet, target="no such class")
    with pytest.raises(UserError) as there:
        last(handle, ExplainSettings(target="no such class"), cat, mobilenet)
    assert str(there.value) == str(here.value)
    assert len(handle.responses) == 1


def test_a_stop_ends_the_work_of_the_replica(mobilenet: Classifier, cat: Path) -> None:
    handle = Handle()
    stops = iter([False, True])
    run = RayExplainers(handle).stream(OCCLUSION, read(cat), mobilenet, lambda: next(stops))
    next(run)
    with pytest.raises(Stopped):
        next(run)
    assert handle.responses[0].cancelled
    left = RayExplainers(handle).stream(OCCLUSION, read(cat), mobilenet, lambda: False)
    next(left)
    left.close()  # the visitor left
    assert handle.responses[1].cancelled


def test_a_finished_run_is_not_cancelled(mobilenet: Classifier, cat: Path) -> None:
    handle = Handle()
    last(handle, ExplainSettings(), cat, mobilenet)
    assert not handle.responses[0].cancelled


def test_the_model_of_a_visitor_stays_in_this_process(mobilenet: Classifier, cat: Path) -> None:
    """Replicas have no copy of it, even if it has the name of a shared one."""
    handle, own = Handle(), copy.copy(mobilenet)
    explanation = last(handle, ExplainSettings(), cat, own)
    assert handle.responses == []
    assert np.array_equal(explanation.raw, explain(cat, own).raw)


def test_a_model_of_the_command_line_stays_in_this_process(mobilenet: Classifier, cat: Path) -> None:
    handle, own = Handle(), copy.copy(mobilenet)
    own.name = "a file"
    catalogue.add(own.name, own, "224 x 224")
    try:
        explanation = last(handle, ExplainSettings(), cat, own)
    finally:
        MODELS.pop(own.name)
    assert handle.responses == []
    assert np.array_equal(explanation.raw, explain(cat, own).raw)


def test_a_replica_stops_between_two_passes(cat: Path) -> None:
    """Where the page cancels, the generator of the replica is closed, and its next forward pass does not run."""
    replica, passes = Replica(), []
    engine = load("mobilenet_v2").engine
    forward = engine.forward

    async def take_one() -> None:
        stream = replica.stream("mobilenet_v2", OCCLUSION, read(cat))
        await anext(stream)
        passes.append(1)
        await stream.aclose()

    engine.forward = lambda batch: passes.append(len(batch)) or forward(batch)  # type: ignore[method-assign]
    try:
        asyncio.run(take_one())
    finally:
        del engine.forward  # type: ignore[attr-defined]
    assert passes[-1] == 1


def test_the_page_uses_what_it_is_told(mobilenet: Classifier, cat: Path) -> None:
    handle = Handle()
    explainers.use(RayExplainers(handle))
    try:
        *_, explanation = explainers.stream(ExplainSettings(), read(cat), mobilenet, lambda: False)
    finally:
        explainers.use(LocalExplainers())
    assert len(handle.responses) == 1
    assert np.array_equal(explanation.raw, explain(cat, mobilenet).raw)
