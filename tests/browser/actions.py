"""What a visitor does on every tab."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout


def download(page: Page, button: str, tries: int = 4) -> bytes:
    """The file behind a download button.

    A click starts no download if it comes while the end of a run is giving the button a new file, so it is repeated.
    """
    for attempt in range(tries):
        expect(page.locator(f"#{button}")).to_be_enabled(timeout=60_000)
        try:
            with page.expect_download(timeout=8_000) as started:
                page.locator(f"#{button}").click()
        except PlaywrightTimeout:
            if attempt == tries - 1:
                raise
        else:
            return Path(started.value.path()).read_bytes()
    raise AssertionError("tries must be at least 1")


def type_class(page: Page, dropdown: str, text: str) -> None:
    """Type a class into a drop-down list, which takes what was typed when it loses the focus."""
    box = page.locator(f"#{dropdown} input")
    box.click()
    box.press("Control+A")
    box.press_sequentially(text)
    for _ in range(5):  # a list that is still being filtered opens again
        box.blur()
        try:
            expect(page.get_by_role("option")).to_have_count(0, timeout=2000)
            break
        except AssertionError:
            box.focus()
    expect(box).to_have_value(text)


def open_tab(page: Page, name: str) -> None:
    """Open a tab; on a phone, the last tabs are in a menu."""
    tab = page.get_by_role("tab", name=name, exact=True)
    if tab.is_visible():
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
    else:
        page.locator("#tabs .overflow-menu > button").first.click()
        page.locator("#tabs .overflow-dropdown button", has_text=name).click()
    page.wait_for_timeout(500)  # Gradio fades a tab in
