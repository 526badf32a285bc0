"""Limits that Gradio lacks on a public server: which addresses take data, how much, how often, and how fast."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import math
import os
import re
import time
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.addresses import client_address, is_foreign_host
from ui.visitors import disk_is_full, page_connection

MAX_BODY = 2_000_000  # bytes of JSON; a folder of 2,000 pictures takes 1,000,000
MAX_UPLOAD = 300_000_000  # bytes of one request; launch(max_file_size=) limits each file
MAX_VALUES = 60_000  # values in a body; a folder of 2,000 pictures has 20,000
MAX_DEPTH = 32  # of lists and objects in each other; a gallery has 6
MAX_TEXT = 5_000  # letters of a text; the frames of a camera are longer
MAX_JOINS = int(os.environ.get("THUMBSCOPE_EVENTS_PER_MINUTE", "3000"))  # per address; a classroom shares one
MAX_SESSION_JOINS = 600  # events per session and minute; a click starts three or four
MAX_UPLOADED = 1_500_000_000  # bytes per address in ten minutes
BODY_SECONDS = 20.0  # that the whole of a body may take, or the next piece of an upload
SLOWEST_UPLOAD = 10_000  # bytes per second, on average
UPLOAD = "/gradio_api/upload"
STREAM = "/gradio_api/stream/"
EVENTS = re.compile(r"/gradio_api/(queue/join|(call|call/v2|run|api)/[\w-]+)/?")  # each counts as one of MAX_JOINS
# The other addresses that the page sends JSON to: frames of the camera, and the end of an event.
OTHERS = re.compile(r"/gradio_api/(stream/[\w-]+(/close)?|cancel|reset/?)")
# A browser loads no picture of another server, whatever a name or a text on the page contains.
CONTENT_POLICY = (
    b"content-security-policy",
    b"img-src 'self' data: blob:; media-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'",
)
REMOVED = ("/pwa_icon", "/gradio_api/deep_link")  # they would resize to any size, and write a file for each call

NOT_HERE = "There is nothing at this address."
TOO_LARGE = "The request is too large. Upload the picture as a file."
UPLOAD_TOO_LARGE = f"These files have more than {MAX_UPLOAD // 1_000_000} MB. Upload fewer at once."
NOT_JSON = "The request is not JSON, or it is nested too deeply."
NOT_FINITE = "A number is not finite."
TEXT_TOO_LONG = f"A text has more than {MAX_TEXT} letters. Use a shorter one."
BY_URL = "Upload the picture. This server does not download from an address."
TOO_MANY = "Too many requests. Wait a minute."
TOO_MANY_UPLOADS = "You have uploaded a lot within a short time. Wait ten minutes."
TOO_SLOW = "The data arrives too slowly. Try again with a better connection."
DISK_FULL = "The disk of this server is full. Try again in a minute."
FOREIGN = "This server does not have this name. Open it by the address that it prints when it starts."
FAILED = "This request cannot be answered. Reload the page."


class Refusal(Exception):  # noqa: N818  (a message for the visitor)
    """A request that is not answered: the sentence for the visitor, the HTTP status, and when to try again, in seconds."""

    def __init__(self, sentence: str, status: int, retry: int = 0) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = {"Retry-After": str(retry)} if retry else {}


class Rate:
    """Limits an amount per name: `most` at once, and as much again within `seconds` (a token bucket)."""

    def __init__(self, most: float, seconds: float) -> None:
        self._most, self._per_second = most, most / seconds
        self._left: dict[str, tuple[float, float]] = {}  # what is left of each name, and when

    def exceeded(self, name: str, amount: float = 1) -> bool:
        """Whether this amount is too much now. If not, it counts."""
        now = time.monotonic()
        if len(self._left) > 10_000:  # forget idle names, or memory grows without limit
            idle = now - self._most / self._per_second
            self._left = {other: left for other, left in self._left.items() if left[1] > idle}
        left, since = self._left.get(name, (self._most, now))
        left = min(self._most, left + (now - since) * self._per_second)
        allowed = amount <= left
        self._left[name] = (left - amount if allowed else left), now
        return not allowed


class Guard:
    """ASGI middleware that refuses some requests with one sentence, as JSON with `detail` and `error`.

    Status 404: an address that takes no data, or that is removed. 413: a body over `MAX_BODY`, an upload over `MAX_UPLOAD`, or
    too many values. 400: no JSON, too deep, too long a text, a number that is not finite, or a file given by URL, which Gradio
    would download. 408: data that comes too slowly. 421: the name of another server. 429: more than `joins` events per minute
    from one address, or too many of one session. 500: the app failed. 507: the disk is full.
    """

    def __init__(self, app: ASGIApp, joins: int = MAX_JOINS, session_joins: int = MAX_SESSION_JOINS) -> None:
        self._app = app
        self._joins, self._session_joins = Rate(joins, 60), Rate(session_joins, 60)
        self._uploads = Rate(MAX_UPLOADED, 600)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def note_start(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*message.get("headers", ()), CONTENT_POLICY]}
            await send(message)

        try:
            checked = await self._checked(scope, receive)
            with page_connection(scope["path"]):
                await self._app(scope, checked, note_start)
        except Exception as error:
            if started:
                raise
            refusal = error if isinstance(error, Refusal) else _describe_failure(error)
            if refusal is not error:
                logging.getLogger(__name__).exception("%s %s failed", scope["method"], scope["path"])
            content = {"detail": str(refusal), "error": str(refusal)}
            await JSONResponse(content, refusal.status, refusal.headers)(scope, receive, send)

    async def _checked(self, scope: Scope, receive: Receive) -> Receive:
        """The `receive` of a request that may pass. Raises Refusal for one that may not."""
        path = scope["path"]
        if is_foreign_host(scope):
            raise Refusal(FOREIGN, 421)
        if path.startswith(REMOVED):
            raise Refusal(NOT_HERE, 404)
        if scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            return receive
        address = client_address(scope)
        scope["client"] = (address, 0)  # for the queue, in which addresses take turns
        if scope["method"] == "POST" and path == UPLOAD:
            return self._checked_upload(scope, receive, address)
        event = EVENTS.fullmatch(path)
        if scope["method"] != "POST" or not (event or OTHERS.fullmatch(path)):
            raise Refusal(NOT_HERE, 404)
        if event and self._joins.exceeded(address):
            raise Refusal(TOO_MANY, 429)
        _check_length(scope, MAX_BODY, TOO_LARGE)
        body = await _read(receive)
        session = check_body(body)
        if event and session and self._session_joins.exceeded(session):
            raise Refusal(TOO_MANY, 429)
        return _replay(body, receive)

    def _checked_upload(self, scope: Scope, receive: Receive, address: str) -> Receive:
        length = _check_length(scope, MAX_UPLOAD, UPLOAD_TOO_LARGE)
        if disk_is_full():
            raise Refusal(DISK_FULL, 507)
        if self._uploads.exceeded(address, max(length, 10_000)):
            raise Refusal(TOO_MANY_UPLOADS, 429)
        return _limited(receive)


def _describe_failure(error: BaseException) -> Refusal:
    return Refusal(DISK_FULL, 507) if is_disk_full(error) else Refusal(FAILED, 500)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, says that there is no room on the disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return True
        error = error.__cause__ or error.__context__
    return False


def _check_length(scope: Scope, limit: int, sentence: str) -> int:
    """The length of the body that a request announces, 0 if it announces none. Raises Refusal above the limit."""
    announced = dict(scope["headers"]).get(b"content-length", b"0")
    if not announced.isdigit() or int(announced[:20]) > limit:
        raise Refusal(sentence, 413)
    return int(announced)


async def _next(receive: Receive, seconds: float = BODY_SECONDS) -> Message:
    """The next message of a request. Raises Refusal if it does not come in time."""
    try:
        return await asyncio.wait_for(receive(), seconds)
    except TimeoutError:
        raise Refusal(TOO_SLOW, 408) from None


async def _read(receive: Receive) -> bytes:
    """The whole body. Raises Refusal if it is too large."""
    body, more = bytearray(), True
    end = time.monotonic() + BODY_SECONDS
    while more:
        message = await _next(receive, end - time.monotonic())
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise Refusal(TOO_LARGE, 413)
    return bytes(body)


def _limited(receive: Receive) -> Receive:
    """A `receive` that raises Refusal once an upload has more than MAX_UPLOAD bytes, or comes too slowly."""
    total, start = 0, time.monotonic()

    async def receive_limited() -> Message:
        nonlocal total
        message = await _next(receive)
        total += len(message.get("body", b""))
        if time.monotonic() - start > BODY_SECONDS + total / SLOWEST_UPLOAD:
            raise Refusal(TOO_SLOW, 408)
        if total > MAX_UPLOAD:
            raise Refusal(UPLOAD_TOO_LARGE, 413)
        return message

    return receive_limited


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns the body in one piece and then waits as the original does."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again


def check_body(body: bytes) -> str:
    """The session that a body names, or "". Raises Refusal for one that is not JSON, or that Gradio would need long for.

    Gradio copies all values several times, so their number is limited before anything is parsed.
    """
    if sum(body.count(sign) for sign in b",[{") > MAX_VALUES:
        raise Refusal(TOO_LARGE, 413)
    if not body:  # such as the end of a stream
        return ""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):  # no JSON, no UTF-8, a number of more than 4,300 digits, or very deep
        raise Refusal(NOT_JSON, 400) from None
    session = content.get("session_hash") if isinstance(content, dict) else ""
    level: list[Any] = [content]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                path = value.get("path")
                if isinstance(path, str) and path.strip().lower().startswith(("http:", "https:")):
                    raise Refusal(BY_URL, 400)  # Gradio would download it, whatever its size
                inner += [*value, *value.values()]
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, float) and not math.isfinite(value):
                raise Refusal(NOT_FINITE, 400)
            elif isinstance(value, str):
                _check_text(value)
        if not inner:
            return session if isinstance(session, str) else ""
        level = inner
    raise Refusal(NOT_JSON, 400)


def _check_text(text: str) -> None:
    """Raise Refusal for a long text that is no frame of a camera, and for half a character."""
    if len(text) > MAX_TEXT and not text.startswith("data:image/"):
        raise Refusal(TEXT_TOO_LONG, 400)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Refusal(NOT_JSON, 400) from None
