"""A button that uploads a folder, with the folder that each picture lies in."""

from __future__ import annotations

from urllib.parse import unquote

import gradio as gr
from gradio.data_classes import ListFiles

from ui.startup import no_stubs

# Gradio uploads the files of a folder under their bare names. This goes into the page's script: it puts the folder above
# each picture into its name, and leaves behind what is no picture.
FOLDER_JS = """
document.addEventListener("change", (event) => {
  const input = event.target;
  if (!input.matches("input[webkitdirectory]")) return;
  const transfer = new DataTransfer();
  for (const file of input.files) {
    const name = file.webkitRelativePath.split("/").slice(-2).join("/");
    if (file.type.startsWith("image/")) transfer.items.add(new File([file], encodeURIComponent(name), { type: file.type }));
  }
  input.files = transfer.files;
}, true);
"""


with no_stubs():

    class FolderButton(gr.UploadButton):
        """A button whose handlers get what lies in a folder: each picture's name, as "folder/file", and its path here."""

        is_template = True  # a gr.UploadButton to the browser

        def preprocess(self, payload: ListFiles | None) -> list[tuple[str, str]]:
            """Names and paths; the names are what a browser says they are."""
            return [(unquote(file.orig_name or ""), file.path) for file in payload or []]


def folder_button(label: str, **options: object) -> FolderButton:
    """See FolderButton. `options`: gr.UploadButton's."""
    return FolderButton(label, file_count="directory", **options)
