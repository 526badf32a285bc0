"""A picture by upload, drop, paste, clipboard or camera, handed on as the untouched file."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.data_classes import ImageData

from ui.folder_button import FOLDER_JS
from ui.startup import no_stubs

# Gradio's image takes a paste from its clipboard button only; Ctrl+V anywhere on the page is what people try. And typing
# into a drop-down appends to what is chosen, where it should replace it. A camera that cannot be had is passed over in
# silence; elements of the class camera-hint say what to do.
PAGE_JS = (
    f"() => {{{FOLDER_JS}"
    + """
document.addEventListener("focusin", (event) => {
  if (event.target.matches("input[role=combobox]")) event.target.select();
});
document.addEventListener("paste", (event) => {
  const field = event.target.closest("input, textarea, [contenteditable=true]");
  const file = [...(event.clipboardData?.files ?? [])].find((file) => file.type.startsWith("image/"));
  if (field || !file) return;
  const visible = () => [...document.querySelectorAll(".picture-input")].find((input) => input.offsetParent);
  const clear = visible()?.querySelector("button[aria-label='Remove Image']");
  clear?.click();
  const deadline = Date.now() + 2000;
  const put = () => {
    const input = visible()?.querySelector("input[type=file]");
    if (!input) { if (Date.now() < deadline) setTimeout(put, 50); return; }
    const transfer = new DataTransfer();
    transfer.items.add(file);
    input.files = transfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };
  setTimeout(put, clear ? 100 : 0);
});
const hint = (text) => document.querySelectorAll(".camera-hint .prose").forEach((place) => (place.textContent = text));
if (!navigator.mediaDevices) {  // as on every page that came over http from another computer
  const open = async () => { throw new DOMException("", "SecurityError"); };
  Object.defineProperty(navigator, "mediaDevices", { value: { getUserMedia: open, enumerateDevices: async () => [] } });
}
const devices = navigator.mediaDevices;
const open = devices.getUserMedia.bind(devices);
devices.getUserMedia = async (wanted) => {
  try {
    const stream = await open(wanted);
    hint("");
    return stream;
  } catch (error) {
    hint({
      NotAllowedError: "The camera was refused. Allow it for this page, at the left end of the address bar, then try again.",
      NotFoundError: "No camera was found. Connect one and try again, or upload a picture in the Explain tab.",
      OverconstrainedError: "No camera was found that fits. Connect another one, or upload a picture in the Explain tab.",
      NotReadableError: "The camera is busy. Close the other tab or program that uses it, then try again.",
      AbortError: "The camera is busy. Close the other tab or program that uses it, then try again.",
      SecurityError: "Browsers show the camera to secure pages only. Open this one over https, or on the computer it runs on.",
    }[error.name] ?? `The camera cannot be used: ${error.message}`);
    throw error;
  }
};
}
"""
)


with no_stubs():

    class PictureInput(gr.Image):
        """An image input whose handlers get the path of the file as it was uploaded.

        Gradio would decode it first and answer a damaged or odd file with a nameless error; `models.picture.read` says
        what is wrong with it.
        """

        is_template = True  # a gr.Image to the browser

        def preprocess(self, payload: ImageData | None) -> str | None:
            """The path."""
            return payload.path if payload else None


def picture_input(**options: Any) -> PictureInput:
    """A picture by upload, camera or clipboard. The camera is never mirrored: text must read right. `options`: gr.Image's."""
    constraints = {"video": {"facingMode": "environment", "width": {"ideal": 1280}, "height": {"ideal": 720}}}
    return PictureInput(
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        elem_classes="picture-input",
        webcam_options=gr.WebcamOptions(mirror=False, constraints=constraints),
        **options,
    )
