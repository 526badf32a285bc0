"""The Stress tab as a visitor meets it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from core.corruptions import CORRUPTIONS
from models import load
from robustness.defences import DEFENCES
from tests.browser.actions import download, type_class

PHOTOS = Path(__file__).parents[2] / "samples" / "photos"
CAT, COFFEE = PHOTOS / "cat.jpg", PHOTOS / "coffee.jpg"
FIRST = 90_000  # milliseconds: the first gradient imports TensorFlow


def open_tab(page: Page, tab: str) -> None:
    """Open a tab and wait until it shows the picture of the other tabs, which would replace a newer one."""
    expect(page.locator("#viewer .viewer-badge")).to_be_visible(timeout=FIRST)  # the example is the picture of all tabs
    with page.expect_response(lambda response: f'"value":"{tab}"' in (response.request.post_data or "")):
        page.get_by_role("tab", name=tab, exact=True).click()
    if tab == "Stress":
        expect(page.locator("#stress-picture img")).to_be_visible()


def remove(page: Page) -> None:
    """Remove the picture, which is the one of the other tabs."""
    page.locator("#stress-picture button[aria-label='Remove Image']").click()
    expect(page.locator("#stress-picture input[type=file]")).to_be_attached()


def give(page: Page, path: Path) -> None:
    """Replace the picture, if there is one."""
    if page.locator("#stress-picture img").is_visible():
        remove(page)
    page.locator("#stress-picture input[type=file]").set_input_files(path)
    expect(page.locator("#stress-picture img")).to_be_visible()


def status(page: Page, tab: str, text: str | re.Pattern, milliseconds: float = 30_000) -> None:
    expect(page.locator(f"#{tab}-status")).to_contain_text(text, timeout=milliseconds)


def test_an_attack_and_its_download(page: Page) -> None:
    open_tab(page, "Stress")
    give(page, CAT)
    page.locator("#stress-target input").click()
    page.keyboard.type("espr")
    page.get_by_role("option", name="espresso", exact=True).click()
    page.locator("#attack").click()
    status(page, "stress", "Egyptian cat is now classified as espresso", FIRST)
    expect(page.locator("#after")).to_contain_text("espresso")
    expect(page.locator("#before")).to_contain_text("Egyptian cat")
    defences = page.locator("#undone tr")
    expect(defences).to_have_count(1 + len(DEFENCES))
    for number, name in enumerate(DEFENCES, 1):
        expect(defences.nth(number)).to_contain_text(name)
    expect(defences.nth(1)).to_contain_text("espresso")  # the first defence is lossless, so the attack survives it
    attacked = np.asarray(Image.open(io.BytesIO(download(page, "stress-png"))))
    assert attacked.shape == np.asarray(Image.open(CAT)).shape
    prediction = load("mobilenet_v2").predict(attacked, 1)[0]
    assert prediction.label == "espresso"
    expect(page.locator("#after")).to_contain_text(f"{prediction.probability:.0%}")
    change = np.abs(attacked.astype(int) - np.asarray(Image.open(CAT).convert("RGB"))).max()
    result = json.loads(download(page, "stress-json"))
    assert change == result["linf"] <= 4
    shown = page.request.get(page.locator("#attacked img").get_attribute("src") or "").body()
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(shown)).convert("RGB")), attacked, "shown without loss"
    )
    before = page.locator("#difference img").get_attribute("src")
    page.locator("#times input[type=number]").fill("40")
    page.locator("#times input[type=number]").press("Enter")
    expect(page.locator("#difference img")).not_to_have_attribute("src", before or "")


def test_a_wrong_target_gets_one_sentence(page: Page) -> None:
    open_tab(page, "Stress")
    give(page, CAT)
    type_class(page, "stress-target", "espreso")
    page.locator("#attack").click()
    status(page, "stress", "did you mean 'espresso'")
    type_class(page, "stress-target", "Egyptian cat")
    page.locator("#attack").click()
    status(page, "stress", "already classified as 'Egyptian cat'")
    expect(page.locator("#stress-stop")).to_be_hidden()


def test_the_minimal_perturbation_and_corruptions(page: Page) -> None:
    open_tab(page, "Stress")
    remove(page)
    page.locator("#attack").click()
    status(page, "stress", "There is no picture yet")
    give(page, COFFEE)
    page.locator("#minimal").click()
    status(
        page, "stress", re.compile(r"espresso is now classified as .*Tried epsilon 1/255 .*succeeds", re.DOTALL), FIRST
    )
    page.locator("#wear").click()
    status(page, "stress", re.compile(rf"espresso .*\d+ of {len(CORRUPTIONS)} corruptions.*fails first under"), 60_000)
    expect(page.locator("#worn figure")).to_have_count(len(CORRUPTIONS))


def test_phone_has_no_sideways_scroll(visit: Callable) -> None:
    with visit(390, 844) as phone:
        check_phone(phone, "Stress", "attack")


def check_phone(phone: Page, tab: str, button: str) -> None:
    phone.locator("#tabs .overflow-menu > button").click()
    phone.locator("#tabs .overflow-dropdown button", has_text=tab).click()
    expect(phone.locator(f"#{button}")).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
