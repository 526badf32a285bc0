"""Every way to run an audit gives the same figures: here, interrupted, in workers that die, on Ray."""

from __future__ import annotations

import errno
import importlib.util
import json
import multiprocessing
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audit import Audit, AuditSettings, shards
from audit.run import run_audit
from audit.shards import Recipe, Store, pack_shard
from core.errors import UserError


def assert_same(first: Audit, second: Audit) -> None:
    assert json.dumps(first.to_dict()) == json.dumps(second.to_dict())
    for a, b in zip(first.classes, second.classes, strict=True):
        np.testing.assert_array_equal(a.heat, b.heat)
        np.testing.assert_array_equal(a.standard_deviation, b.standard_deviation)


def test_a_corrupt_file_is_counted_and_named(local: Audit) -> None:
    assert local.pictures == 19
    [(_, reason)] = local.excluded
    assert "3.jpg" in reason
    assert "damaged" in reason
    assert local.to_dict()["refused"] == [[3 + 10, reason]]


def test_an_interrupted_audit_goes_on(folder: Path, recipe: Recipe, local: Audit) -> None:
    kept = sorted((folder / "local").glob("*.npz"))
    assert len(kept) == 5
    times = {path.name: path.stat().st_mtime_ns for path in kept}
    kept[2].unlink()
    done: list[int] = []
    assert_same(run_audit(recipe, keep=folder / "local", progress=lambda count, _: done.append(count)), local)
    assert done == [20]
    changed = [path.name for path in kept if path.stat().st_mtime_ns != times[path.name]]
    assert changed == [kept[2].name]


@pytest.mark.parametrize("damage", [b"", b"PK", b"not a zip", None])
def test_a_damaged_shard_is_measured_again(
    folder: Path, recipe: Recipe, local: Audit, tmp_path: Path, damage: bytes | None
) -> None:
    """Such as by a power cut. The figures are the same, and the shard on the disk is whole again."""
    shutil.copytree(folder / "local", tmp_path / "kept")
    kept = sorted((tmp_path / "kept").glob("*.npz"))
    whole = kept[1].read_bytes()
    kept[1].write_bytes(whole[: len(whole) // 2] + whole[len(whole) // 2 + 9 :] if damage is None else damage)
    kept[3].write_bytes(pack_shard(({}, []))[:-5])
    (tmp_path / "kept" / "other.txt").write_bytes(b"\xff")
    assert_same(run_audit(recipe, keep=tmp_path / "kept"), local)
    assert kept[1].read_bytes() == whole
    (tmp_path / "kept" / "audit-of").write_bytes(b"\xff\xfe")  # of another audit, it seems
    assert_same(run_audit(recipe, keep=tmp_path / "kept"), local)


def test_a_full_disk_is_a_sentence_and_the_shards_stay(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written: list[str] = []
    write = shards.write_atomically

    def fill(path: Path, content: bytes) -> None:
        if len(written) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path.name)
        write(path, content)

    monkeypatch.setattr(shards, "write_atomically", fill)
    with pytest.raises(UserError, match=r"No space left on device.*run the same command again"):
        run_audit(recipe, keep=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(written)


def test_shards_of_another_audit_are_deleted(tmp_path: Path, recipe: Recipe) -> None:
    store = Store(tmp_path, recipe)
    store.put(0, pack_shard(({"index": np.arange(2)}, [(3, "damaged")])))
    rows, excluded = store.get(0)
    assert (rows["index"].tolist(), excluded) == ([0, 1], [(3, "damaged")])
    assert Store(tmp_path, recipe).missing(2) == [1]
    assert Store(tmp_path, replace(recipe, settings=AuditSettings(sample=3, seed=1))).missing(2) == [0, 1]


def test_a_killed_worker_changes_nothing(recipe: Recipe, local: Audit) -> None:
    killed: list[int] = []

    def kill(count: int, total: int) -> None:
        if not killed:
            child = multiprocessing.active_children()[0]
            killed.append(int(child.pid or 0))
            child.kill()

    assert_same(run_audit(recipe, workers=2, progress=kill), local)
    assert killed


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (requirements-ray.txt)")
def test_ray_gives_the_same(recipe: Recipe, local: Audit) -> None:
    assert_same(run_audit(recipe, workers=1, ray="local"), local)
