"""The app as a user starts it, and Chromium to look at it: for the tests, the benchmarks of the page, and the screenshot."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--no-sandbox", "--disable-gpu",
    "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def running(folder: Path = ROOT, environment: Mapping[str, str] = os.environ, seconds: float = 120) -> Iterator[str]:
    """`python app.py` in a folder: the address at which it answers.

    Raises RuntimeError where it ends instead, TimeoutError where it takes longer.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    settings = {"GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    process = subprocess.Popen([sys.executable, "app.py"], cwd=folder, env={**environment, **settings})
    start = time.monotonic()
    try:
        while True:
            try:
                urllib.request.urlopen(address, timeout=2).read()
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError("the app ended") from None
                if time.monotonic() - start > seconds:
                    raise TimeoutError(address) from None
                time.sleep(0.02)
        yield address
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def chromium(camera: Path | None = None) -> Iterator[Browser]:
    """A headless browser; `camera`: a film of JPEGs, one after the other (.mjpeg), that its camera shows."""
    film = [] if camera is None else [f"--use-file-for-fake-video-capture={camera}"]
    with sync_playwright() as p:
        browser = p.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"), args=[*FLAGS, *film]
        )
        yield browser
        browser.close()
