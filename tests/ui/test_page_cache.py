"""The page from memory: the same for everybody at one address, compressed, and asked from the app once."""

from __future__ import annotations

import gzip

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ui.page_cache import MAX_PAGES, PageCache


class CountingPage:
    """An app that answers with its own address and counts the requests."""

    def __init__(self) -> None:
        self.count = 0
        self.status = 200

    def page(self, request: Request) -> PlainTextResponse:
        self.count += 1
        return PlainTextResponse(f"page at {request.url} " + "x" * 1000, self.status)


@pytest.fixture
def page() -> CountingPage:
    return CountingPage()


@pytest.fixture
def client(page: CountingPage) -> TestClient:
    app = Starlette(routes=[Route("/{path:path}", page.page)])
    return TestClient(PageCache(app), headers={"accept-encoding": "identity"})


def test_the_second_visitor_gets_the_same_page_from_memory(page: CountingPage, client: TestClient) -> None:
    first, second = client.get("/"), client.get("/")
    assert page.count == 1
    assert first.content == second.content
    assert first.headers == second.headers
    assert int(first.headers["content-length"]) == len(first.content)


def test_a_browser_gets_it_compressed(page: CountingPage, client: TestClient) -> None:
    plain = client.get("/")
    for _ in range(2):
        with client.stream("GET", "/", headers={"accept-encoding": "gzip, br"}) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in answer.headers["vary"]
        assert gzip.decompress(raw) == plain.content
        assert len(raw) < len(plain.content) / 5
    assert page.count == 2


@pytest.mark.parametrize(
    "headers", [{"host": "other.example"}, {"x-forwarded-host": "a.example"}, {"x-forwarded-proto": "https"}]
)
def test_another_address_gets_a_page_of_its_own(
    page: CountingPage, client: TestClient, headers: dict[str, str]
) -> None:
    """The page contains its own address: from memory it would send all visitors to the address of the first one."""
    client.get("/")
    client.get("/", headers=headers)
    assert page.count == 2
    assert client.get("/?__theme=dark").content != client.get("/").content


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/gradio_api/info", {}),
        ("/", {"authorization": "Bearer x"}),
        ("/", {"cookie": "access-token-abc=1"}),
        ("/?" + "q" * 200, {}),
        ("/", {"x-forwarded-host": "h" * 1000}),
    ],
)
def test_what_may_differ_between_visitors_is_not_kept(
    page: CountingPage, client: TestClient, path: str, headers: dict[str, str]
) -> None:
    client.get(path, headers=headers)
    client.get(path, headers=headers)
    assert page.count == 2


def test_a_failure_is_not_kept(page: CountingPage, client: TestClient) -> None:
    page.status = 500
    assert client.get("/").status_code == 500
    page.status = 200
    assert client.get("/").status_code == 200


def test_memory_is_bounded(page: CountingPage, client: TestClient) -> None:
    for number in range(3 * MAX_PAGES):
        client.get(f"/?page={number}")
    client.get("/?page=0")  # forgotten by now
    client.get(f"/?page={3 * MAX_PAGES - 1}")  # among the newest
    assert page.count == 3 * MAX_PAGES + 1
