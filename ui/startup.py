"""Import gradio in about half the time, and fix how it writes pictures."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from core.files import write_atomically
from ui.scratch import process_folder


def import_gradio() -> None:
    """Import gradio without type stubs. It would generate them from source, for each component, at every start.

    Its files go into the folder of this process, which is removed at the end; gradio reads the variable when it is imported.
    """
    os.environ.setdefault("GRADIO_TEMP_DIR", str(process_folder() / "files"))
    with no_stubs():
        importlib.import_module("gradio")
    _write_pictures_atomically()


def use_light_sessions(holder: type) -> None:
    """Let Gradio's apps keep their sessions in a `holder`."""
    setattr(importlib.import_module("gradio.routes"), "StateHolder", holder)  # noqa: B010


def _write_pictures_atomically() -> None:
    """Make Gradio replace picture files atomically.

    Gradio names a picture by its content and overwrites an existing file. A browser that loads the same picture at that
    moment gets a broken one.
    """
    processing = importlib.import_module("gradio.processing_utils")

    def save(img: Image.Image, cache_dir: str, name: str = "image", format: str = "webp") -> str:  # noqa: A002 (Gradio's name)
        content = processing.encode_pil_to_bytes(img, format)
        path = (Path(cache_dir) / processing.hash_bytes(content) / f"{name}.{format}").resolve()
        write_atomically(path, content)
        return str(path)

    setattr(processing, "save_pil_to_cache", save)  # noqa: B010


@contextmanager
def no_stubs() -> Iterator[None]:
    """A context in which Gradio writes no stub file for the components that are defined.

    Gradio writes none for a component without a source file. So `inspect.getfile` reports no file here, to Gradio's module
    for stubs only.
    """
    getfile = inspect.getfile

    def getfile_or_fail(thing: Any) -> str:
        if sys._getframe(1).f_globals.get("__name__") == "gradio.component_meta":
            raise OSError("no stubs")
        return getfile(thing)

    setattr(inspect, "getfile", getfile_or_fail)  # noqa: B010  (the stub of `inspect` has a narrower type)
    try:
        yield
    finally:
        inspect.getfile = getfile
