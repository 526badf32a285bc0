"""What Gradio leaves open on a public server: unlimited JSON bodies, downloads on a client's behalf, request floods."""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 8_000_000  # bytes of JSON; uploads have launch(max_file_size=)
MAX_JOINS = 600  # events an address may start in a minute: a click is three or four, and a class room is one address
GUARDED = ("/gradio_api/queue/join", "/gradio_api/call/", "/gradio_api/run/", "/gradio_api/api/", "/gradio_api/stream/")


class Guard:
    """ASGI middleware. 413 for JSON bodies over `MAX_BODY`, 400 for files named by URL, 429 above `MAX_JOINS` a minute,
    404 for an icon route that resizes without bound.
    """

    def __init__(self, app: ASGIApp, joins: int = MAX_JOINS) -> None:
        self._app = app
        self._joins = joins
        self._seen: dict[str, deque[float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it with one sentence."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        refusal: tuple[str, int] | None = None
        if path.startswith("/pwa_icon"):
            refusal = "There is no such icon.", 404
        elif scope["method"] == "POST" and path.startswith(GUARDED):
            body = await _read(receive)
            if body is None:
                refusal = "The request is too large; upload the picture as a file.", 413
            elif _names_a_url(body):
                refusal = "Pictures are uploaded, not fetched by address.", 400
            elif not path.startswith("/gradio_api/stream/") and self._too_many(scope):
                refusal = "Too many requests; wait a minute.", 429
            receive = _replay(body or b"", receive)
        if refusal:
            await PlainTextResponse(*refusal)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _too_many(self, scope: Scope) -> bool:
        now = time.monotonic()
        visitor = (scope.get("client") or ("", 0))[0]
        if len(self._seen) > 10_000:  # forget the idle, or memory grows with every address ever seen
            self._seen = {who: times for who, times in self._seen.items() if times and now - times[-1] < 60}
        times = self._seen.setdefault(visitor, deque())
        while times and now - times[0] > 60:
            times.popleft()
        times.append(now)
        return len(times) > self._joins


async def _read(receive: Receive) -> bytes | None:
    """The whole body, or None when it is too large."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive that hands the body on in one piece, then waits as the original does."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed


def _names_a_url(body: bytes) -> bool:
    """Whether any "path" in a JSON body is an address, which Gradio would download, of whatever size."""
    try:
        content = json.loads(body)
    except ValueError:
        return False
    stack: list[Any] = [content]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str) and path.strip().lower().startswith(("http:", "https:")):
                return True
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
    return False
