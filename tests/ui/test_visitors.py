"""The sessions of all visitors: what each costs, how many are kept, and who is forgotten first."""

from __future__ import annotations

import copy
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from models import load
from tests.ui.site import Stranger, file_data
from tests.ui.test_leaving import wait_for
from tests.ui.test_uploads import png
from ui import uploads, visitors
from ui.class_boxes import load_practice
from ui.explain_state import ExplainState
from ui.session import Session
from ui.visitors import Visitors, page_connection


@pytest.fixture
def holder(address: str, monkeypatch: pytest.MonkeyPatch) -> Visitors:
    """An empty list of sessions of the page, for whom no event of another test waits."""
    import app

    monkeypatch.setattr(app.demo._queue, "pending_event_ids_session", {})
    holder = Visitors()
    holder.blocks, holder.capacity = app.demo, 4
    return holder


def visit(holder: Visitors, name: str) -> Session:
    """A visitor whose session has been needed."""
    import app

    state = holder[name]
    number = next(
        number for number, block in app.demo.blocks.items() if isinstance(getattr(block, "value", 0), Session)
    )
    session = state[number]
    assert session is state.session
    return session


def test_a_session_is_light(holder: Visitors) -> None:
    """Gradio's own takes 0.8 MB."""
    holder.capacity = 1000
    visit(holder, "first")
    tracemalloc.start()
    for number in range(50):
        visit(holder, str(number))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / 50 < 60_000


def test_who_is_forgotten_first(holder: Visitors) -> None:
    """Those who have done nothing, closed pages, open pages, and last who has trained."""
    visit(holder, "trained").models["mine"] = load("practice_channels")
    visit(holder, "open").state(ExplainState)
    visit(holder, "closed").state(ExplainState)
    visit(holder, "new")
    with page_connection("/gradio_api/heartbeat/open"):
        left = []
        for number in range(4):
            before = set(holder.session_data)
            visit(holder, f"next {number}").state(ExplainState).path = "x"
            holder.session_data[f"next {number}"].session.models["x"] = load("mobilenet_v2")
            left += before - set(holder.session_data)
    assert left == ["new", "closed", "open", "trained"], "the oldest of those who trained"


def test_who_was_forgotten_is_told_once(holder: Visitors) -> None:
    session = visit(holder, "a")
    session.models["mine"] = load("practice_channels")
    session.state(ExplainState)
    file = session.file("x.png")
    file.write_bytes(b"x")
    for number in range(9):
        visit(holder, str(number)).models["x"] = load("mobilenet_v2")
        visit(holder, str(number)).state(ExplainState)
    assert "a" not in holder.session_data
    assert wait_for(lambda: not file.exists())
    assert visit(holder, "a") is not session
    assert holder.take_notice("a") == visitors.FULL
    assert holder.take_notice("a") == ""
    assert holder.take_notice("0") == ""


def test_memory_has_a_limit(holder: Visitors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitors, "MAX_BYTES", 25_000_000)
    for name in "abc":
        pixels = np.zeros((1000, 1000, 3), np.float32)
        visit(holder, name).state(ExplainState).pixels = pixels[:500]  # a view keeps all of it
        holder.session_data[name].measured -= 2
        holder.note_size(name)
    assert list(holder.session_data) == ["b", "c"]
    assert holder.session_data["c"].size == 12_000_000


def test_visitors_who_come_and_go_quickly_count_too(holder: Visitors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their last event comes less than a second after the one before."""
    monkeypatch.setattr(visitors, "MAX_BYTES", 25_000_000)
    monkeypatch.setattr(holder, "_sweep", lambda full: None)
    for name in "abcd":
        visit(holder, name)
        holder.note_size(name)
        visit(holder, name).state(ExplainState).pixels = np.zeros((1000, 1000, 3), np.float32)
        holder.note_size(name)
    with page_connection("/gradio_api/heartbeat/a"):  # its page is open, so it is kept
        holder.delete_all_expired_state()
    assert list(holder.session_data) == ["a", "d"]


def test_who_has_only_loaded_pictures_has_done_something(holder: Visitors, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a training that starts next; to forget them would free no memory."""
    monkeypatch.setattr(visitors, "MAX_BYTES", 1)
    monkeypatch.setattr(holder, "_sweep", lambda full: None)
    load_practice(visit(holder, "trains"))
    visit(holder, "explained").state(ExplainState).pixels = np.zeros((10, 10, 3), np.uint8)
    holder.note_size("explained")
    holder.delete_all_expired_state()
    assert list(holder.session_data) == ["trains"]
    assert holder.session_data["trains"].session is not None
    assert holder.session_data["trains"].session.in_use


def test_nobody_is_forgotten_before_a_result_is_read(holder: Visitors, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page would wait for it for ever. Results that nobody reads keep a session for a minute only."""
    queue = holder.blocks._queue
    monkeypatch.setattr(visitors, "MAX_BYTES", 0)
    monkeypatch.setattr(holder, "_sweep", lambda full: None)
    monkeypatch.setitem(queue.pending_event_ids_session, "waits", {"event"})
    for name in ("waits", "done"):
        visit(holder, name).state(ExplainState).pixels = np.zeros((10, 10, 3), np.uint8)
        holder.note_size(name)
    holder.delete_all_expired_state()
    assert list(holder.session_data) == ["waits"]
    monkeypatch.setattr(visitors, "UNREAD_SECONDS", -1.0)
    holder.delete_all_expired_state()
    assert list(holder.session_data) == []


def test_sessions_end_with_their_pages(holder: Visitors, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr(visitors, "monotonic", lambda: now[0])
    monkeypatch.setattr(holder, "_sweep", lambda full: None)
    monkeypatch.setattr(visitors, "disk_is_full", lambda: False)
    visit(holder, "open"), visit(holder, "closed")
    with page_connection("/gradio_api/heartbeat/open"), page_connection("/gradio_api/queue/data"):
        now[0] += visitors.IDLE_SECONDS - 1
        holder.delete_all_expired_state()
        assert list(holder.session_data) == ["open", "closed"]
        now[0] += 100
        holder.delete_all_expired_state()
        assert list(holder.session_data) == ["open"]
    holder.delete_all_expired_state()
    assert list(holder.session_data) == ["open"], "the page may come back"
    monkeypatch.setattr(visitors, "disk_is_full", lambda: True)
    now[0] += 100
    holder.delete_all_expired_state()
    assert list(holder.session_data) == []


def test_calls_without_a_session_keep_none(address: str) -> None:
    import app

    holder = app.demo.app.state_holder
    trained = Stranger(address)
    path = trained.upload("a.png", png(11))
    assert trained.run(trained.named("predict"), [file_data(path), "mobilenet_v2"])["success"]
    before = list(holder.session_data)
    assert trained.session in before
    for seed in range(3):
        other = Stranger(address)
        data = [file_data(other.upload("b.png", png(20 + seed))), "mobilenet_v2"]
        event = other.http.post("/call/predict", json={"data": data}).json()["event_id"]
        assert "event: complete" in other.http.get(f"/call/predict/{event}").text
    assert list(holder.session_data) == before


def test_nothing_is_left_of_visitors_who_are_gone(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their uploads, the pictures that the server made for them, their folders, and what waits for them in the queue."""
    import app

    monkeypatch.setattr(uploads, "ORPHAN_SECONDS", 0.0)
    holder, queue = app.demo.app.state_holder, app.demo._queue
    for name in list(holder.session_data):
        holder.delete_state(name)
    holder._sweep(full=True)
    folder = Path(uploads.get_upload_folder()).parent
    before = {path for path in folder.rglob("*") if path.is_file()}
    for seed in range(3):
        visitor = Stranger(address)
        picture = file_data(visitor.upload("c.png", png(40 + seed)))
        event = visitor.named("explain_new")
        data = visitor.values(event)
        data[visitor.kinds(event).index("image")] = picture
        assert visitor.run(event, data)["success"]
        assert visitor.run(visitor.named("load_practice"), [None])["success"]
    assert len({path for path in folder.rglob("*") if path.is_file()}) > len(before) + 50
    for name in list(holder.session_data):
        holder.delete_state(name)
    assert wait_for(lambda: holder._sweep(full=False) or {p for p in folder.rglob("*") if p.is_file()} == before)
    assert not any(visitor in queue.pending_messages_per_session for visitor in holder.session_data)


def test_a_copy_of_a_session_is_a_new_one() -> None:
    session = Session()
    session.state(ExplainState).path = "x"
    session.models["x"] = load("mobilenet_v2")
    other = copy.deepcopy(session)
    assert not other.in_use
    assert not other.models
