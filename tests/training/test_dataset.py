"""Data sets: what is read, what is excluded and why; no leaks between splits, and no file outside a zip's folder."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from training import dataset
from training.archive import MAX_BYTES, unzip
from training.dataset import from_lists, load_dataset
from training.report import contact_sheet, histogram


def picture(path: Path, seed: int, quality: int = 95, size: tuple[int, int] = (64, 36)) -> Path:
    """Coarse random blocks: no two seeds are alike, and JPEG changes them little."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(path, quality=quality)
    return path


def classes(folder: Path, counts: dict[str, int], first: int = 0) -> Path:
    for index, (name, count) in enumerate(counts.items()):
        for number in range(count):
            picture(folder / name / f"{number:02}.png", first + 1000 * index + number)
    return folder


def excluded_files(data: dataset.Dataset) -> dict[str, str]:
    return {one.name: one.reason for one in data.excluded}


def test_class_folders(tmp_path: Path) -> None:
    data = load_dataset(classes(tmp_path, {"cats": 20, "dogs": 6}), tmp_path)
    assert data.labels == ("cats", "dogs")
    assert data.counts() == {"cats": 20, "dogs": 6}
    assert data.excluded == ()
    assert len(data.notes) == 1
    assert all(fact in data.notes[0] for fact in ("'dogs'", "6 pictures", "20 or more"))
    assert len(set(data.groups.tolist())) == 26
    assert data.items[0].pixels().shape == (36, 64, 3)
    assert histogram(data.counts()).splitlines()[1] == "dogs      6  ############"


def test_train_and_test_folders_and_a_wrapped_zip(tmp_path: Path) -> None:
    inner = tmp_path / "made" / "wrapped"
    classes(inner / "train", {"cats": 6, "dogs": 7})
    classes(inner / "test", {"cats": 2, "dogs": 3}, first=500)
    file = tmp_path / "data.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for path in inner.rglob("*.png"):
            archive.write(path, path.relative_to(inner.parent))
        archive.writestr("__MACOSX/wrapped/._00.png", b"rubbish")
    for data, hidden in (
        (load_dataset(inner.parent, tmp_path), []),
        (load_dataset(file, tmp_path / "scratch"), ["__MACOSX/wrapped/._00.png"]),
    ):
        assert list(excluded_files(data)) == hidden
        assert data.only("train").counts() == {"cats": 6, "dogs": 7}
        assert data.only("test").counts() == {"cats": 2, "dogs": 3}
        assert data.counts("test") == {"cats": 2, "dogs": 3}


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    classes(tmp_path, {"cats": 6, "dogs": 6, "eels": 3})
    (tmp_path / "cats" / "notes.txt").write_text("not a picture")
    (tmp_path / "cats" / "cut.png").write_bytes((tmp_path / "cats" / "00.png").read_bytes()[:60])
    (tmp_path / "cats" / "again.png").write_bytes((tmp_path / "cats" / "01.png").read_bytes())
    (tmp_path / "cats" / "both.png").write_bytes((tmp_path / "dogs" / "05.png").read_bytes())
    picture(tmp_path / "stray.png", 77)
    found = excluded_files(load_dataset(tmp_path, tmp_path))
    assert "not a picture" in found["cats/notes.txt"]
    assert "damaged" in found["cats/cut.png"]
    assert "copy of 'cats/01.png'" in found["cats/again.png"]
    assert "'cats' and 'dogs'" in found["cats/both.png"]
    assert "'cats' and 'dogs'" in found["dogs/05.png"]
    assert "not in a class folder" in found["stray.png"]
    assert "3 usable pictures" in found["eels"]


def test_near_copies_share_a_group_and_never_straddle(tmp_path: Path) -> None:
    classes(tmp_path / "train", {"cats": 6, "dogs": 6})
    classes(tmp_path / "test", {"cats": 2, "dogs": 2}, first=500)
    picture(tmp_path / "train" / "cats" / "near.jpg", 3, quality=70, size=(96, 54))
    picture(tmp_path / "test" / "dogs" / "near.jpg", 1002, quality=60, size=(96, 54))
    data = load_dataset(tmp_path, tmp_path)
    assert list(excluded_files(data)) == ["test/dogs/near.jpg"]
    assert "in train" in excluded_files(data)["test/dogs/near.jpg"]
    groups = {item.name: group for item, group in zip(data.items, data.groups.tolist(), strict=True)}
    assert groups["train/cats/near.jpg"] == groups["train/cats/03.png"]
    assert len(set(groups.values())) == len(groups) - 1
    assert any("'train/cats/03.png' and 'train/cats/near.jpg'" in note for note in data.notes)


def test_near_copies_in_two_classes_are_asked_about(tmp_path: Path) -> None:
    classes(tmp_path, {"cats": 6, "dogs": 6})
    picture(tmp_path / "dogs" / "near.jpg", 3, quality=70)
    notes = [note for note in load_dataset(tmp_path, tmp_path).notes if "different classes" in note]
    assert len(notes) == 1
    assert "cats/03.png" in notes[0]
    assert "dogs/near.jpg" in notes[0]


def test_lists(tmp_path: Path) -> None:
    classes(tmp_path, {"a": 5, "b": 5})
    lists = {name: sorted((tmp_path / name).iterdir()) for name in ("a", "b")}
    assert from_lists(lists).counts() == {"a": 5, "b": 5}
    with pytest.raises(UserError, match="two classes of at least 5") as caught:
        from_lists({"a": lists["a"], "b": lists["b"][:2]})
    assert "'b'" in str(caught.value)


@pytest.mark.parametrize("name", ["../out.png", "/etc/out.png", "a\\..\\out.png", "C:/out.png"])
def test_a_zip_cannot_reach_outside(tmp_path: Path, name: str) -> None:
    file = tmp_path / "evil.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(UserError, match="outside"):
        load_dataset(file, tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists()
    assert not (tmp_path / "out.png").exists()


def test_odd_zips_are_refused_in_a_sentence(tmp_path: Path) -> None:
    def refuses(match: str, *entries: tuple[str | zipfile.ZipInfo, bytes], most: int = MAX_BYTES) -> None:
        file = tmp_path / "odd.zip"
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in entries:
                archive.writestr(name, content)
        with pytest.raises(UserError, match=match):
            unzip(file, tmp_path / "scratch", most)

    link = zipfile.ZipInfo("a/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refuses("outside", (link, b"/etc/passwd"))
    refuses("over 100 times", ("a/bomb.png", bytes(5_000_000)))
    refuses("more than 0 MB", ("a/1.png", b"x" * 400), most=300)
    with pytest.warns(UserWarning, match="Duplicate"):
        refuses("twice", ("a/1.png", b"x"), ("a/1.png", b"y"))
    torn = tmp_path / "torn.zip"
    torn.write_bytes((tmp_path / "odd.zip").read_bytes()[:-30])
    for path in (torn, picture(tmp_path / "picture.png", 0)):
        with pytest.raises(UserError, match="neither a folder nor a zip"):
            load_dataset(path, tmp_path / "scratch")
    with pytest.raises(UserError, match="There is no"):
        load_dataset(tmp_path / "nowhere", tmp_path)
    with pytest.raises(UserError, match="no class folders"):
        load_dataset(tmp_path, tmp_path / "scratch")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 97])
def test_a_zip_with_a_broken_stream_is_refused_in_a_sentence(tmp_path: Path, method: int) -> None:
    """For every packing method, and for one that does not exist."""
    file = tmp_path / "odd.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED if method == 97 else method) as archive:
        archive.writestr("a/1.png", np.random.default_rng(0).bytes(5000))
    content = bytearray(file.read_bytes())
    if method == 97:
        for sign, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            content[content.find(sign) + place] = method
    else:
        content[45:2000] = b"\xff" * 1955
    file.write_bytes(content)
    with pytest.raises(UserError, match="damaged or encrypted"):
        unzip(file, tmp_path / "scratch")


def test_class_folders_whose_names_are_no_utf8_keep_the_report(tmp_path: Path) -> None:
    """Such as from an old Windows zip. The name is shown with a replacement character, everywhere the same."""
    for number, name in enumerate(("Café", "Maß")):
        folder = tmp_path / os.fsdecode(name.encode("latin-1"))
        for index in range(5):
            picture(folder / f"{index}.png", 100 * number + index)
        (folder / os.fsdecode("é.png".encode("latin-1"))).write_bytes(b"no picture")
    data = load_dataset(tmp_path, tmp_path)
    assert data.labels == ("Caf\ufffd", "Ma\ufffd")
    assert sum(data.counts().values()) == 10
    "".join((*data.labels, *excluded_files(data), *excluded_files(data).values(), histogram(data.counts()))).encode()


def test_contact_sheet_shows_each_class_in_a_row(tmp_path: Path) -> None:
    sheet = contact_sheet(load_dataset(classes(tmp_path, {"a": 5, "b": 9}), tmp_path), columns=6)
    assert sheet.shape == (2 * (22 + 90), 6 * 160, 3)
    assert (sheet[22:112, 5 * 160 :] == 255).all()  # the sixth of five pictures
    assert (sheet[134:, 5 * 160 :] != 255).any()
