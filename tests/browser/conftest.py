"""The real app in a real browser: `app.py` as a user starts it, Chromium with a fake camera, and no way out of 127.0.0.1."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Request, sync_playwright

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--no-sandbox", "--disable-gpu",
    "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def answers(url: str, process: subprocess.Popen, seconds: float = 60) -> float:
    """Seconds until the page answers."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        assert process.poll() is None, "the app ended"
        try:
            urllib.request.urlopen(url, timeout=2).read()
        except OSError:
            time.sleep(0.05)
        else:
            return time.monotonic() - start
    raise TimeoutError(url)


def start(folder: Path, port: int, home: Path) -> subprocess.Popen:
    """The app as `python app.py`, with an empty download cache and a network that refuses every connection."""
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    environment |= {"KERAS_HOME": str(home), "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    return subprocess.Popen([sys.executable, "app.py"], cwd=folder, env=environment)


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    process = start(ROOT, port, tmp_path_factory.mktemp("keras"))
    address = f"http://127.0.0.1:{port}/"
    try:
        answers(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def frame() -> np.ndarray:
    """What the fake camera sees: red on the left, blue on the right."""
    pixels = np.zeros((480, 640, 3), np.uint8)
    pixels[:, :320] = (220, 30, 30)
    pixels[:, 320:] = (30, 30, 220)
    return pixels


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory, frame: np.ndarray) -> Iterator[Browser]:
    video = tmp_path_factory.mktemp("camera") / "frames.mjpeg"
    jpeg = io.BytesIO()
    Image.fromarray(frame).save(jpeg, "JPEG", quality=90, subsampling="4:2:0")
    video.write_bytes(jpeg.getvalue() * 10)
    with sync_playwright() as p:
        chromium = p.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
            args=[*FLAGS, f"--use-file-for-fake-video-capture={video}"],
        )
        yield chromium
        chromium.close()


Visit = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="session")
def visit(browser: Browser, url: str) -> Visit:
    """Opens the page for a visitor of their own; any request that leaves this machine fails the test."""

    @contextmanager
    def open_page(width: int = 1400, height: int = 1000, query: str = "") -> Iterator[Page]:
        context = browser.new_context(
            viewport={"width": width, "height": height}, permissions=["camera", "clipboard-read", "clipboard-write"]
        )
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
