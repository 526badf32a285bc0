"""Import gradio in about half the time."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def import_gradio() -> None:
    """Import gradio without the type stubs that it works out, from source, for each of its components at every start."""
    with no_stubs():
        importlib.import_module("gradio")


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
