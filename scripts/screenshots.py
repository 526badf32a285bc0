"""Screenshots of the page: python -m scripts.screenshots [--all DIR] (needs requirements-dev.txt and Chromium).

Without a flag: the two pictures of README, desktop and phone, in docs/. With --all: every tab as it opens, on a desktop, on a
phone and in the dark, to be looked at one by one after a change.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.browser.app import ROOT, chromium, running

DOCS = ROOT / "docs"
TABS = ("Explain", "Compare", "Live", "Train", "Audit", "Stress", "Visualise")
DESKTOP, PHONE = (1400, 900), (390, 844)


def open_page(browser: Browser, address: str, size: tuple[int, int], query: str = "") -> Page:
    """The page in a window of that size, with its worked example on the screen."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto(address + query)
    page.wait_for_selector("#viewer .viewer[data-drawn]")
    page.wait_for_selector("#proof .proof")
    return page


def take_all(browser: Browser, address: str, folder: Path, tabs: tuple[str, ...]) -> None:
    """Every tab in every look."""
    folder.mkdir(parents=True, exist_ok=True)
    for look, size, query in (("desktop", DESKTOP, ""), ("phone", PHONE, ""), ("dark", DESKTOP, "?__theme=dark")):
        page = open_page(browser, address, size, query)
        for tab in tabs:
            button = page.get_by_role("tab", name=tab, exact=True)
            if not button.is_visible():  # on a phone, the last tabs are in a menu
                page.locator("#tabs .overflow-menu > button").first.click()
                button = page.locator("#tabs .overflow-dropdown button", has_text=tab)
            button.click()
            page.wait_for_function("() => [...document.images].every((image) => image.complete)")
            page.wait_for_timeout(500)  # Gradio fades a tab in
            page.screenshot(path=folder / f"{tab.lower()}-{look}.png", full_page=look == "phone")
        page.close()


def main() -> None:
    """Parse the arguments, start the app, and take the pictures."""
    parser = argparse.ArgumentParser(prog="python -m scripts.screenshots", description=__doc__)
    parser.add_argument("--all", type=Path, metavar="DIR", help="every tab in every look, into this folder")
    parser.add_argument("--tabs", nargs="+", default=TABS, choices=TABS, help="with --all: only these")
    arguments = parser.parse_args()
    with running() as address, chromium() as browser:
        if arguments.all:
            take_all(browser, address, arguments.all, tuple(arguments.tabs))
            return
        for name, size in (("screenshot.png", DESKTOP), ("screenshot-phone.png", PHONE)):
            page = open_page(browser, address, size, "?sample=coffee")
            page.screenshot(path=DOCS / name)
            page.close()


if __name__ == "__main__":
    main()
