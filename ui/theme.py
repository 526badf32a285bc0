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
.gradio-container { width: 100%; max-width: 1320px !important; margin: 0 auto !important; }
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
/* Galleries whose captions are facts to read: whole, under their picture. */
.captioned .grid-wrap { height: auto !important; max-height: none !important; min-height: 0; overflow: visible; }
.captioned .grid-container { grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); }
.captioned .thumbnail-item { aspect-ratio: auto; display: flex; flex-direction: column; height: 100%; }
.captioned .thumbnail-item { justify-content: flex-start; align-items: stretch; }
.captioned .thumbnail-item img { width: 100%; height: auto; }
.captioned .caption-label {
  position: static; max-width: none; padding: 0.3rem 0.5rem; background: none; border: none; box-shadow: none;
  white-space: pre-line; overflow: visible; font-size: 0.82rem; line-height: 1.35; text-align: left;
}
.captioned .caption-label::first-line { font-weight: 600; }
table.facts { width: 100%; font-size: 0.85rem; border-collapse: collapse; }
table.facts th, table.facts td { text-align: left; padding: 0.2rem 0.5rem 0.2rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 0.8rem; }
.cards figure { margin: 0; }
.cards img, .cards svg { width: 100%; height: auto; border-radius: 0.3rem; }
.cards figcaption { font-size: 0.85rem; line-height: 1.35; padding: 0.2rem 0; }
#dream img { width: 100%; height: 100%; object-fit: contain; }  /* larger than it is: every pixel was painted */
#stress-run button { flex: 0 0 auto; }
#cell .grid-container { grid-template-columns: repeat(3, 1fr); }  /* a picture and its two maps */
#compare-run, #compare-report { align-items: center; }
#compare-status, #train-collect > .step { flex: 1 1 260px; }  /* wraps on a phone before its words do */
#compare-run button { flex: 0 0 auto; }
.live img, .live .blank { width: 100%; height: auto; aspect-ratio: 16 / 9; object-fit: contain; border-radius: 0.4rem;
  background: var(--background-fill-secondary); }
.live p { min-height: 2.8rem; margin: 0.5rem 0 0.3rem; }
.live ul { list-style: none; margin: 0; padding: 0; min-height: 7.2rem; }
.live li { display: grid; grid-template-columns: minmax(7rem, 13rem) 1fr 3rem; gap: 0.6rem; align-items: center;
  line-height: 1.8rem; }
.live li span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.live .bar { height: 0.8rem; border-radius: 0.4rem; background: var(--background-fill-secondary); }
.live .bar i { display: block; height: 100%; border-radius: 0.4rem; background: var(--primary-500); }
#screen-note p { margin: 0.2rem 0; }
#screen-photo img { cursor: crosshair; }
.camera-hint:not(:has(.prose:not(:empty))) { display: none !important; }
.camera-hint { color: var(--error-text-color, #b91c1c); font-weight: 600; }
@media (max-width: 640px) {
  .gradio-container { padding: 0.5rem !important; }
  #downloads button { min-width: 0 !important; }
}
"""
