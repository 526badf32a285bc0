"""Import gradio in about half the time, and mend how it writes pictures."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from models.engine import write_atomically


def import_gradio() -> None:
    """Import gradio without the type stubs that it works out, from source, for each of its components at every start."""
    with no_stubs():
        importlib.import_module("gradio")
    _write_pictures_whole()


def _write_pictures_whole() -> None:
    """Have pictures on the page replaced as a whole.

    Gradio names them by what is in them and writes over a file that is there: one who is loading the same picture just
    then, in another place of the page or as another visitor, gets a broken one.
    """
    processing = importlib.import_module("gradio.processing_utils")

    def save(img: Image.Image, cache_dir: str, name: str = "image", format: str = "webp") -> str:  # noqa: A002 (theirs)
        content = processing.encode_pil_to_bytes(img, format)
        path = (Path(cache_dir) / processing.hash_bytes(content) / f"{name}.{format}").resolve()
        write_atomically(path, content)
        return str(path)

    setattr(processing, "save_pil_to_cache", save)  # noqa: B010


@contextmanager
def no_stubs() -> Iterator[None]:
    """Have no stub file written for the components that are defined meanwhile.

    Gradio skips them where a component has no source file, so that is what it is told; that it can do without is its own
    doing, and nothing else sees the difference.
    """
    getfile = inspect.getfile

    def hidden(thing: Any) -> str:
        if sys._getframe(1).f_globals.get("__name__") == "gradio.component_meta":
            raise OSError("no stubs")
        return getfile(thing)

    setattr(inspect, "getfile", hidden)  # noqa: B010  (its stub has a narrower type)
    try:
        yield
    finally:
        inspect.getfile = getfile
