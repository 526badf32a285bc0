"""The Audit tab as a visitor meets it: the tank story from its first click to its last, then an audit read to its pictures."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from samples.shortcuts import render_scenes
from tests.browser.test_explain_tab import choose
from tests.browser.test_train_tab import upload

SLOW = 120_000  # milliseconds


def test_the_tank_story_is_told_and_its_audit_read(page: Page) -> None:
    page.get_by_role("tab", name="Audit").click()
    story, onward = page.locator("#story-text"), page.locator("#story-next")
    onward.click()
    expect(story).to_contain_text("in the list of models as “Tank story”", timeout=SLOW)
    expect(page.locator("#story-pictures img")).to_have_count(8)
    onward.click()
    expect(story).to_contain_text(re.compile(r"\b(9\d|100)% are classified correctly"), timeout=SLOW)
    onward.click()
    expect(story).to_contain_text(re.compile(r"[89]\d% of the heat lies on the ground"), timeout=SLOW)
    onward.click()
    expect(story).to_contain_text(re.compile(r"the other class\. ([0-4]?\d)% of these pictures are"), timeout=SLOW)
    onward.click()
    expect(story).to_contain_text(
        re.compile(r"\b(9\d|100)% of the new test pictures are classified correctly"), timeout=SLOW
    )
    expect(story).to_contain_text(re.compile(r"ground of the other class, ([89]\d|100)% are"))
    expect(onward).to_have_text("Start again")

    page.locator("#audit-start").click()
    expect(page.locator("#audit-status")).to_contain_text(
        re.compile("Shortcut: .*Planted.* background .*tank, jeep"), timeout=SLOW
    )
    expect(page.locator("#audit-about")).to_contain_text(re.compile(r"\d+% .*tank.*background"), timeout=SLOW)
    expect(page.locator("#audit-exchanged img")).to_have_count(9)
    page.locator("#audit-groups button").first.click()
    page.locator("#audit-members button").first.click(timeout=SLOW)
    expect(page.locator("#picture img")).to_be_visible(timeout=SLOW)
    expect(page.locator("#status")).to_contain_text("Grad-CAM", timeout=SLOW)


def test_what_is_missing_is_said(page: Page) -> None:
    page.get_by_role("tab", name="Audit").click()
    page.locator("#audit-pictures input").click()
    page.get_by_role("option", name="Pictures from the Train tab").click()
    page.locator("#audit-start").click()
    expect(page.locator("#audit-status")).to_contain_text("There are no pictures in the Train tab yet", timeout=SLOW)


def test_a_folder_with_masks_is_audited(page: Page, tmp_path: Path) -> None:
    for number, scene in enumerate(render_scenes("ground", count=6, seed=1)):
        for kind, pixels in (("pictures", scene.image), ("masks", scene.subject)):
            folder = tmp_path / kind / scene.vehicle
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    page.get_by_role("tab", name="Audit").click()
    page.locator("#story-next").click()
    expect(page.locator("#story-text")).to_contain_text("in the list of models as “Tank story”", timeout=SLOW)

    choose(page, "audit-pictures", "Folder with a folder per class")
    status = page.locator("#audit-status")
    expect(status).to_contain_text("one folder of pictures per class")
    choose(page, "audit-model", "Tank story")
    page.locator("#audit-start").click()
    expect(status).to_contain_text("Choose a folder with pictures first")
    upload(page, "#audit-folder", tmp_path / "pictures")
    expect(status).to_contain_text("The pictures are uploaded", timeout=SLOW)
    upload(page, "#audit-folder-masks", tmp_path / "masks")
    expect(status).to_contain_text("The masks are uploaded", timeout=SLOW)
    page.locator("#audit-start").click()
    expect(status).to_contain_text("12 pictures, 100.0% classified correctly", timeout=SLOW)
    expect(status).to_contain_text(re.compile("(Shortcut|Suspect): .*Tank story.*tank, jeep"))
