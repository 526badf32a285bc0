"""The Visualise tab as a visitor meets it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from models import load
from tests.browser.actions import download, type_class
from tests.browser.test_stress_tab import FIRST, check_phone, open_tab, status


def test_a_picture_grows_and_stops_in_the_middle(page: Page) -> None:
    open_tab(page, "Visualise")
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
        check_phone(phone, "Visualise", "paint")
