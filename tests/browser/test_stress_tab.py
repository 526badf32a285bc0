"""The Stress and Dream tabs as a visitor meets them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from models import load

PHOTOS = Path(__file__).parents[2] / "samples" / "photos"
CAT, COFFEE = PHOTOS / "cat.jpg", PHOTOS / "coffee.jpg"
FIRST = 90_000  # milliseconds: the first gradient imports TensorFlow


def give(page: Page, tab: str, path: Path) -> None:
    page.get_by_role("tab", name=tab, exact=True).click()
    page.locator(f"#{tab.lower()}-picture input[type=file]").set_input_files(path)
    expect(page.locator(f"#{tab.lower()}-picture img")).to_be_visible()


def status(page: Page, tab: str, text: str | re.Pattern, milliseconds: float = 30_000) -> None:
    expect(page.locator(f"#{tab}-status")).to_contain_text(text, timeout=milliseconds)


def download(page: Page, button: str) -> bytes:
    expect(page.locator(f"#{button}")).to_be_enabled(timeout=10_000)
    with page.expect_download() as started:
        page.locator(f"#{button}").click()
    return Path(started.value.path()).read_bytes()


def type_class(page: Page, dropdown: str, text: str) -> None:
    page.locator(f"#{dropdown} input").click()
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    page.locator(f"#{dropdown} input").blur()


def test_an_attack_and_its_download(page: Page) -> None:
    give(page, "Stress", CAT)
    page.locator("#stress-target input").click()
    page.keyboard.type("espr")
    page.get_by_role("option", name="espresso", exact=True).click()
    page.locator("#attack").click()
    status(page, "stress", "Egyptian cat is now espresso", FIRST)
    expect(page.locator("#after")).to_contain_text("espresso")
    expect(page.locator("#before")).to_contain_text("Egyptian cat")
    expect(page.locator("#undone")).to_contain_text("kept as PNG")
    expect(page.locator("#undone tr").nth(1)).to_contain_text("still fooled")
    attacked = np.asarray(Image.open(io.BytesIO(download(page, "stress-png"))))
    assert attacked.shape == np.asarray(Image.open(CAT)).shape
    seen = load("mobilenet_v2").predict(attacked, 1)[0]
    assert seen.label == "espresso"
    expect(page.locator("#after")).to_contain_text(f"{seen.probability:.0%}")
    change = np.abs(attacked.astype(int) - np.asarray(Image.open(CAT).convert("RGB"))).max()
    facts = json.loads(download(page, "stress-json"))
    assert change == facts["linf"] <= 4
    shown = page.request.get(page.locator("#attacked img").get_attribute("src") or "").body()
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(shown)).convert("RGB")), attacked, "shown without loss"
    )
    before = page.locator("#difference img").get_attribute("src")
    page.locator("#times input[type=number]").fill("40")
    page.locator("#times input[type=number]").press("Enter")
    expect(page.locator("#difference img")).not_to_have_attribute("src", before or "")


def test_a_wrong_target_gets_one_sentence(page: Page) -> None:
    give(page, "Stress", CAT)
    type_class(page, "stress-target", "espreso")
    page.locator("#attack").click()
    status(page, "stress", "did you mean 'espresso'")
    type_class(page, "stress-target", "Egyptian cat")
    page.locator("#attack").click()
    status(page, "stress", "seen as 'Egyptian cat' already")
    expect(page.locator("#stress-stop")).to_be_hidden()


def test_how_little_is_enough_and_wear(page: Page) -> None:
    page.get_by_role("tab", name="Stress", exact=True).click()
    page.locator("#attack").click()
    status(page, "stress", "There is no picture yet")
    give(page, "Stress", COFFEE)
    page.locator("#minimal").click()
    status(page, "stress", re.compile(r"espresso is now .*Tried 1/255", re.DOTALL), FIRST)
    page.locator("#wear").click()
    status(page, "stress", re.compile(r"espresso.*holds"), 60_000)
    expect(page.locator("#worn figure")).to_have_count(12)


def test_a_dream_grows_and_stops_in_the_middle(page: Page) -> None:
    page.get_by_role("tab", name="Dream", exact=True).click()
    type_class(page, "dream-target", "tarantla")
    page.locator("#paint").click()
    status(page, "dream", "did you mean 'tarantula'")
    page.locator("#dream-target input").click()
    page.keyboard.type("goldf")
    page.get_by_role("option", name="goldfish", exact=True).click()
    page.locator("#paint").click()
    status(page, "dream", re.compile(r"goldfish: .* Step (6|8|\d\d) of 96"), FIRST)
    page.locator("#dream-stop").click()
    status(page, "dream", re.compile(r"Stopped\. goldfish: .* Step \d+ of 96"))
    expect(page.locator("#dream-stop")).to_be_hidden()
    stopped = page.locator("#dream-status").inner_text()
    taken = int(re.findall(r"Step (\d+)", stopped)[0])
    assert taken < 96
    expect(page.locator("#dream-other")).to_contain_text("%")
    picture = np.asarray(Image.open(io.BytesIO(download(page, "dream-png"))))
    assert picture.shape == (224, 224, 3)
    seen = {p.label: p.probability for p in load("mobilenet_v2").predict(picture)}
    assert f"{seen['goldfish']:.1%}" in stopped
    with Image.open(io.BytesIO(download(page, "dream-webp"))) as film:
        assert film.n_frames == taken // 2
    assert page.locator("#dream-status").inner_text() == stopped, "nothing came after"


def test_phone_has_no_sideways_scroll(visit: Callable) -> None:
    with visit(390, 844) as phone:
        for tab, button in (("Stress", "attack"), ("Dream", "paint")):
            phone.locator("#tabs .overflow-menu > button").click()
            phone.locator("#tabs .overflow-dropdown button", has_text=tab).click()
            expect(phone.locator(f"#{button}")).to_be_visible()
            assert phone.evaluate("document.documentElement.scrollWidth") <= 390
