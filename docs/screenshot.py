"""The screenshot of README, taken from the app: python -m docs.screenshot (needs requirements-dev.txt and Chromium)."""

from __future__ import annotations

from tests.browser.app import ROOT, chromium, running

TARGET = ROOT / "docs" / "screenshot.png"


def main() -> None:
    """Start the app, explain the first sample, and take the picture."""
    with running() as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 940})
        page.goto(address)
        page.locator("#samples button.gallery-item").nth(1).click()
        page.wait_for_function("() => document.querySelectorAll('#overlay img').length == 2")
        page.wait_for_timeout(1500)
        page.screenshot(path=TARGET)


if __name__ == "__main__":
    main()
