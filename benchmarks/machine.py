"""One line about the machine and the installed versions, which every benchmark prints above its table."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("ai-edge-litert", "keras", "gradio", "numpy")


def describe() -> str:
    """One line: the date, the number of cores, and the versions of Python and of the installed PACKAGES."""
    versions = ", ".join(_versions())
    return f"{datetime.date.today()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def _versions() -> Iterator[str]:
    for name in PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:  # a worker of an audit needs neither Keras nor Gradio
            continue
