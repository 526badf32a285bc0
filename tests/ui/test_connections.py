"""Clients that hold a connection and send nothing, or a byte at a time."""

from __future__ import annotations

import errno
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from ui import connections, guard, visitors


def connect(address: str) -> socket.socket:
    url = urlsplit(address)
    return socket.create_connection((str(url.hostname), url.port or 80), timeout=60)


def answer(connection: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    received = b""
    try:
        while piece := connection.recv(65_536):
            received += piece
    except ConnectionResetError:
        pass
    connection.close()
    return received


@pytest.mark.parametrize("sent", [b"", b"G", b"GET /config HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"POST /gradio_api/queue"])
def test_a_connection_without_a_request_is_closed(address: str, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    connection = connect(address)
    connection.sendall(sent)
    assert answer(connection) == b""


def test_a_connection_is_used_again_and_again(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with httpx.Client(base_url=address, timeout=60) as http:
        for _ in range(3):
            assert http.get("/gradio_api/app_id").status_code == 200
    connection = connect(address)
    connection.sendall(b"GET /gradio_api/app_id HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nG")
    assert answer(connection).startswith(b"HTTP/1.1 200 OK"), "but the second request never comes"


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/upload"])
def test_a_body_that_comes_too_slowly_is_refused(address: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(guard._next, "__defaults__", (0.3,))
    connection = connect(address)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 1000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    connection.sendall(head.encode() + b"--x")
    received = answer(connection)
    assert b" 408 " in received.split(b"\r\n")[0]
    assert guard.TOO_SLOW.encode() in received


def test_one_address_cannot_take_all_connections(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = connections._open["127.0.0.1"]
    monkeypatch.setattr(connections, "PER_ADDRESS", before + 3)
    held = [connect(address) for _ in range(3)]
    assert answer(connect(address)) == b""
    for connection in held:
        connection.close()
    while connections._open["127.0.0.1"] > before:
        pass
    assert httpx.get(f"{address}/gradio_api/app_id", timeout=60).status_code == 200


def test_a_full_disk_is_a_sentence(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before an upload, and in the middle of one; afterwards all is well again."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    files = {"files": ("a.png", b"x" * 100)}
    with monkeypatch.context() as patch:
        patch.setattr(visitors, "MIN_FREE", 10**18)
        refused = httpx.post(f"{address}/gradio_api/upload", files=files, timeout=60)
    assert (refused.status_code, refused.json()["error"]) == (507, guard.DISK_FULL)
    with monkeypatch.context() as patch:
        patch.setattr("gradio.route_utils.NamedTemporaryFile", fail)
        refused = httpx.post(f"{address}/gradio_api/upload", files=files, timeout=60)
    assert (refused.status_code, refused.json()["error"]) == (507, guard.DISK_FULL)
    assert httpx.post(f"{address}/gradio_api/upload", files=files, timeout=60).status_code == 200


def test_a_foreign_name_is_refused(address: str) -> None:
    for name, status in (("evil.example", 421), ("localhost", 200)):
        answer = httpx.get(f"{address}/config", headers={"host": name}, timeout=60)
        assert answer.status_code == status
        assert ("img-src 'self'" in answer.headers.get("content-security-policy", "")) == (status == 200)
