"""Where and with what a figure was measured, printed above every table."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("ai-edge-litert", "keras", "gradio", "numpy")


def describe() -> str:
    """One line: date, cores, Python and the versions that matter of what is installed."""
    found = ", ".join(_versions())
    return f"{datetime.date.today()}, {os.cpu_count()} cores, Python {platform.python_version()}, {found}"


def _versions() -> Iterator[str]:
    for name in PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:  # an audit's worker needs neither Keras nor the page
            continue
