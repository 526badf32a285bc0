"""`python -m explain` on folders: every picture once, also after a kill at any moment; the same maps as one by one."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from batch import find_pictures, is_batch
from batch.journal import FILE, Journal, key_of
from core.errors import UserError
from explain.cli import main
from tests.networks import picture, small_classifier

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Good and bad files at several depths."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a.png", "a.jpg", "sub/a.png", "sub/deep/b.png", "line\nbreak.png")):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(40, 60, number)).save(path)
    (tmp_path / "in" / "sub" / "notes.txt").write_text("no picture")
    (tmp_path / "in" / ".hidden.png").write_bytes(b"x")
    return tmp_path


def lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / FILE).read_text().splitlines()]


def times(out: Path) -> dict[str, int]:
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.rglob("*.png")}


NAMES = {"a.jpg", "a.png", "line\nbreak", "sub/a", "sub/deep/b"}


def test_a_folder_keeps_its_structure_and_names_what_is_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["in", "--out", "out", "--npy", "--verbose"]) == 2
    said = capsys.readouterr()
    assert set(times(folder / "out")) == {f"{name}.grad-cam.png" for name in NAMES}
    assert "5 pictures in" in said.out
    assert "1 with a problem" in said.out
    assert "hidden" in said.err
    records = {str(entry["image"]): entry for entry in lines(folder / "out")}
    assert len(records) == 6
    assert "not a picture" in str(records[os.path.join("in", "sub", "notes.txt")]["problem"])  # noqa: PTH118
    found = records[os.path.join("in", "sub", "a.png")]  # noqa: PTH118
    assert main(["in/sub/a.png", "--out", "one", "--npy"]) == 0
    heatmaps = [np.load(path) for path in ("one/a.grad-cam.npy", "out/sub/a.grad-cam.npy")]
    np.testing.assert_array_equal(*heatmaps)
    assert found["overlay"] == "sub/a.grad-cam.png"
    assert len(found["top"]) == 5  # type: ignore[arg-type]
    before = times(folder / "out")
    assert main(["in", "--out", "out", "--npy"]) == 0  # the bad file is known, and was not tried again
    assert "0 pictures in" in capsys.readouterr().out
    assert times(folder / "out") == before


def test_only_what_changed_is_done_again(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr("explain.cli.load_model", lambda program, options: small_classifier("gap"))
    monkeypatch.setattr("explain.cli.warm_up", lambda classifier: None)
    command = ["in/**/*.png", "--out", "out", "--method", "grad-cam"]
    assert main(command) == 0
    before = times(folder / "out")
    assert set(before) == {
        "a.grad-cam.png",
        "sub/a.grad-cam.png",
        "sub/deep/b.grad-cam.png",
        "line\nbreak.grad-cam.png",
    }
    (folder / "out" / "a.grad-cam.png").unlink()
    os.utime(folder / "in" / "sub" / "a.png")
    (folder / "out" / FILE).write_bytes((folder / "out" / FILE).read_bytes() + b'{"cut": ')
    capsys.readouterr()
    assert main([*command, "layer-cam"]) == 0
    assert "4 pictures in" in capsys.readouterr().out
    after = times(folder / "out")
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"a.grad-cam.png", "sub/a.grad-cam.png"}
    assert len(after) == 8
    assert main([*command, "--opacity", "0.3"]) == 0  # another setting changes every file
    assert all(time != after[name] for name, time in times(folder / "out").items() if "grad-cam" in name)


def test_a_killed_run_goes_on_where_it_was(folder: Path) -> None:
    """Killed with -9 when some files are there: none is written again, and none is missing in the end."""
    for number in range(60):
        Image.fromarray(picture(40, 60, 10 + number)).save(folder / "in" / f"{number:03}.png")
    command = [sys.executable, "-m", "explain", "in", "--out", "out"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while len(times(folder / "out")) < 10:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = times(folder / "out")
    assert 10 <= len(before) < 65
    assert main(["in", "--out", "out"]) == 2
    after = times(folder / "out")
    assert len(after) == 65
    assert {name: after[name] for name in before} == before
    done = [entry["overlay"] for entry in lines(folder / "out") if not entry["problem"]]
    assert set(done) == set(after)
    assert len(done) <= len(after) + 1  # at most the picture that was being written has two lines
    assert [path for path in (folder / "out").rglob("*") if path.name.startswith(".")] == []


def test_two_processes_give_the_same_files(folder: Path) -> None:
    assert main(["in", "--out", "out"]) == 2
    assert main(["in", "--out", "both", "--workers", "2"]) == 2
    for path in (folder / "out").rglob("*.png"):
        assert (folder / "both" / path.relative_to(folder / "out")).read_bytes() == path.read_bytes()
    assert len(times(folder / "both")) == 5
    assert len(lines(folder / "both")) == 6


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (requirements-ray.txt)")
def test_ray_writes_top_classes_and_maps_on_their_grid(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow.parquet as parquet

    assert main(["in", "--out", "parts", "--ray"]) == 2
    rows = {row["image"]: row for row in parquet.read_table(folder / "parts").to_pylist()}
    assert len(rows) == 6
    assert main(["in/sub/a.png", "--out", "one", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    row = rows["in/sub/a.png"]
    assert row["top_labels"] == [entry["label"] for entry in facts["top"]]
    assert len(row["map"]) == row["rows"] * row["columns"] > 4
    assert main(["in", "--out", "parts", "--ray"]) == 0
    assert "0 pictures in" in capsys.readouterr().out


def test_folders_patterns_and_files_are_told_apart(folder: Path) -> None:
    (folder / "[odd].png").write_bytes(b"x")
    assert [is_batch([text]) for text in ("in", "in/*.png", "in/a.png", "[odd].png", "nope.png")] == [
        True, True, False, False, False,
    ]  # fmt: skip
    (folder / "other" / "sub").mkdir(parents=True)
    (folder / "other" / "sub" / "a.png").write_bytes(b"x")
    entries, excluded = find_pictures(["in", "other"], folder / "in" / "sub" / "deep")
    assert {entry.name for entry in entries} >= {"in/sub/a", "other/sub/a"}
    assert not [entry for entry in entries if "deep" in entry.path]  # the output folder
    assert [entry.kind for entry in excluded] == ["hidden"]
    for nothing in ("in/*.tif", "empty"):
        (folder / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError, match="no files"):
            find_pictures([nothing], folder / "out")


def test_a_mistake_with_a_folder_is_one_line(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for options, said in ((["--trust"], "single pictures"), (["--workers", "-1"], "0 or more")):
        assert main(["in", *options]) == 2
        assert said in capfd.readouterr().err


def test_a_line_counts_only_with_its_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append({"key": 1, "problem": "", "overlay": "a.png"})
    journal.append({"key": 2, "problem": "damaged"})
    assert journal.finished() == {2}
    (tmp_path / "a.png").touch()
    (tmp_path / FILE).open("ab").write(b'{"key": 3, "prob')
    journal.append({"key": 4, "problem": "x"})
    assert journal.finished() == {1, 2, 4}
    keys = {key_of(str(tmp_path / "a.png"), method, recipe) for method in ("cam", "rise") for recipe in ("x", "y")}
    assert len(keys) == 4
