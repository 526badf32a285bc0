"""The screenshot of README, taken from the app: python -m docs.screenshot (needs requirements-dev.txt and Chromium)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "screenshot.png"
PORT = 7868


def main() -> None:
    """Start the app, explain the first sample, and take the picture."""
    address = f"http://127.0.0.1:{PORT}/"
    process = subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env={**os.environ, "GRADIO_SERVER_PORT": str(PORT)}
    )
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(address, timeout=1).read()
                break
            except OSError:
                time.sleep(0.1)
        with sync_playwright() as p:
            browser = p.chromium.launch(
                args=["--no-sandbox", "--disable-gpu"], executable_path=shutil.which("chromium")
            )
            page = browser.new_page(viewport={"width": 1400, "height": 940})
            page.goto(address)
            page.locator("#samples button.gallery-item").nth(1).click()
            page.wait_for_function("() => document.querySelectorAll('#overlay img').length == 2")
            page.wait_for_timeout(1500)
            page.screenshot(path=TARGET)
            browser.close()
    finally:
        process.terminate()


if __name__ == "__main__":
    main()
