"""How the page looks: a theme with the system's own fonts (nothing is fetched) and the little CSS it needs."""

from __future__ import annotations

import gradio as gr

THEME = gr.themes.Soft(
    primary_hue="indigo",
    neutral_hue="slate",
    font=["Inter", "Segoe UI", "Helvetica Neue", "Arial", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)

CSS = """
.gradio-container { max-width: 1320px !important; margin: 0 auto !important; }
#title h1 { margin: 0.2rem 0 0; }
#title p { margin: 0 0 0.4rem; font-size: 1.05rem; }
#samples { width: 0; min-width: 100% !important; overflow: hidden; }  /* the strip must not widen its column */
#samples .gallery { flex-wrap: nowrap; overflow-x: auto; padding-bottom: 0.4rem; }
#samples .gallery-item { flex: none; }
#bars button { min-height: 44px; font-family: inherit; }
#legend .legend { display: flex; align-items: center; gap: 0.6rem; font-size: 0.85rem; color: var(--body-text-color-subdued); }
#legend .ramp { flex: 1; height: 0.7rem; border-radius: 0.35rem; }
#report { align-items: start; }
#status { min-height: 4.6rem; font-size: 1.02rem; }
#status p { margin: 0.1rem 0; }
.method-note p { margin: 0; color: var(--body-text-color-subdued); font-size: 0.92rem; }
@media (max-width: 640px) {
  .gradio-container { padding: 0.5rem !important; }
  #downloads button { min-width: 0 !important; }
}
"""
