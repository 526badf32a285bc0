"""What a server's operator sees: `/healthz` tells whether the page works, `/metrics` has figures for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui import warm

HEALTH, METRICS = "/healthz", "/metrics"
EVENT_PATHS = ("queue/join", "run", "call", "api")
PLACES = (*EVENT_PATHS, "upload", "file=", "stream", "queue/data", "heartbeat")

requests = Counter("thumbscope_requests", "Answered requests", ["place", "status"])
explanations = Histogram(
    "thumbscope_explanation_seconds", "Time of an explanation, from the picture to the last map", ["method", "where"],
    buckets=(0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 120),
)  # fmt: skip
running = Gauge("thumbscope_explanations_running", "Explanations that are being computed")
fallbacks = Counter("thumbscope_explainer_fallbacks", "Explanations that Ray did not finish and this process computed")
sessions = Gauge("thumbscope_sessions", "Sessions of visitors that the server keeps")
waiting = Gauge("thumbscope_events_waiting", "Events that wait in the queue")


@contextmanager
def timed_explanation(method: str, where: Callable[[], str]) -> Iterator[None]:
    """Measure an explanation. `where`: tells at its end whether this process or Ray computed it."""
    start = time.perf_counter()
    with running.track_inprogress():
        yield
    explanations.labels(method, where()).observe(time.perf_counter() - start)


class Monitor:
    """ASGI middleware that counts the requests and answers HEALTH, and METRICS if `metrics` is set.

    HEALTH has status 200 once the default model is loaded, and 503 before. The figures name no visitor and no picture, but
    they tell how busy the server is, so they are not public by default.
    """

    def __init__(self, app: ASGIApp, metrics: bool = False) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == HEALTH:
            ready = warm.READY.is_set()
            content = {"status": "ok" if ready else "starting"}
            await JSONResponse(content, 200 if ready else 503)(scope, receive, send)
        elif scope["path"] == METRICS and self._metrics:
            await Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)(scope, receive, send)
        else:
            place = _place(scope["path"])

            async def count(message: Message) -> None:
                if message["type"] == "http.response.start":
                    requests.labels(place, str(message["status"])).inc()
                await send(message)

            await self._app(scope, receive, count)


def _place(path: str) -> str:
    """The kind of an address: paths contain names of files and events, which would each be a figure of their own."""
    inner = path.removeprefix("/gradio_api/")
    if inner != path:
        return next((place for place in PLACES if inner.startswith(place)), "other")
    return "page" if path == "/" else "assets" if path.startswith(("/assets/", "/static/")) else "other"
