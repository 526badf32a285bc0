"""The Audit tab as a visitor meets it: the tank story from its first click to its last, then an audit read to its pictures."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

SLOW = 180_000  # milliseconds


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
