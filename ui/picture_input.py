"""A picture by upload, drop, paste, clipboard or camera, handed on as the untouched file."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.data_classes import ImageData

# Gradio's image takes a paste from its clipboard button only; Ctrl+V anywhere on the page is what people try. And typing
# into a drop-down appends to what is chosen, where it should replace it.
PAGE_JS = """
() => {
document.addEventListener("focusin", (event) => {
  if (event.target.matches("input[role=combobox]")) event.target.select();
});
document.addEventListener("paste", (event) => {
  const field = event.target.closest("input, textarea, [contenteditable=true]");
  const file = [...(event.clipboardData?.files ?? [])].find((file) => file.type.startsWith("image/"));
  if (field || !file) return;
  const clear = document.querySelector("#picture button[aria-label='Remove Image']");
  clear?.click();
  const deadline = Date.now() + 2000;
  const put = () => {
    const input = document.querySelector("#picture input[type=file]");
    if (!input) { if (Date.now() < deadline) setTimeout(put, 50); return; }
    const transfer = new DataTransfer();
    transfer.items.add(file);
    input.files = transfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };
  setTimeout(put, clear ? 100 : 0);
});
}
"""


def picture_input(**options: Any) -> gr.Image:
    """An image input with upload, camera and clipboard, whose handlers get the path of the file as it was uploaded.

    Gradio would decode it first and answer a damaged or odd file with a nameless error; `models.picture.read` says what is
    wrong with it. The camera is never mirrored: the text on a thumbnail must read right. `options` as gr.Image takes them.
    """
    constraints = {"video": {"facingMode": "environment", "width": {"ideal": 1280}, "height": {"ideal": 720}}}
    component = gr.Image(
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        webcam_options=gr.WebcamOptions(mirror=False, constraints=constraints),
        **options,
    )
    # On the instance, since Gradio writes a stub file beside every subclass of a component.
    component.preprocess = _path
    return component


def _path(payload: ImageData | None) -> str | None:
    return payload.path if payload else None
