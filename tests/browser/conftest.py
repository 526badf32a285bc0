"""The real app in a real browser: `app.py` as a user starts it, Chromium with a fake camera, and no way out of 127.0.0.1."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Request

from tests.browser.app import chromium, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that fails is run once more: on a busy machine a click can come before the page is ready for it.

    The summary lists these tests.
    """
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="package")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app with an empty download cache and a network that refuses every connection."""
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    with running(environment={**os.environ, "KERAS_HOME": str(tmp_path_factory.mktemp("keras")), **nowhere}) as address:
        yield address


@pytest.fixture(scope="session")
def frame() -> np.ndarray:
    """What the fake camera sees: red on the left, blue on the right."""
    pixels = np.zeros((480, 640, 3), np.uint8)
    pixels[:, :320] = (220, 30, 30)
    pixels[:, 320:] = (30, 30, 220)
    return pixels


@pytest.fixture(scope="package")  # not longer: while it runs, no test of its process can start an event loop
def browser(tmp_path_factory: pytest.TempPathFactory, frame: np.ndarray) -> Iterator[Browser]:
    video = tmp_path_factory.mktemp("camera") / "frames.mjpeg"
    jpeg = io.BytesIO()
    Image.fromarray(frame).save(jpeg, "JPEG", quality=90, subsampling="4:2:0")
    video.write_bytes(jpeg.getvalue() * 10)
    with chromium(video) as running_browser:
        yield running_browser


Visit = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="package")
def visit(browser: Browser, url: str) -> Visit:
    """Opens the page for a visitor of their own; any request that leaves this machine fails the test."""

    @contextmanager
    def open_page(width: int = 1400, height: int = 1000, query: str = "", touch: bool = False) -> Iterator[Page]:
        context = browser.new_context(
            viewport={"width": width, "height": height}, permissions=["camera", "clipboard-read", "clipboard-write"],
            has_touch=touch, is_mobile=touch,
        )  # fmt: skip
        page = context.new_page()
        outside: list[str] = []

        def note(request: Request) -> None:
            if not request.url.startswith((url, "data:", "blob:")):
                outside.append(request.url)

        page.on("request", note)
        page.goto(url + query)
        page.wait_for_selector("#picture input[type=file]", state="attached")
        yield page
        context.close()
        assert outside == []

    return open_page


@pytest.fixture
def page(visit: Visit) -> Iterator[Page]:
    """A page that nobody has touched. Opening one takes seconds: tests that can do without share theirs."""
    with visit() as page:
        yield page
