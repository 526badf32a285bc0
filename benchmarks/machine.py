"""Where and with what a figure was measured, printed above every table."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import version


def describe() -> str:
    """One line: date, cores, Python and the versions that matter."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("ai-edge-litert", "keras", "gradio", "numpy"))
    return f"{datetime.date.today()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"
