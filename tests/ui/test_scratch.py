"""Folders of visitors: they go with the session, with the process, and after a crash at the next start."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import UserError
from ui import scratch, session
from ui.session import Session

CODE = """
import signal, sys, time
from ui.session import Session
for number in (signal.SIGTERM, signal.SIGINT):  # a background job starts with SIGINT ignored
    signal.signal(number, signal.default_int_handler)
session = Session()
session.file("a.png").write_bytes(b"x")
print(session.file("a.png"), flush=True)
time.sleep(600)
"""


def test_a_folder_goes_with_its_session() -> None:
    visitor = Session()
    file = visitor.file("a.png")
    file.write_bytes(b"x")
    del visitor
    gc.collect()
    assert not file.parent.exists()
    assert scratch.process_folder() in file.parents


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_nothing_is_left_of_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stdout
    file = Path(process.stdout.readline().strip())
    assert file.read_bytes() == b"x"
    monkeypatch.setattr(scratch, "YOUNG_SECONDS", -1.0)
    assert scratch.delete_abandoned(tmp_path) == [], "it runs"
    process.send_signal(getattr(signal, end))
    process.wait(60)
    process.stdout.close()
    left = [] if end != "SIGKILL" else [file.parents[1]]
    assert list(tmp_path.iterdir()) == left
    assert scratch.delete_abandoned(tmp_path) == left
    assert list(tmp_path.iterdir()) == []


def test_other_folders_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "YOUNG_SECONDS", -1.0)
    (tmp_path / "other").mkdir()
    (tmp_path / "thumbscope-file").touch()
    (tmp_path / "thumbscope-link").symlink_to(tmp_path / "other")
    assert scratch.delete_abandoned(tmp_path) == []
    monkeypatch.setattr(scratch, "YOUNG_SECONDS", 60.0)
    (tmp_path / "thumbscope-young").mkdir()
    assert scratch.delete_abandoned(tmp_path) == []


def test_unpacked_pictures_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = Session()
    folders = []
    for _ in range(4):
        folder = visitor.new_folder("pictures")
        folder.mkdir()
        (folder / "a.png").write_bytes(b"x" * 100)
        folders.append(folder)
    assert [folder.exists() for folder in folders] == [False, False, True, True]
    monkeypatch.setattr(session, "MAX_BYTES", 250)
    assert visitor.room() == 50
    monkeypatch.setattr(session, "MAX_BYTES", 200)
    with pytest.raises(UserError, match="space"):
        visitor.new_folder("other")
