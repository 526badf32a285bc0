"""The real page and requests that no browser sends: each is refused with a sentence, and quickly."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.ui.site import Stranger
from ui import guard


@pytest.fixture(scope="module")
def http(address: str) -> httpx.Client:
    return httpx.Client(base_url=address, timeout=20)


def posted_routes() -> list[str]:
    """All addresses of the app that take data."""
    import app

    paths = []
    for route in app.demo.app.routes:
        for inner in getattr(getattr(route, "original_router", None), "routes", [route]):
            if (getattr(inner, "methods", None) or set()) - {"GET", "HEAD", "OPTIONS"}:
                paths.append(inner.path)
    return paths


def test_every_other_route_is_refused(http: httpx.Client) -> None:
    """Also routes that a later Gradio adds."""
    paths = posted_routes()
    assert {"/gradio_api/component_server", "/gradio_api/vibe-edit", "/gradio_api/queue/join"} <= set(paths)
    refused = set()
    for path in paths:
        concrete = path.replace("{api_name}", "predict").replace("{event_id}", "abc")
        answer = http.post(concrete, json={})
        if answer.status_code == 404 and guard.NOT_HERE in answer.text:
            refused.add(path.removeprefix("/gradio_api").rstrip("/"))
    kept = {path.removeprefix("/gradio_api").rstrip("/") for path in paths} - refused
    assert kept == {
        "/queue/join", "/cancel", "/reset", "/upload", "/stream/{event_id}", "/stream/{event_id}/close", "/run/{api_name}",
        "/api/{api_name}", "/call/{api_name}", "/call/v2/{api_name}",
    }  # fmt: skip


@pytest.mark.parametrize(
    "path",
    ["queue/join", "cancel", "reset", "stream/x", "run/predict", "call/predict", "call/v2/predict", "component_server"],
)
def test_large_and_wild_bodies_block_nobody(http: httpx.Client, path: str) -> None:
    wild = {
        "large": b'{"data": "' + b"x" * 30_000_000 + b'"}',
        "lists": b'{"data": [' + b"[]," * 600_000 + b"[]]}",
        "deep": b'{"data": ' + b"[" * 900 + b"]" * 900 + b"}",
        "deeper": b"[" * 30_000 + b"]" * 30_000,
        "numbers": b'{"data": [NaN, 1e999]}',
        "nothing": b"",
        "no object": b"[]",
        "text": b'"x"',
        "null": b"null",
        "types": json.dumps({"data": {}, "fn_index": {}, "session_hash": [], "event_id": 3}).encode(),
        "unknown": json.dumps({"data": [], "fn_index": 10**9, "session_hash": "a", "event_id": "b"}).encode(),
        "negative": json.dumps({"data": [], "fn_index": -1, "session_hash": "a" * 4000, "event_id": "b"}).encode(),
    }
    for name, body in wild.items():
        start = time.process_time()
        answer = http.post(f"/gradio_api/{path}", content=body, headers={"content-type": "application/json"})
        assert time.process_time() - start < 2, name
        if path == "stream/x" and answer.status_code == 404:
            continue  # Gradio's answer to a frame after the end of its stream; the page does not show it
        content = answer.json()
        if answer.status_code >= 400:
            assert "detail" in content or "error" in content, (name, content)
        assert answer.status_code != 500 or content["error"] == guard.FAILED or path == "run/predict", (name, content)


def test_an_upload_that_is_too_large_is_a_sentence(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_UPLOAD", 50_000)

    def parts() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
        for _ in range(20):
            yield b"x" * 10_000
        yield b"\r\n--x--\r\n"

    answer = http.post(
        "/gradio_api/upload", content=parts(), headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 413
    assert answer.json()["error"] == guard.UPLOAD_TOO_LARGE
    answer = http.post("/gradio_api/upload", files={"files": ("a.png", b"x" * 60_000)})
    assert answer.json()["error"] == guard.UPLOAD_TOO_LARGE


def test_the_page_needs_no_refused_route(address: str) -> None:
    """No component calls functions on the server by itself."""
    stranger = Stranger(address)
    assert [part["type"] for part in stranger.components.values() if part["props"].get("server_fns")] == []
