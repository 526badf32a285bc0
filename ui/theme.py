"""The look of the page: a quiet theme with system fonts, which need no download; the style sheet is `page.css`."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

FOLDER = Path(__file__).parent
MARK = FOLDER / "assets" / "mark.svg"
"""The sign of the page: in the header, and as the icon of the browser tab."""

# The accent comes from the middle of the heat scale. Its shade 600 has a contrast of 5.3 to white.
EMBER = gr.themes.Color(
    "#fdf4ef", "#fbe5da", "#f6c9b4", "#f0a583", "#ea8052", "#d95d25", "#bd4314", "#9a3612", "#7b2d14", "#5f2513", "#33110a",
    name="ember",
)  # fmt: skip
_PLAIN = {  # the same in light and dark: labels are text, without a box or a colour of their own
    "block_label_background_fill": "transparent",
    "block_label_border_width": "0px",
    "block_label_text_color": "*body_text_color_subdued",
    "block_title_background_fill": "transparent",
    "block_title_text_color": "*body_text_color_subdued",
    "checkbox_label_background_fill": "transparent",
    "block_shadow": "none",
    "button_primary_text_color": "white",
    "button_primary_background_fill": "*primary_600",
    "button_primary_background_fill_hover": "*primary_700",
    "input_border_color_focus": "*primary_500",
}

THEME = gr.themes.Base(
    primary_hue=EMBER,
    secondary_hue=EMBER,
    neutral_hue="stone",
    spacing_size="md",
    radius_size="md",
    text_size="md",
    font=["system-ui", "Segoe UI", "Helvetica Neue", "Arial", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    **_PLAIN,
    **{f"{name}_dark": value for name, value in _PLAIN.items() if not name.startswith("block_label_border")},
    block_title_text_weight="500",
    block_label_text_weight="500",
    button_large_text_weight="500",
    button_primary_shadow="none",
    body_background_fill="*neutral_50",
    body_background_fill_dark="#161412",
    background_fill_primary_dark="#1f1c1a",
    background_fill_secondary_dark="#292522",
    block_background_fill_dark="#1f1c1a",
    block_border_color="*neutral_200",
    block_border_color_dark="#3a3531",
    body_text_color="*neutral_900",
    body_text_color_dark="#ece7e2",
    body_text_color_subdued="#625b55",
    body_text_color_subdued_dark="#c4bbb3",
    link_text_color="*primary_600",
    link_text_color_dark="*primary_300",
)

CSS = (FOLDER / "page.css").read_text(encoding="utf-8")


def render_header() -> str:
    """The header of the page as HTML: the mark, the name and one sentence."""
    return (
        f"<header>{MARK.read_text(encoding='utf-8')}<h1>Thumbscope</h1>"
        "<p>See what an image classifier looks at, and how far to trust the heatmap.</p></header>"
    )
