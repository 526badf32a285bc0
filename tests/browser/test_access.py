"""The page for everyone: no serious or critical finding of axe-core on any tab, in light and in dark."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.actions import open_tab
from tests.browser.test_explain_tab import wait_for_proof

FIRST = {  # each tab, and one of its controls
    "Explain": "#famous", "Compare": "#compare", "Live": "#freeze", "Train": "#train-start", "Audit": "#audit-start",
    "Stress": "#attack", "Visualise": "#paint",
}  # fmt: skip
TABS = tuple(FIRST)
GRADIO = (  # rule and a part of the selector: what Gradio's own components get wrong
    ("button-name", ".gallery-item"),  # the pictures of gr.Examples
    ("scrollable-region-focusable", ".gallery-item"),
    ("button-name", ".image-container"),  # gr.Image
    ("aria-prohibited-attr", ".empty"),  # gr.Label without a value
)


def findings(page: Page) -> list[tuple[str, str]]:
    """Serious and critical findings as rule and selector."""
    violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        (violation["id"], " ".join(map(str, node["target"])))
        for violation in violations
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]


def ours(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (rule, selector)
        for rule, selector in found
        if not any(rule == known and part in selector for known, part in GRADIO)
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_of_ours(visit: Callable, theme: str) -> None:
    with visit(query=f"?__theme={theme}") as page:
        wait_for_proof(page)
        for tab in TABS:
            page.get_by_role("tab", name=tab, exact=True).click()
            expect(page.get_by_role("tab", name=tab, exact=True)).to_have_attribute("aria-selected", "true")
            assert ours(findings(page)) == [], tab


# What can be touched, with the size of what a finger hits: a label belongs to its box.
TARGETS = """() => [...document.querySelectorAll(
    "button, [role=button], [role=slider], [role=combobox], a[href], input, textarea, select, summary, label:has(input)")]
  .filter((part) => part.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && part.offsetParent)
  .map((part) => {
    const box = (part.closest("label:has(input)") ?? part).getBoundingClientRect();
    const path = [part.tagName.toLowerCase(), ...part.classList].join(".");
    const owner = part.closest("[id]:not([id^=component])")?.id ?? "";
    const text = (part.ariaLabel || part.textContent).trim().slice(0, 30);
    return { name: `#${owner} ${path} ${text}`, width: box.width, height: box.height };
  })
  .filter((part) => part.width > 1 && (part.width < 44 || part.height < 44))
  .map((part) => `${part.name} ${Math.round(part.width)}x${Math.round(part.height)}`)"""


def test_a_finger_hits_every_control(visit: Callable) -> None:
    """At least 44x44 pixels on a touch screen (WCAG 2.2, 2.5.5)."""
    small = {}
    with visit(390, 844, touch=True) as page:
        wait_for_proof(page)
        for tab in TABS:
            open_tab(page, tab)
            expect(page.locator(FIRST[tab])).to_be_visible()
            small[tab] = page.evaluate(TARGETS)
    assert small == {tab: [] for tab in TABS}


def tab_to(page: Page, selector: str, most: int = 200) -> None:
    """Press Tab until the focus is there. Fails where the keyboard does not reach it."""
    for _ in range(most):
        if page.evaluate("(selector) => document.activeElement?.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {selector}")


def test_explain_by_keyboard_alone(visit: Callable) -> None:
    """A sample, a method from the buttons and from the list, another class, the views, the proof, a file."""
    with visit() as page:
        wait_for_proof(page)
        tab_to(page, "#samples button.gallery-item")
        page.keyboard.press("Enter")
        expect(page.locator("#viewer .viewer-badge")).to_be_hidden(timeout=30_000)
        tab_to(page, "#famous input[value='saliency']")
        page.keyboard.press("Space")
        expect(page.locator("#status")).to_contain_text("Saliency on MobileNetV2", timeout=60_000)
        tab_to(page, "#method input")
        page.keyboard.type("layer")
        page.keyboard.press("Enter")
        expect(page.locator("#status")).to_contain_text("Layer-CAM on MobileNetV2", timeout=60_000)
        second = page.locator("#bars .class").nth(1).get_attribute("data-label") or ""
        tab_to(page, f"#bars .class[data-label='{second}']")
        page.keyboard.press("Enter")
        expect(page.locator(f"#bars .class[data-label='{second}']")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#viewer .viewer")).to_have_attribute("data-label", second, timeout=60_000)
        tab_to(page, "#viewer .viewer-stage")
        page.keyboard.press("3")
        expect(page.locator("#viewer .viewer")).to_have_attribute("data-view", "only")
        wait_for_proof(page)
        tab_to(page, "#proof summary")
        page.keyboard.press("Enter")
        expect(page.locator("#proof figure").first).to_be_visible()
        tab_to(page, "#download-json")
        with page.expect_download() as started:
            page.keyboard.press("Enter")
        assert json.loads(Path(started.value.path()).read_text())["target"]["label"] == second


def test_train_by_keyboard_alone(visit: Callable) -> None:
    """The practice channels, a training, and a cell of the confusion matrix."""
    with visit() as page:
        wait_for_proof(page)
        tab_to(page, "[role=tab]")
        for _ in TABS:
            if page.evaluate("document.activeElement.textContent.trim()") == "Train":
                break
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        tab_to(page, "#practice")
        page.keyboard.press("Enter")
        expect(page.locator("#class-pictures-0 img").first).to_be_visible(timeout=60_000)
        tab_to(page, "#train-start")
        page.keyboard.press("Enter")
        expect(page.locator("table.confusion")).to_be_visible(timeout=120_000)
        tab_to(page, "table.confusion button")
        page.keyboard.press("Enter")
        expect(page.locator("#cell img").first).to_be_visible(timeout=60_000)
