"""The Audit tab as a visitor meets it: the tank story from its first click to its last, then an audit read to its pictures."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from samples.scenes import planted
from tests.browser.test_explain_tab import choose
from tests.browser.test_train_tab import upload

SLOW = 120_000  # milliseconds


def test_the_tank_story_is_told_and_its_audit_read(page: Page) -> None:
    page.get_by_role("tab", name="Audit").click()
    story, onward = page.locator("#story-text"), page.locator("#story-next")
    onward.click()
    expect(story).to_contain_text("The network has learned from them", timeout=SLOW)
    expect(page.locator("#story-pictures img")).to_have_count(8)
    onward.click()
    expect(story).to_contain_text(re.compile(r"(9\d|100)% are told right"), timeout=SLOW)
    onward.click()
    expect(story).to_contain_text(re.compile(r"[89]\d% of the heat lies on the ground"), timeout=SLOW)
    onward.click()
    expect(story).to_contain_text(re.compile(r"on each other's grounds: ([0-4]?\d)% are told right"), timeout=SLOW)
    onward.click()
    expect(story).to_contain_text(re.compile(r"on new pictures is (9\d|100)%"), timeout=SLOW)
    expect(story).to_contain_text(re.compile(r"with exchanged backgrounds ([89]\d|100)%"))
    expect(onward).to_have_text("Begin again")

    page.locator("#audit-start").click()
    expect(page.locator("#audit-status")).to_contain_text(
        "Shortcut: Planted tells tank, jeep by the background", timeout=SLOW
    )
    expect(page.locator("#audit-about")).to_contain_text("of the lead of tank hangs on the background", timeout=SLOW)
    expect(page.locator("#audit-exchanged img")).to_have_count(9)
    page.locator("#audit-groups button").first.click()
    page.locator("#audit-members button").first.click(timeout=SLOW)
    expect(page.locator("#picture img")).to_be_visible(timeout=SLOW)
    expect(page.locator("#status")).to_contain_text("Grad-CAM", timeout=SLOW)


def test_what_is_missing_is_said(page: Page) -> None:
    page.get_by_role("tab", name="Audit").click()
    page.locator("#audit-pictures input").click()
    page.get_by_role("option", name="the pictures of the Train tab").click()
    page.locator("#audit-start").click()
    expect(page.locator("#audit-status")).to_contain_text("There are no pictures in the Train tab yet", timeout=SLOW)


def test_a_folder_with_masks_is_audited(page: Page, tmp_path: Path) -> None:
    for number, scene in enumerate(planted("ground", count=6, seed=1)):
        for kind, pixels in (("pictures", scene.image), ("masks", scene.subject)):
            folder = tmp_path / kind / scene.vehicle
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    page.get_by_role("tab", name="Audit").click()
    page.locator("#story-next").click()
    expect(page.locator("#story-text")).to_contain_text("The network has learned from them", timeout=SLOW)

    choose(page, "audit-pictures", "a folder of class folders")
    status = page.locator("#audit-status")
    expect(status).to_contain_text("One folder of pictures a class")
    choose(page, "audit-model", "Tank story")
    page.locator("#audit-start").click()
    expect(status).to_contain_text("Choose a folder with pictures first")
    upload(page, "#audit-folder", tmp_path / "pictures")
    expect(status).to_contain_text("The pictures are here", timeout=SLOW)
    upload(page, "#audit-folder-masks", tmp_path / "masks")
    expect(status).to_contain_text("The masks are here", timeout=SLOW)
    page.locator("#audit-start").click()
    expect(status).to_contain_text("12 pictures, 100.0% told right", timeout=SLOW)
    expect(status).to_contain_text("Tank story tells")
