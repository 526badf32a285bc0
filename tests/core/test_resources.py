"""How many cores a process takes, in a container and out of one."""

from __future__ import annotations

import os
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
