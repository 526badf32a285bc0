"""A picture by upload, drop, paste or camera, as the unchanged file; and how to read it."""

from __future__ import annotations

import base64
import io
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import ImageData

from core.errors import PictureError, UserError
from core.images import Picture, read, shrink
from ui.folder_button import FOLDER_JS
from ui.startup import no_stubs
from ui.uploads import check_file
from ui.waiting import RETRY_JS

MAX_SIDE = 1280  # pixels of the longer side; no network needs more, and the page stays fast
DECODED_SIDE = 2 * MAX_SIDE  # enough of a photograph: a screen in it is rectified before it is shrunk

# Gradio accepts a paste by the clipboard button only, but people press Ctrl+V. Text typed into a dropdown is appended to the
# chosen value, but should replace it. Gradio does not report a camera that fails; elements of the class camera-hint do.
PAGE_JS = (
    f"() => {{{FOLDER_JS}{RETRY_JS}"
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
if (!navigator.mediaDevices) {  // on pages that come over http from another computer
  const open = async () => { throw new DOMException("", "SecurityError"); };
  Object.defineProperty(navigator, "mediaDevices", { value: { getUserMedia: open, enumerateDevices: async () => [] } });
}
const devices = navigator.mediaDevices;
const open = devices.getUserMedia.bind(devices);
devices.getUserMedia = async (constraints) => {
  try {
    const stream = await open(constraints);
    hint("");
    return stream;
  } catch (error) {
    hint({
      NotAllowedError: "The camera is blocked. Click the icon left of the address, allow the camera, and try again.",
      NotFoundError: "No camera was found. Connect one and try again, or upload a picture in the Explain tab.",
      OverconstrainedError: "No suitable camera was found. Connect another one, or upload a picture in the Explain tab.",
      NotReadableError: "The camera is busy. Close the other tab or program that uses it, then try again.",
      AbortError: "The camera is busy. Close the other tab or program that uses it, then try again.",
      SecurityError: "Browsers allow cameras only on secure pages. Open this page with https, or on the computer it runs on.",
    }[error.name] ?? `The camera cannot be used: ${error.message}`);
    throw error;
  }
};
}
"""
)

with no_stubs():

    class PictureInput(gr.Image):
        """An image input whose handlers get the path of the uploaded file.

        Gradio would decode the file first, and report a damaged one as an error without a message. `core.images.read`
        reports what is wrong.
        """

        is_template = True  # a gr.Image to the browser

        def preprocess(self, payload: ImageData | None) -> str | None:
            """The path. Raises gr.Error if it names no file of this visitor."""
            return check_file(payload.path) if payload and payload.path is not None else None

    class CameraInput(gr.Image):
        """A streaming camera whose handlers get the pixels of each frame, uint8 RGB (H, W, 3).

        Gradio would decode a frame before anything is known about its size.
        """

        is_template = True  # a gr.Image to the browser

        def preprocess(self, payload: ImageData | None) -> np.ndarray | None:
            """The pixels. Raises gr.Error for a frame that is no picture, or has too many pixels."""
            if payload is None or not (payload.url or payload.path):
                return None
            try:
                if payload.path is not None:
                    return read(check_file(payload.path), DECODED_SIDE).pixels
                return read(_frame_content(payload.url or ""), DECODED_SIDE).pixels
            except UserError as error:
                raise gr.Error(str(error), title="", print_exception=False) from error


def _frame_content(url: str) -> io.BytesIO:
    """The content of a "data:" URL. Raises PictureError for another URL."""
    try:
        header, content = url.split(",", 1)
        if header.startswith("data:image/") and header.endswith(";base64"):
            return io.BytesIO(base64.b64decode(content, validate=True))
    except ValueError:
        pass
    raise PictureError("The camera sent no picture.")


def picture_input(**options: Any) -> PictureInput:
    """A picture by upload, camera or clipboard. The camera is not mirrored, so text stays readable.

    `options`: those of gr.Image.
    """
    constraints = {"video": {"facingMode": "environment", "width": {"ideal": 1280}, "height": {"ideal": 720}}}
    return PictureInput(
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        elem_classes="picture-input",
        webcam_options=gr.WebcamOptions(mirror=False, constraints=constraints),
        **options,
    )


def read_picture(path: str | None) -> Picture:
    """Read the file behind an input. Raises UserError if there is none, or if it is not a picture."""
    if path is None:
        raise UserError("There is no picture yet. Upload, paste or take one.")
    return read(path, DECODED_SIDE)


def read_small_picture(path: str | None) -> Picture:
    """Read a picture and scale it down to at most MAX_SIDE pixels on its longer side. Raises UserError as read_picture."""
    picture = read_picture(path)
    return Picture(shrink(picture.pixels, MAX_SIDE), picture.notes)
