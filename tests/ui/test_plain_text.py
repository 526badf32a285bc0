"""Names from strangers, in texts of the page."""

from __future__ import annotations

from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from markdown_it import MarkdownIt

from explain import explain
from models import load
from ui.explain_texts import describe_explanation
from ui.plain_text import plain

NAMES = [
    "![x](http://evil.example/a.png)",
    "<img src=x onerror=alert(1)>",
    "a_b_c *d*",
    "[l](http://e.example)",
    "`c` & d",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_letter_by_letter(name: str) -> None:
    html = MarkdownIt("gfm-like", {"linkify": False}).render(f"**{plain(name)}** is the class.")
    assert unescape(html).strip() == f"<p><strong>{name}</strong> is the class.</p>"


def test_an_explanation_shows_the_name_only() -> None:
    explanation = explain(np.zeros((32, 32, 3), np.uint8), load("mobilenet_v2"))
    text = describe_explanation(replace(explanation, label=NAMES[0]))
    assert "![" not in text
