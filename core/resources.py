"""The processor cores and the memory that this process may use."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

MEMORY = int(os.environ.get("THUMBSCOPE_MEMORY", "512")) << 20  # bytes that one pass through a network may need


def available_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """How many processor cores this process may use, at least 1.

    The environment variable THUMBSCOPE_THREADS sets the number. Without it, the limit of the container counts, which is
    often below the number of cores of the machine. `quota`: the file in which Linux states that limit.
    """
    if threads := os.environ.get("THUMBSCOPE_THREADS"):
        return max(1, int(threads))
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        time, period = map(int, quota.read_text().split())
    except (OSError, ValueError):  # no container, or no limit
        return count
    return max(1, min(count, math.ceil(time / period)))


def keep_freed_memory() -> None:
    """Make glibc keep freed memory, up to MEMORY, instead of returning it to the system.

    Without this, a fifth of the time of a gradient in TensorFlow goes into requesting the same memory pages again, and more
    than half of the time of a search for a screen. Other C libraries are not changed.
    """
    if mallopt := _function_of_glibc("mallopt"):
        for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            mallopt(parameter, min(MEMORY, 2**31 - 1))


def return_freed_memory() -> None:
    """Make glibc return freed memory to the system once. It takes milliseconds, and the next work requests pages again."""
    if malloc_trim := _function_of_glibc("malloc_trim"):
        malloc_trim(0)


def _function_of_glibc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
