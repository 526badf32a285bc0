"""The guard in front of Gradio, tried as a small ASGI app would see it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ui import guard
from ui.guard import Guard

JOIN = "/gradio_api/queue/join"


async def echo(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


def client(joins: int = 1000) -> TestClient:
    app = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])])
    return TestClient(Guard(app, joins=joins))


def test_the_body_reaches_the_app_whole() -> None:
    body = json.dumps({"data": ["x" * 100_000]})
    assert client().post(JOIN, content=body).text == str(len(body))


def test_a_large_body_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_BODY", 1000)
    assert client().post(JOIN, content=b"x" * 1001).status_code == 413
    assert client().post(JOIN, content=b"x" * 1000).status_code == 200
    assert client().post("/gradio_api/upload", content=b"x" * 1001).status_code == 200, "uploads have their own limit"


@pytest.mark.parametrize(
    "data",
    [
        {"path": "https://example.org/a.png", "meta": {"_type": "gradio.FileData"}},
        {"a": [{"b": {"path": " HTTP://example.org/a.png"}}]},
    ],
)
def test_files_by_address_are_refused(data: Any) -> None:
    assert client().post(JOIN, json={"data": [data]}).status_code == 400


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
    assert client().get("/pwa_icon/60000").status_code == 404
