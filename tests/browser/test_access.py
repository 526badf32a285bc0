"""The page for everyone: no serious or critical finding of axe-core on any tab, in light and in dark."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.test_explain_tab import wait_for_proof

TABS = ("Explain", "Compare", "Live", "Train", "Audit", "Stress", "Visualise")
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
