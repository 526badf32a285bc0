"""A button that uploads a folder and keeps the subfolder of each picture."""

from __future__ import annotations

from urllib.parse import unquote

import gradio as gr
from gradio.data_classes import ListFiles

from ui.startup import no_stubs
from ui.uploads import check_file

# Gradio uploads the files of a folder without their subfolder. This part of the page's script adds the subfolder to the
# name of each picture, and leaves out files that are not pictures.
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
        """An upload button for a folder. Its handlers get the name of each picture, as "folder/file", and its path here."""

        is_template = True  # a gr.UploadButton to the browser

        def preprocess(self, payload: ListFiles | None) -> list[tuple[str, str]]:
            """Names and paths. The names come from the browser, so they can be anything.

            Raises gr.Error if a path names no file of this visitor.
            """
            return [(unquote(file.orig_name or ""), check_file(file.path)) for file in payload or []]


def folder_button(label: str, **options: object) -> FolderButton:
    """A FolderButton. `options`: those of gr.UploadButton."""
    return FolderButton(label, file_count="directory", **options)
