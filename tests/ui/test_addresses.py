"""Whose request it is: behind known proxies only, and for no foreign page."""

from __future__ import annotations

from typing import Any

import pytest

from ui.addresses import client_address, is_foreign_host


def scope(
    peer: str = "10.0.0.9", forwarded: tuple[str, ...] = (), host: str = "x.org", server: str = "10.0.0.1"
) -> Any:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded] + [(b"host", host.encode())]
    return {"type": "http", "client": (peer, 1234), "server": (server, 7860), "headers": headers}


@pytest.mark.parametrize(
    ("hops", "forwarded", "expected"),
    [
        (0, ("1.1.1.1",), "10.0.0.9"),  # a stranger wrote it
        (1, ("1.1.1.1",), "1.1.1.1"),
        (1, ("6.6.6.6, 1.1.1.1",), "1.1.1.1"),  # 6.6.6.6 is what the visitor wrote
        (1, ("6.6.6.6", "1.1.1.1"), "1.1.1.1"),
        (2, ("6.6.6.6, 1.1.1.1, 10.0.0.2",), "1.1.1.1"),
        (2, ("1.1.1.1",), "10.0.0.9"),  # it did not come through both proxies
        (1, (), "10.0.0.9"),
        (1, ("1.1.1.1:5000",), "1.1.1.1"),
        (1, ("2001:db8:1:2:3:4:5:6",), "2001:db8:1:2::"),
        (1, ("[2001:db8:1:2:9:9:9:9]",), "2001:db8:1:2::"),
        (1, ("::ffff:1.2.3.4",), "1.2.3.4"),
        (1, ("x" * 1000,), "x" * 50),
    ],
)
def test_exactly_the_known_proxies_are_trusted(hops: int, forwarded: tuple[str, ...], expected: str) -> None:
    assert client_address(scope(forwarded=forwarded), hops, False) == expected


def test_a_space_trusts_its_own_proxies() -> None:
    assert client_address(scope(forwarded=("6.6.6.6, 8.8.8.8, 10.1.2.3",)), 0, True) == "8.8.8.8"
    assert client_address(scope(forwarded=("10.1.2.3",)), 0, True) == "10.0.0.9"


@pytest.mark.parametrize(
    ("host", "foreign"),
    [
        ("127.0.0.1:7860", False), ("localhost:7860", False), ("localhost", False), ("[::1]:7860", False),
        ("127.0.0.5", False), ("a.localhost:1", False), ("LOCALHOST:7860", False), ("evil.example:7860", True),
        ("evil.example", True), ("127.0.0.1.evil.example", True), ("localhost.evil.example:7860", True), ("", True),
        ("[::2]:7860", True), ("8.8.8.8", True),
    ],
)  # fmt: skip
def test_a_local_server_answers_to_local_names(host: str, foreign: bool) -> None:
    assert is_foreign_host(scope(host=host, server="127.0.0.1"), 0, False) is foreign
    assert not is_foreign_host(scope(host=host, server="10.0.0.1"), 0, False), "a public server may have any name"
    assert not is_foreign_host(scope(host=host, server="127.0.0.1"), 1, False), "a proxy on this machine"
