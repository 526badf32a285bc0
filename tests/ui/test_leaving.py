"""Work ends when its visitor leaves or presses Stop, and at its deadline: for every event that can take long."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from samples import ROOT
from tests.ui.site import Stranger, file_data
from ui import budget, waiting

PATIENCE = 20  # seconds; each run below takes minutes if nothing ends it
LONG: dict[str, dict[str, Any]] = {  # events that take long, with the values of some inputs
    "explain_new": {"method": "rise", "options": "samples=5000"},
    "explain_picture": {"method": "integrated-gradients", "options": "steps=500"},
    "compare": {"methods": ["rise", "lime", "hsic"]},
    "run_attack": {},
    "run_search": {},
    "run_corruptions": {},
    "run_visualisation": {"dream-steps": 256},
    "run_audit": {},
    "play_next_step": {},
}


@pytest.fixture(scope="module")
def picture(stranger: Stranger) -> dict[str, Any]:
    return file_data(stranger.upload("cat.jpg", (ROOT / "photos" / "cat.jpg").read_bytes()))


def values(stranger: Stranger, name: str, picture: dict[str, Any], changes: dict[str, Any]) -> tuple[int, list[Any]]:
    """The event with this name, and its inputs: as on a new page, with this picture and these changes."""
    event = stranger.named(name)
    data = stranger.values(event)
    for position, number in enumerate(stranger.events[event]["inputs"]):
        part = stranger.components[number]
        if part["type"] == "image":
            data[position] = picture
        data[position] = changes.get(part["props"].get("elem_id"), data[position])
    return event, data


def working() -> int:
    """How many events run or wait in the server."""
    import app

    queue = app.demo._queue
    return len(queue) + sum(job is not None for job in queue.active_jobs)


def wait_for(condition: Callable[[], bool]) -> bool:
    """Whether this became true before PATIENCE was over."""
    end = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


@pytest.mark.parametrize("name", LONG)
def test_work_ends_when_the_page_is_closed(stranger: Stranger, picture: dict[str, Any], name: str) -> None:
    event, data = values(stranger, name, picture, LONG[name])
    number = stranger.join(event, data).json()["event_id"]
    with stranger.http.stream("GET", "/queue/data", params={"session_hash": stranger.session}) as stream:
        for line in stream.iter_lines():
            assert "process_completed" not in line
            if "process_generating" in line and json.loads(line[5:])["event_id"] == number:
                break
    assert wait_for(lambda: working() == 0)


def test_work_ends_when_an_api_client_goes(stranger: Stranger) -> None:
    other = Stranger(stranger.address)
    own = file_data(other.upload("coffee.jpg", (ROOT / "photos" / "coffee.jpg").read_bytes()))
    data = [own, "mobilenet_v2", "rise", "", "viridis", 0.6]
    event = other.http.post("/call/explain", json={"data": data}).json()["event_id"]
    assert wait_for(lambda: working() == 1)
    with other.http.stream("GET", f"/call/explain/{event}"):
        pass
    assert wait_for(lambda: working() == 0)


def test_work_ends_when_nobody_reads_its_results(
    stranger: Stranger, picture: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that starts runs and never listens."""
    monkeypatch.setattr(waiting, "UNREAD_SECONDS", 0.3)
    event, data = values(stranger, "explain_new", picture, LONG["explain_new"])
    stranger.join(event, data).raise_for_status()
    assert wait_for(lambda: working() == 0)


@pytest.mark.parametrize("name", LONG)
def test_work_ends_at_its_deadline(
    stranger: Stranger, picture: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so, in the status line or as an error."""
    for limit in ("MAX_SECONDS", "LONG_SECONDS", "SHARED_SECONDS"):
        monkeypatch.setattr(budget, limit, 0.02)  # the fastest of them takes less than 0.3 s on a fast machine
    event, data = values(stranger, name, picture, LONG[name])
    messages = [json.dumps(message) for message in stranger.messages(event, data)]
    assert "which is the limit here" in messages[-1] + messages[-2]


STOPS = {
    "explain_new": "stop",
    "explain_picture": "stop",
    "compare": "compare-stop",
    "run_attack": "stress-stop",
    "run_search": "stress-stop",
    "run_corruptions": "stress-stop",
    "run_visualisation": "dream-stop",
    "run_audit": "audit-stop",
}


@pytest.mark.parametrize("name", STOPS)
def test_stop_ends_a_run_that_still_waits(stranger: Stranger, picture: dict[str, Any], name: str) -> None:
    """Before, Stop was forgotten as soon as the waiting run started."""
    other = Stranger(stranger.address)
    photo = file_data(other.upload("coffee.jpg", (ROOT / "photos" / "coffee.jpg").read_bytes()))
    first = "explain_new" if name.startswith("explain") else "run_visualisation"
    event, data = values(other, first, photo, LONG[first])
    busy = other.join(event, data).json()["event_id"]
    with other.http.stream("GET", "/queue/data", params={"session_hash": other.session}) as stream:
        next(line for line in stream.iter_lines() if "process_generating" in line and busy in line)
        event, data = values(stranger, name, picture, LONG[name])
        messages = stranger.messages(event, data)
        next(messages)  # it waits
        stranger.press(STOPS[name])
    texts = [json.dumps(message) for message in messages]
    assert any("Stopped" in text for text in texts)
    assert wait_for(lambda: working() == 0)
