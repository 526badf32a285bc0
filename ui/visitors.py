"""The sessions of all visitors: how many are kept, for how long, and which is forgotten first."""

from __future__ import annotations

import shutil
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from time import monotonic
from typing import Any

from gradio.blocks import Blocks
from gradio.components import State
from gradio.state_holder import SessionState, StateHolder
from gradio.utils import get_upload_folder

from core.resources import return_freed_memory
from ui import monitor
from ui.session import Session
from ui.uploads import FILES, delete_partial_uploads

HEARTBEAT = "/gradio_api/heartbeat/"
IDLE_SECONDS = 1800.0  # that a session is kept after its page was closed or went silent
MAX_BYTES = 1_000_000_000  # of the arrays of all sessions
SWEEP_SECONDS = 10.0
MIN_FREE = 500_000_000  # bytes of the disk; below, nothing is uploaded, and closed pages are forgotten at once
UNREAD_SECONDS = 60.0  # a result that nobody has read for so long keeps no session
MAX_NOTES = 10_000  # sessions that are remembered as forgotten
FULL = "The server had no room left and has forgotten your pictures and models. Save a model with its download button."
EXPIRED = "This page was away for long, and the server has forgotten its pictures and models."

_open_pages: Counter[str] = Counter()


@contextmanager
def page_connection(path: str) -> Iterator[None]:
    """The time of one request. A page keeps a request to HEARTBEAT open as long as it is open."""
    session = path.removeprefix(HEARTBEAT) if path.startswith(HEARTBEAT) else ""
    if not session:
        yield
        return
    _open_pages[session] += 1
    try:
        yield
    finally:
        _open_pages[session] -= 1
        if not _open_pages[session]:
            del _open_pages[session]


def disk_is_full() -> bool:
    """Whether the disk of the uploads has less than MIN_FREE bytes left."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free < MIN_FREE


class VisitorState(SessionState):
    """What Gradio keeps for a session, without a copy of the configuration of the page.

    Gradio makes this copy for links to a state of the page, which do not exist here. It takes 36 ms and 0.8 MB.
    """

    def __init__(self, blocks: Blocks) -> None:
        self.blocks_config = copy(blocks.default_config)
        self.config_values: dict[int, Any] = {}
        self.state_data: dict[int, Any] = {}
        self._state_ttl: dict[int, Any] = {}
        self.is_closed = False
        self.used = self.measured = monotonic()
        self.size = 0
        self.changed = False  # since it was measured
        self.notice = ""

    def __setitem__(self, key: int, value: Any) -> None:
        if isinstance(self.blocks_config.blocks.get(key), State):
            self.state_data[key] = value
        else:
            self.blocks_config.blocks[key] = value

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass

    def measure(self) -> None:
        """Measure the arrays of the session."""
        self.measured, self.changed = monotonic(), False
        self.size = self.session.size() if self.session else 0

    @property
    def session(self) -> Session | None:
        """The visitor's Session, if an event has needed it."""
        return next((value for value in self.state_data.values() if isinstance(value, Session)), None)


class Visitors(StateHolder):
    """The sessions, by their hash. When there are too many, or their arrays take too much memory, some are forgotten.

    First those whose visitor has done nothing, then closed pages, then open pages; within each of these the one that is idle
    longest. A visitor with a model of their own comes last. Nobody is forgotten while an event of theirs runs. A visitor who
    comes back is told.
    """

    session_data: OrderedDict[str, VisitorState]

    def __init__(self) -> None:
        super().__init__()
        self._forgotten: OrderedDict[str, str] = OrderedDict()
        self._swept = monotonic()
        monitor.sessions.set_function(lambda: len(self.session_data))

    def __getitem__(self, session_id: str) -> VisitorState:
        """The state of a session, new or kept. A call without a session has the hash of its event, and is not kept."""
        if session_id in self.blocks._queue.event_ids_to_events:
            return VisitorState(self.blocks)
        with self.lock:
            state = self.session_data.get(session_id)
            if state is None:
                state = self.session_data[session_id] = VisitorState(self.blocks)
                state.notice = self._forgotten.pop(session_id, "")
            state.used = monotonic()
            self._make_room(session_id)
            return state

    def note_size(self, session_id: str) -> None:
        """Measure a session after an event, at most once a second, and make room if there is too little.

        `delete_all_expired_state` measures it after its last event.
        """
        state = self.session_data.get(session_id)
        if state is None:
            return
        state.changed = True
        if monotonic() - state.measured >= 1:
            with self.lock:
                state.measure()
                self._make_room(session_id)

    def take_notice(self, session_id: str) -> str:
        """What the visitor must be told, once."""
        state = self.session_data.get(session_id)
        notice = state.notice if state else ""
        if state:
            state.notice = ""
        return notice

    def _make_room(self, newest: str) -> None:
        total = sum(state.size for state in self.session_data.values())
        while len(self.session_data) > self.capacity or total > MAX_BYTES:
            busy = self._busy() | {newest}
            full = len(self.session_data) > self.capacity
            idle = [name for name, state in self.session_data.items() if name not in busy and (full or state.size)]
            if not idle:
                return
            name = min(idle, key=self._worth)
            total -= self.session_data[name].size
            self._forget(name, FULL)

    def _worth(self, name: str) -> tuple[bool, bool, bool, float]:
        state = self.session_data[name]
        session = state.session
        return bool(session and session.models), bool(session and session.in_use), name in _open_pages, state.used

    def _busy(self) -> set[str]:
        """The sessions with an event that runs or waits, or with a result on its way to the page."""
        queue = self.blocks._queue
        working = {event.session_hash for event in list(queue.event_ids_to_events.values())}
        recent = monotonic() - UNREAD_SECONDS
        unread = {name for name, events in list(queue.pending_event_ids_session.items()) if events}
        return working | {name for name in unread & self.session_data.keys() if self.session_data[name].used > recent}

    def _forget(self, name: str, reason: str) -> None:
        state = self.session_data.pop(name)
        session = state.session
        if session and session.in_use:
            threading.Thread(target=session.close, name="close", daemon=True).start()  # it may have many files
            self._forgotten[name] = reason
            while len(self._forgotten) > MAX_NOTES:
                self._forgotten.popitem(last=False)
        FILES.release(name)
        queue = self.blocks._queue
        queue.pending_messages_per_session.pop(name, None)
        queue.pending_event_ids_session.pop(name, None)

    def delete_all_expired_state(self) -> None:
        """Forget the sessions whose time is over. Gradio calls this every second."""
        now = monotonic()
        full = now - self._swept > SWEEP_SECONDS and disk_is_full()
        with self.lock:
            busy = self._busy()
            for name, state in list(self.session_data.items()):
                if name in _open_pages:
                    state.used = now if state.used < now - IDLE_SECONDS / 2 else state.used
                elif name not in busy and now - state.used > (1 if full else IDLE_SECONDS):
                    self._forget(name, EXPIRED)
                if state.changed and name in self.session_data:
                    state.measure()
            self._make_room("")
        if now - self._swept > SWEEP_SECONDS:
            self._swept = now
            threading.Thread(target=self._sweep, args=(full,), name="sweep", daemon=True).start()

    def _sweep(self, full: bool) -> None:
        keep = {path for block in self.blocks.blocks.values() for path in getattr(block, "keep_in_cache", ())}
        FILES.sweep({str(Path(path).resolve()) for path in keep}, unused_seconds=60 if full else 0)
        delete_partial_uploads()
        return_freed_memory()

    def delete_state(self, session_id: str, expired_only: bool = False) -> None:
        """Forget a session, as Gradio asks."""
        if not expired_only and session_id in self.session_data:
            with self.lock:
                self._forget(session_id, EXPIRED)
