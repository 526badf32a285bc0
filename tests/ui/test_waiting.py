"""The queue: who may wait, in which line, and who is next."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from gradio.data_classes import PredictBodyInternal

from models import MODELS
from ui import waiting
from ui.guard import Refusal
from ui.waiting import FairQueue, Line


@pytest.fixture
def queue() -> FairQueue:
    """The queue of the page; nothing takes events out of it."""
    import app

    return FairQueue(True, 16, 1, None, app.demo, 4)


def function(name: str) -> Any:
    import app

    return next(fn for fn in app.demo.fns.values() if fn.api_name == name)


def push(queue: FairQueue, name: str, session: str, address: str = "1.1.1.1", **values: Any) -> Any:
    """Ask for an event, with values for the inputs with these elem_ids."""
    fn = function(name)
    data = [values.get(str(getattr(block, "elem_id", None)).replace("-", "_")) for block in fn.inputs]
    body = PredictBodyInternal(session_hash=session, data=data, fn_index=fn._id, request=None)
    request: Any = SimpleNamespace(client=SimpleNamespace(host=address))
    return run(queue.push(body, request, None))


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def line(queue: FairQueue, name: str) -> list[str]:
    return [event.session_hash for event in queue.event_queue_per_concurrency_id[name].queue]


def told(queue: FairQueue, session: str) -> list[str]:
    """The messages in words for a visitor."""
    messages = queue.pending_messages_per_session[session]
    found = []
    while not messages.empty():
        message = messages.get_nowait()
        found.append(getattr(message, "log", ""))
    return [text for text in found if text]


def test_visitors_and_addresses_take_turns(queue: FairQueue) -> None:
    for session, address in [("a", "1"), ("a", "1"), ("a", "1"), ("b", "1"), ("c", "2"), ("c", "2"), ("d", "3")]:
        push(queue, "compare", session, address)
    assert line(queue, "long") == ["a", "c", "d", "b", "c", "a", "a"]
    started = []
    for _ in range(3):
        events, _, _ = queue.get_events() or ([], False, "")
        started += [event.session_hash for event in events]
    assert started == ["a", "c", "d"]
    push(queue, "compare", "e", "4")
    assert line(queue, "long")[0] == "e", "who was never served comes before who was"


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(waiting.LINES, "long", Line(waiting=7, per_visitor=3, per_address=5))


def test_nobody_can_fill_the_queue(queue: FairQueue) -> None:
    for _ in range(3):
        push(queue, "run_attack", "a", "1")
    with pytest.raises(Refusal, match="3 of your runs are waiting") as refusal:
        push(queue, "run_attack", "a", "1")
    assert refusal.value.status == 429
    assert int(refusal.value.headers["Retry-After"]) > 0
    for session in "bc":
        push(queue, "run_visualisation", session, "1")
    with pytest.raises(Refusal, match="Too many people"):
        push(queue, "run_audit", "d", "1")
    for session in "ef":
        push(queue, "compare", session, "2")
    with pytest.raises(Refusal, match="Too many people"):
        push(queue, "compare", "g", "3")
    push(queue, "explain_new", "g", "1", method="grad-cam", model="mobilenet_v2")
    assert line(queue, "model") == ["g"], "the other lines are open"


def test_slow_methods_and_downloads_leave_the_quick_line(queue: FairQueue) -> None:
    downloaded = next(name for name, model in MODELS.items() if not model.embedded)
    push(queue, "explain_new", "quick", method="grad-cam", model="mobilenet_v2", options="", canvas="224")
    push(queue, "explain_picture", "slow", method="rise", model="mobilenet_v2", options="samples=1000", canvas="224")
    push(queue, "explain", "api", method="lime", model="mobilenet_v2")
    push(queue, "explain_new", "download", method="rise", model=downloaded)
    push(queue, "predict", "download", model=downloaded)
    assert line(queue, "model") == ["quick"]
    assert sorted(line(queue, "slow")) == ["api", "slow"]
    assert line(queue, "download") == ["download", "download"]


def test_the_place_is_told_in_words(queue: FairQueue) -> None:
    push(queue, "compare", "a")
    queue.get_events()
    queue.event_queue_per_concurrency_id["long"].current_concurrency = 1
    assert told(queue, "a") == []
    queue.process_time_per_fn[function("compare")].add(20)
    push(queue, "compare", "b", "2")
    push(queue, "compare", "c", "3")
    assert told(queue, "b") == ["Your run is number 1 in the queue. It starts after 1 other run, in about 20 s."]
    assert told(queue, "c") == ["Your run is number 2 in the queue. It starts after 2 other runs, in about 40 s."]


def test_checks_of_maps_start_while_no_map_waits(queue: FairQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until they have waited too long."""

    def next_names() -> list[str]:
        picked = queue.get_events()
        return [event.fn.api_name for event in picked[0]] if picked else []

    push(queue, "prove", "a")
    for visitor in "bcd":
        push(queue, "explain_new", visitor)
    assert [next_names() for _ in range(4)] == [["explain_new"]] * 3 + [["prove"]]
    push(queue, "prove", "a")
    push(queue, "explain_new", "b")
    monkeypatch.setattr(waiting, "CHECK_SECONDS", 0.0)
    assert {*next_names(), *next_names()} == {"explain_new", "prove"}
    assert told(queue, "a") == []


def test_an_event_that_does_not_exist_is_a_sentence(queue: FairQueue) -> None:
    for number in (10**9, -1, None):
        body = PredictBodyInternal(session_hash="a", data=[], fn_index=number, request=None)
        with pytest.raises(Refusal, match="no such event"):
            run(queue.push(body, SimpleNamespace(client=None), None))  # type: ignore[arg-type]


def test_past_events_are_not_sorted_after_each_event(queue: FairQueue) -> None:
    """Gradio does, on the processor that explains: for a thousand past events that took longer than an explanation."""
    records = [{"function": "predict", "status": "success", "process_time": 1.0}]
    queue.events_recorded = 1
    assert queue.compute_analytics_summary(records) == {"functions": {}}
