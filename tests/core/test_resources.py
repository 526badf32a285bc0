"""How many cores a process takes, in a container and out of one, and the memory that it gives back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core import resources


@pytest.mark.parametrize(
    ("limit", "most"),
    [("150000 100000", 2), ("100000 100000", 1), ("20000 100000", 1), ("max 100000", 10**6), ("", 10**6)],
)
def test_cores_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    quota = tmp_path / "cpu.max"
    quota.write_text(limit)
    assert resources.available_cores(quota) == min(8, most)
    assert resources.available_cores(tmp_path / "none") == 8
    monkeypatch.setenv("THUMBSCOPE_THREADS", "3")
    assert resources.available_cores(quota) == 3


FREED = """
import os
import numpy as np
from core import resources

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

resources.keep_freed_memory()
before = resident()
blocks = [(np.ones(1_000_000, np.uint8), np.ones(100, np.uint8)) for _ in range(200)]
small = [last for _, last in blocks]  # they stay between the large ones
del blocks
kept = resident() - before
resources.return_freed_memory()
print(kept, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries are not changed")
def test_freed_memory_is_kept_until_it_is_returned() -> None:
    run = subprocess.run(
        [sys.executable, "-c", FREED], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    kept, returned = map(int, run.stdout.split())
    assert kept > 150_000_000
    assert returned < 20_000_000
