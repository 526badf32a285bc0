"""The Compare tab as a visitor meets it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from explain.compare import PRESETS
from tests.browser.actions import download
from tests.browser.test_explain_tab import COFFEE, choose, give, wait_for_status


def say(page: Page, text: str | re.Pattern, seconds: float = 60) -> None:
    expect(page.locator("#compare-status")).to_contain_text(text, timeout=seconds * 1000)


def tiles(page: Page) -> list[str]:
    return page.locator("#tiles .caption-label").all_inner_texts()


def open_with(page: Page, picture: Path) -> None:
    """The picture of the Explain tab comes along."""
    give(page, picture)
    wait_for_status(page, "espresso")
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#compare-picture img")).to_have_count(1)
    expect(page.locator("#price")).to_contain_text("takes")


def test_six_methods_fill_in_sort_and_make_a_sheet(page: Page) -> None:
    open_with(page, COFFEE)
    page.locator("#steady input").uncheck()
    page.locator("#compare").click()
    say(page, "espresso")
    say(page, "6 methods")
    expect(page.locator("#tiles img")).to_have_count(6)
    assert tiles(page)[0].startswith("Grad-CAM\n")
    assert all(re.search(r"pass\n+deletion [\d.]+, insertion [\d.]+", text) for text in tiles(page)), tiles(page)

    choose(page, "sort", "deletion")
    page.wait_for_function("() => document.querySelectorAll('#tiles .caption-label')[5].innerText.includes('deletion')")
    for _ in range(50):
        found = [float(re.search(r"deletion ([\d.]+)", text).group(1)) for text in tiles(page)]
        if found == sorted(found):
            break
        page.wait_for_timeout(100)
    assert found == sorted(found)

    first = re.match(r".+", tiles(page)[0]).group()
    page.locator("#tiles button.thumbnail-item").first.click()
    expect(page.locator("#chosen")).to_contain_text(first)
    expect(page.locator("#curves img")).to_have_count(1)
    expect(page.locator("#matrix img")).to_have_count(1)

    seen = np.asarray(Image.open(io.BytesIO(download(page, "sheet-png"))).convert("RGB"))
    assert seen.shape[1] > 1500
    assert seen.std() > 20, "it is not blank"
    assert download(page, "sheet-pdf").startswith(b"%PDF")
    facts = json.loads(download(page, "sheet-json"))
    assert [each["method"] for each in facts["methods"]] == list(PRESETS["fast"])
    assert all(each["trust"]["stability"] is None for each in facts["methods"])


def test_stopped_half_way_what_is_there_stays(page: Page) -> None:
    open_with(page, COFFEE)
    page.locator("#preset").get_by_text("thorough").click()
    page.locator("#compare").click()
    expect(page.locator("#tiles img").first).to_be_visible(timeout=60_000)
    page.locator("#compare-stop").click()
    say(page, re.compile(r"Stopped\. espresso.* of 10 methods"), 20)
    expect(page.locator("#compare-stop")).to_be_hidden()
    count = page.locator("#tiles img").count()
    assert 1 <= count < 10
    assert len(json.loads(download(page, "sheet-json"))["methods"]) == count


def test_the_sanity_check_is_one_click(page: Page) -> None:
    open_with(page, COFFEE)
    for name in ("HiRes-CAM", "Layer-CAM", "Eigen-CAM", "Recipro-CAM", "Saliency"):
        page.locator("#methods .token", has_text=name).locator(".token-remove").click()
    page.locator("#steady input").uncheck()
    page.locator("#compare").click()
    say(page, "1 method")
    page.locator("#sanity").click()
    say(page, re.compile(r"Grad-CAM passes: .*rank correlation -?0\.\d\d"), 120)
    assert page.locator("#stages img").count() >= 6


def test_nothing_to_compare_gets_a_sentence(page: Page) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-picture button[aria-label='Remove Image']").click()
    page.locator("#compare").click()
    say(page, "There is no picture yet")
