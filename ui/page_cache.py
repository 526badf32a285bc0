"""The HTML of the page, kept for the next visitors. Gradio would copy the whole configuration for each of them."""

from __future__ import annotations

import gzip
from collections import OrderedDict

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATHS = {"/", "/config"}
MAX_PAGES = 16  # the address of the server, its query and the compression make different pages
MAX_QUERY = 100  # letters
# The headers that tell Gradio its own address, which it writes into the page.
HEADERS = (b"host", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port", b"x-forwarded-prefix")
MAX_HEADERS = 300  # bytes of them together


class PageCache:
    """ASGI middleware that answers the requests in PATHS from memory, from the second one on, and compresses the answers.

    The page is the same for all visitors: their sessions start with its first event. Requests of a visitor who is logged in
    are passed on.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._pages: OrderedDict[tuple[object, ...], list[Message]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from memory, or pass the request on."""
        key = _key(scope)
        if key is None:
            await self._app(scope, receive, send)
            return
        messages = self._pages.get(key)
        if messages is None:
            messages = await self._ask_app(scope, receive, compress=key[0] is True)
            if messages[0]["status"] == 200:
                self._pages[key] = messages
                if len(self._pages) > MAX_PAGES:
                    self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(key)
        for message in messages:
            await send(message)

    async def _ask_app(self, scope: Scope, receive: Receive, compress: bool) -> list[Message]:
        """The answer of the app in two messages: its start and its whole body."""
        sent: list[Message] = []

        async def note(message: Message) -> None:
            sent.append(message)

        await self._app(scope, receive, note)
        start, body = sent[0], b"".join(message.get("body", b"") for message in sent[1:])
        headers = MutableHeaders(raw=list(start["headers"]))
        if compress and "content-encoding" not in headers:
            body = gzip.compress(body)
            headers["content-encoding"] = "gzip"
        headers["content-length"] = str(len(body))
        headers.add_vary_header("Accept-Encoding")
        return [{**start, "headers": headers.raw}, {"type": "http.response.body", "body": body}]


def _key(scope: Scope) -> tuple[object, ...] | None:
    """What the page depends on, first whether it may be compressed; None for a request that is not answered from memory."""
    if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] not in PATHS:
        return None
    headers = dict(scope["headers"])
    named = [headers.get(name, b"") for name in HEADERS]
    if b"access-token" in headers.get(b"cookie", b"") or b"authorization" in headers:
        return None
    if len(scope["query_string"]) > MAX_QUERY or sum(map(len, named)) > MAX_HEADERS:
        return None
    compress = b"gzip" in headers.get(b"accept-encoding", b"")
    return compress, scope["path"], scope["query_string"], scope["scheme"], scope.get("root_path"), *named
