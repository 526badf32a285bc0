"""Files are written whole or not at all."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image

from core.files import check_writable, encode_npy, encode_png, readable_name, write_atomically


def test_write_atomically_replaces_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "new" / "a.bin"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_write_atomically_keeps_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(type(path), "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_pictures_and_arrays_come_back_from_their_files() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(pixels)))), pixels)
    assert np.array_equal(np.load(io.BytesIO(encode_npy(pixels / 255))), pixels / 255)


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    """The file that is written first has a short name of its own."""
    path = tmp_path / ("n" * 255)
    check_writable(path)
    write_atomically(path, b"x")
    assert path.read_bytes() == b"x"
    with pytest.raises(OSError, match="too long"):
        check_writable(tmp_path / ("n" * 256))


def test_checking_a_target_changes_nothing(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    check_writable(path)
    assert path.read_bytes() == b"old"
    check_writable(tmp_path / "new" / "b.bin")
    assert sorted(child.name for child in tmp_path.rglob("*")) == ["a.bin", "new"]
    with pytest.raises(OSError, match="directory"):
        check_writable(tmp_path / "new")
    with pytest.raises(OSError, match=r"exists|directory"):
        check_writable(path / "c.bin")


def test_a_name_that_is_no_utf8_can_be_written_into_a_report():
    name = os.fsdecode("Café".encode("latin-1"))
    with pytest.raises(UnicodeEncodeError):
        name.encode()
    assert readable_name(name) == "Caf\ufffd"
    assert readable_name("Café 日本") == "Café 日本"
