"""The queue of all events: who waits where, how many may wait, and whose turn is next."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from gradio import route_utils
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, EventQueue, Queue
from gradio.server_messages import LogMessage

from ui import budget, monitor
from ui.guard import Refusal

UNREAD_SECONDS = 20.0  # an event whose results nobody reads for so long has no visitor any more
TELL_SECONDS = 3.0  # a visitor who has to wait longer is told so
RETRY_SECONDS = 3
UNASKED = ("search", "check")  # lines of events that the page starts by itself; nobody is told about their place
CHECK_SECONDS = 30.0  # a check of a map that has waited so long starts beside the others
# A part of the page's script: a request that is refused because of a queue is sent again a few times.
RETRY_JS = """
const send = window.fetch.bind(window);
window.fetch = async (resource, options) => {
  for (let tries = 0; ; tries++) {
    const answer = await send(resource, options);
    const seconds = Number(answer.headers.get("Retry-After"));
    if (answer.status !== 429 || !seconds || tries === 4) return answer;
    await new Promise((done) => setTimeout(done, 1000 * seconds * (1 + Math.random())));
  }
};
"""


class Line(NamedTuple):
    """The limits of one line of the queue.

    `running`: events at the same time; None: as their listeners say. `waiting`: the most events that wait. The last two:
    how many of them are of one visitor and of one address. Many visitors can share an address, such as a classroom.
    """

    running: int | None = None
    waiting: int = 100
    per_visitor: int = 12
    per_address: int = 60


LINES = {
    "model": Line(waiting=400, per_visitor=24, per_address=300),  # a new page asks for a few events at once
    "search": Line(waiting=400, per_visitor=24, per_address=300),
    "check": Line(1, waiting=400, per_visitor=24, per_address=300),
    "slow": Line(1, per_visitor=4),
    "download": Line(2, waiting=30, per_visitor=2, per_address=20),
    "long": Line(waiting=40, per_visitor=2, per_address=20),
    "live": Line(waiting=80, per_visitor=2, per_address=60),
}
OTHERS = Line()
EVERYBODY = "Too many people are waiting for this. Try again in a minute."
YOU = "{} of your runs are waiting already. Wait until one of them has ended."


class FairQueue(Queue):
    """Gradio's queue with limits per line, in which visitors take turns, and addresses too.

    Slow methods and models that must be downloaded leave the line of the quick ones.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._served: dict[tuple[str, str], int] = {}  # the last turn of each visitor and address, by line
        self._turns = 0
        self._deadlines: dict[str, budget.Deadline] = {}
        monitor.waiting.set_function(lambda: len(self))

    async def push(
        self, body: PredictBodyInternal, request: Any, username: str | None
    ) -> tuple[bool, str | list[dict[str, Any]], Literal["success", "error", "queue_full", "validator_error"]]:
        """Add an event, as in Gradio. Raises Refusal where too many wait."""
        if not isinstance(body.fn_index, int) or body.fn_index not in self.blocks.fns:
            raise Refusal("There is no such event on this page. Reload the page.", 404)
        fn = route_utils.get_fn(self.blocks, None, body)
        name = _line_name(fn, body.data)
        self._check_limits(name, body.session_hash, _address(request))
        success, event_id, status = await super().push(body, request, username)
        event = self.event_ids_to_events.get(str(event_id))
        if success and event is not None:
            self._enter(event, name)
        return success, event_id, status

    def compute_analytics_summary(self, records: Any) -> dict[str, Any]:  # noqa: ARG002
        """Nothing. Gradio sorts all past events after each one, for a page of figures that is off here: see ui/monitor.py."""
        return self.cached_event_analytics_summary

    def _check_limits(self, name: str, session: str | None, address: str) -> None:
        line = self.event_queue_per_concurrency_id.get(name)
        waiting = line.queue if line else []
        limits = LINES.get(name, OTHERS)
        own = sum(event.session_hash == session for event in waiting)
        if own >= limits.per_visitor:
            raise Refusal(YOU.format(own), 429, RETRY_SECONDS)
        here = sum(_address(event.request) == address for event in waiting)
        if len(waiting) >= limits.waiting or here >= limits.per_address:
            raise Refusal(EVERYBODY, 429, RETRY_SECONDS)

    def _enter(self, event: Event, name: str) -> None:
        """Move a new event into its line, and put the line in order."""
        first = self.event_queue_per_concurrency_id[event.concurrency_id]
        if name != event.concurrency_id:
            first.queue.remove(event)
            event.concurrency_id = name
            if name not in self.event_queue_per_concurrency_id:
                self.event_queue_per_concurrency_id[name] = EventQueue(name, LINES[name].running)
        line = self.event_queue_per_concurrency_id[name]
        if event not in line.queue:
            line.queue.append(event)
        line.queue[:] = self._take_turns(line.queue)
        self.broadcast_estimations(name)
        self._tell_place(event, line)

    def _take_turns(self, events: Sequence[Event]) -> list[Event]:
        """The order in which events start: visitors take turns, and so do addresses. Whoever was served longest ago is first.

        Each visitor's own events keep their order.
        """

        def rounds(ordered: Sequence[Event], names: Sequence[str]) -> list[Event]:
            seen: Counter[str] = Counter()
            keys: list[tuple[int, int, int, Event]] = []
            for event, name in zip(ordered, names, strict=True):
                keys.append((seen[name], self._served.get((event.concurrency_id, name), 0), len(keys), event))
                seen[name] += 1
            return [event for *_, event in sorted(keys, key=lambda key: key[:3])]

        by_visitor = rounds(events, [event.session_hash for event in events])
        return rounds(by_visitor, [_address(event.request) for event in by_visitor])

    def _tell_place(self, event: Event, line: EventQueue) -> None:
        """Tell the visitor in words how many runs come first, if it takes a while."""
        place = line.queue.index(event)
        busy = line.concurrency_limit is not None and line.current_concurrency >= line.concurrency_limit
        if not busy or event.streaming or line.concurrency_id in UNASKED:
            return
        known = [self.process_time_per_fn[other.fn].avg_time for other in line.queue[: place + 1]]
        seconds = sum(known) / (line.concurrency_limit or 1)
        if line.concurrency_id not in {"long", "slow", "download"} and seconds < TELL_SECONDS:
            return
        others = place + line.current_concurrency
        runs = f"{others} other run{'s' if others != 1 else ''}"
        about = f", in about {seconds:.0f} s" if seconds >= 1 else ""
        message = f"Your run is number {place + 1} in the queue. It starts after {runs}{about}."
        self.send_message(event, LogMessage(log=message, level="info", title="", duration=6))

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """The events that start next, as in Gradio. Checks of maps let the maps of all visitors come first."""
        lines = self.event_queue_per_concurrency_id
        checks, maps = (lines.get(name, EventQueue(name, None)) for name in ("check", "model"))
        checks.concurrency_limit = 0 if maps.queue and not _has_waited(checks.queue, CHECK_SECONDS) else 1
        picked = super().get_events()
        checks.concurrency_limit = 1  # Gradio divides by it elsewhere
        if picked:
            self._turns += 1
            if len(self._served) > 10_000:
                self._served.clear()
            for event in picked[0]:
                for name in (event.session_hash, _address(event.request)):
                    self._served[event.concurrency_id, name] = self._turns
        return picked

    def _is_replaced(self, event: Event) -> bool:
        """Whether the visitor of a slow run waits for the next one already. It would replace this one as soon as it started."""
        line = self.event_queue_per_concurrency_id[event.concurrency_id]
        return event.concurrency_id == "slow" and any(other.session_hash == event.session_hash for other in line.queue)

    def asked_at(self, event_id: str) -> float:
        """When the visitor asked for an event, by time.monotonic(); infinity for an event that did not wait."""
        event = self.event_ids_to_events.get(event_id)
        return event.enqueue_time if event else math.inf

    def deadline(self, event_id: str) -> budget.Deadline:
        """The deadline of an event that runs; always the same one for the same event."""
        event = self.event_ids_to_events.get(event_id)
        if event is None:
            return budget.Deadline()
        if event_id not in self._deadlines:
            self._deadlines = {name: end for name, end in self._deadlines.items() if name in self.event_ids_to_events}
            waiting = self.event_queue_per_concurrency_id[event.concurrency_id].queue

            def limit() -> float:
                return budget.SHARED_SECONDS if waiting else budget.LONG_SECONDS

            presence = _Presence(self, event)

            def has_left() -> bool:
                return presence.has_left() or self._is_replaced(event)

            limits = {"limit": limit} if event.concurrency_id in {"long", "download"} else {}
            self._deadlines[event_id] = budget.Deadline(has_left=has_left, **limits)
        return self._deadlines[event_id]


class _Presence:
    """Whether the visitor of an event still listens. Gradio notes a closed connection; it does not note one never opened."""

    def __init__(self, queue: FairQueue, event: Event) -> None:
        self._queue, self._event = queue, event
        self._last_read = time.monotonic()

    def has_left(self) -> bool:
        event = self._event
        messages = self._queue.pending_messages_per_session.get(event.session_hash)
        if not event.alive or messages is None:
            return True
        if messages.empty():
            self._last_read = time.monotonic()
        elif time.monotonic() - self._last_read > UNREAD_SECONDS:
            event.alive = False
        return not event.alive


def _line_name(fn: Any, data: Sequence[Any]) -> str:
    """The line of an event with these raw inputs."""
    if fn.concurrency_id != "model":
        return str(fn.concurrency_id)
    names = [getattr(block, "elem_id", None) for block in fn.inputs]
    values = dict(zip(names, data, strict=False))
    if budget.needs_download(values.get("model")):
        return "download"
    return "slow" if budget.is_slow(values.get("method"), values.get("options"), values.get("canvas")) else "model"


def _has_waited(events: Sequence[Event], seconds: float) -> bool:
    """Whether one of these events was asked for so long ago."""
    return any(time.monotonic() - event.enqueue_time > seconds for event in events)


def _address(request: Any) -> str:
    client = getattr(request, "client", None)
    return client.host if client else ""
