"""The guard in front of Gradio, tried as a small ASGI app would see it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ui import guard
from ui.guard import Guard

JOIN = "/gradio_api/queue/join"


async def echo(request: Request) -> PlainTextResponse:
    if request.url.path.endswith("fails"):
        raise KeyError("an event that does not exist")
    return PlainTextResponse(str(len(await request.body())))


def client(joins: int = 1000) -> TestClient:
    """The guard inside an app, as Gradio puts it there."""
    routes = [Route("/{path:path}", echo, methods=["GET", "POST", "PUT", "DELETE", "PATCH"])]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Guard, joins=joins)]))


def refused(answer: Any, status: int) -> bool:
    """Whether the answer is one sentence, as Gradio's page reads it."""
    content = answer.json()
    return answer.status_code == status and content["detail"] == content["error"] and content["error"].endswith(".")


def test_the_body_reaches_the_app_whole() -> None:
    body = json.dumps({"data": ["data:image/png;base64," + "x" * 100_000]})
    assert client().post(JOIN, content=body).text == str(len(body))


def test_a_large_body_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_BODY", 1000)
    spaces = b" " * 998 + b"{}"
    assert refused(client().post(JOIN, content=b" " + spaces), 413)
    assert client().post(JOIN, content=spaces).status_code == 200
    assert client().post("/gradio_api/upload", content=b"x" * 1001).status_code == 200, "uploads have their own limit"


def test_a_large_upload_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_UPLOAD", 1000)
    assert refused(client().post("/gradio_api/upload", content=b"x" * 1001), 413)
    assert client().post("/gradio_api/upload", content=b"x" * 1000).status_code == 200


@pytest.mark.parametrize("path", [JOIN, "/gradio_api/upload"])
def test_a_large_body_without_a_length_is_refused(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(guard, "MAX_BODY", 1000)
    monkeypatch.setattr(guard, "MAX_UPLOAD", 1000)

    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    assert refused(client().post(path, content=pieces()), 413)


PASSES = [
    "queue/join", "call/predict", "call/predict/", "call/v2/explain", "run/predict", "api/predict", "stream/ab12",
    "stream/ab12/close", "cancel", "reset", "reset/", "upload",
]  # fmt: skip
REFUSED = [
    "component_server", "component_server/", "vibe-edit", "undo-vibe-edit", "vibe-code", "vibe-starter-queries",
    "process_recording", "login", "run-history/connect", "profiling/clear", "stream/a/b/close", "call/a/b/c", "queue//join",
    "file=/etc/passwd", "upload/", "upload/..", "../gradio_api/queue/joined",
]  # fmt: skip


def test_only_listed_addresses_take_data() -> None:
    for path in PASSES:
        assert client().post(f"/gradio_api/{path}", content=b"{}").status_code == 200, path
    for path in REFUSED:
        assert refused(client().post(f"/gradio_api/{path}", content=b"{}"), 404), path
    for path in ("/", "/login", "/config", "/gradio_api", "//gradio_api/queue/join"):
        assert refused(client().post(path, content=b"{}"), 404), path
    for method in ("PUT", "DELETE", "PATCH"):
        assert refused(client().request(method, JOIN), 404), method


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 1_000 + b"]" * 1_000, 400),
        (b"[" * 50_000 + b"]" * 50_000, 400),
        (b'{"a":' * 40 + b"1" + b"}" * 40, 400),
        (b"[" * 900_000, 413),
        (b"[" + b"[]," * 600_000 + b"[]]", 413),
        (b'{"data": ', 400),
        (b"\xff\xfe", 400),
        (b"[NaN]", 400),
        (b"[-Infinity]", 400),
        (b"[1e999]", 400),
        (b"[" + b"9" * 10_000 + b"]", 400),
        (b'["\\ud800"]', 400),
        (json.dumps(["x" * 5_001]).encode(), 400),
        (json.dumps({"x" * 5_001: 1}).encode(), 400),
    ],
)
def test_wild_bodies_are_refused_quickly(body: bytes, status: int) -> None:
    start = time.process_time()
    assert refused(client().post(JOIN, content=body), status)
    assert time.process_time() - start < 1


def test_the_largest_body_is_checked_quickly() -> None:
    """It is checked on the thread that serves everybody."""
    file = {"path": "/tmp/gradio/" + "x" * 80, "url": "http://x/" + "x" * 120, "orig_name": "y" * 30, "size": 1,
            "mime_type": "image/png", "is_stream": False, "meta": {"_type": "gradio.FileData"}}  # fmt: skip
    body = json.dumps({"data": [[file] * 4000]}).encode()
    assert len(body) > 0.7 * guard.MAX_BODY
    start = time.thread_time()
    guard.check_body(body)
    assert time.thread_time() - start < 0.3


def test_a_failure_of_the_app_is_a_sentence() -> None:
    assert refused(client().post("/gradio_api/run/fails", json={}), 500)


@pytest.mark.parametrize(
    "data",
    [
        {"path": "https://example.org/a.png", "meta": {"_type": "gradio.FileData"}},
        {"a": [{"b": {"path": " HTTP://example.org/a.png"}}]},
    ],
)
def test_files_by_address_are_refused(data: Any) -> None:
    assert refused(client().post(JOIN, json={"data": [data]}), 400)


def test_the_browsers_own_addresses_pass() -> None:
    data = {"path": "/tmp/x.png", "url": "http://127.0.0.1:7860/gradio_api/file=/tmp/x.png"}
    assert client().post(JOIN, json={"data": [data]}).status_code == 200


def test_floods_are_refused_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(guard.time, "monotonic", lambda: now[0])
    visitor = client(joins=3)
    assert [visitor.post(JOIN, json={}).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert visitor.get("/config").status_code == 200
    assert visitor.post("/gradio_api/stream/x", json={}).status_code == 200, "frames of a stream are no new runs"
    now[0] = 61
    assert visitor.post(JOIN, json={}).status_code == 200


def test_icons_of_any_size_are_refused() -> None:
    assert refused(client().get("/pwa_icon/60000"), 404)


def test_links_that_would_write_a_file_each_are_refused() -> None:
    assert refused(client().get("/gradio_api/deep_link?session_hash=x"), 404)
