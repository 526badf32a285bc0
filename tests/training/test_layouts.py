"""Folders, zips and tables as people have them: every file is used with the right class and split, or named with the reason."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from core.folders import describe_excluded
from training.archive import unzip
from training.dataset import Dataset, load_dataset
from training.layouts import list_labelled_files
from training.listing import split_of

KINDS = ("circle", "square")


def fill(folder: Path, seed: int, count: int, suffix: str = ".png") -> list[Path]:
    """Coarse random blocks: no two seeds are alike."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{folder.name}_{number}{suffix}" for number in range(count)]
    for number, path in enumerate(paths):
        blocks = np.random.default_rng([seed, number]).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((64, 36), Image.Resampling.NEAREST).save(path)
    return paths


def load(source: Path, tmp_path: Path, **options: object) -> Dataset:
    return load_dataset(source, tmp_path / "unpacked", **options)  # type: ignore[arg-type]


def counts(data: Dataset) -> dict[str, dict[str, int]]:
    return {split: found for split in ("train", "validation", "test") if any((found := data.counts(split)).values())}


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("train", "val", "validation"),
        ("train", "valid", "validation"),
        ("Train", "Validation", "validation"),
        ("Training", "Testing", "test"),
        ("training_set", "test_set", "test"),
        ("Train", "Test", "test"),
        ("TRAIN-IMAGES", "TEST-IMAGES", "test"),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_splits_under_the_names_people_give(tmp_path: Path, train: str, other: str, split: str, inside: bool) -> None:
    for index, kind in enumerate(KINDS):
        for seed, (folder, count) in enumerate({train: 6, other: 3}.items()):
            fill(tmp_path / "d" / (f"{kind}/{folder}" if inside else f"{folder}/{kind}"), 10 * index + seed, count)
    data = load(tmp_path / "d", tmp_path)
    assert counts(data) == {"train": dict.fromkeys(KINDS, 6), split: dict.fromkeys(KINDS, 3)}
    assert data.excluded == ()
    assert any("splits" in note for note in data.notes) or {train, other} <= {"Train", "Test"}


def test_three_splits_and_what_lies_beside_them(tmp_path: Path) -> None:
    for seed, (split, count) in enumerate({"train": 6, "val": 2, "test": 3}.items()):
        for index, kind in enumerate(KINDS):
            fill(tmp_path / "d" / split / kind, 10 * seed + index, count)
    fill(tmp_path / "d" / "unlabelled", 90, 2)
    fill(tmp_path / "d" / "test", 91, 1)
    data = load(tmp_path / "d", tmp_path)
    assert counts(data) == {
        "train": dict.fromkeys(KINDS, 6), "validation": dict.fromkeys(KINDS, 2), "test": dict.fromkeys(KINDS, 3),
    }  # fmt: skip
    assert {entry.name for entry in data.excluded} == {
        "unlabelled/unlabelled_0.png", "unlabelled/unlabelled_1.png", "test/test_0.png",
    }  # fmt: skip


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for index, kind in enumerate(("train", "car", "bus")):
        fill(tmp_path / "d" / kind, index, 5)
    assert load(tmp_path / "d", tmp_path).counts() == {"bus": 5, "car": 5, "train": 5}


def test_class_folders_at_any_depth(tmp_path: Path) -> None:
    for index, place in enumerate(("animals/cats", "animals/dogs", "vehicles/cars")):
        fill(tmp_path / "d" / "outer" / place, index, 5)
    data = load(tmp_path / "d", tmp_path)
    assert data.counts() == {"cats": 5, "dogs": 5, "cars": 5}
    assert "'animals' and 'vehicles'" in data.notes[0]


def test_subfolders_belong_to_their_class(tmp_path: Path) -> None:
    for index, kind in enumerate(KINDS):
        fill(tmp_path / "nested" / kind / "red", 10 * index, 4)
        fill(tmp_path / "nested" / kind / "blue", 10 * index + 1, 3)
        fill(tmp_path / "half" / kind, 10 * index, 4)
        fill(tmp_path / "half" / kind / f"more {kind}" / "deeper", 10 * index + 1, 3)
    for name, inner in (("nested", "'blue' and 'red'"), ("half", "'more circle' and 'more square'")):
        data = load(tmp_path / name, tmp_path)
        assert data.counts() == dict.fromkeys(KINDS, 7)
        assert data.excluded == ()
        assert inner in data.notes[0]


def test_classes_that_differ_in_case_are_two(tmp_path: Path) -> None:
    fill(tmp_path / "d" / "A", 0, 6)
    fill(tmp_path / "d" / "a", 1, 5)
    fill(tmp_path / "d" / " b ü 😀", 2, 5)
    expected = {" b ü 😀": 5, "A": 6, "a": 5}
    assert load(tmp_path / "d", tmp_path).counts() == expected
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for path in (tmp_path / "d").rglob("*.png"):
            archive.write(path, path.relative_to(tmp_path))
    assert load(tmp_path / "d.zip", tmp_path).counts() == expected


def test_a_messy_folder_is_used_or_named_to_the_last_file(tmp_path: Path) -> None:
    d = tmp_path / "d"
    pictures = [*fill(d / "circle", 0, 6), *fill(d / "square", 1, 6)]
    (d / "circle" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (d / "circle" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    fill(d / ".ipynb_checkpoints", 2, 1)
    (d / "square" / "notes.txt").write_text("hello")
    (d / "square" / "empty.jpg").touch()
    (d / "square" / "cut.png").write_bytes(pictures[0].read_bytes()[:70])
    (d / "circle" / "page.jpg").write_text("<html><body>404</body></html>")
    (d / "labels.csv").write_text("a,b")
    fill(d, 3, 1)
    fill(d / "square", 4, 7)[6].rename(d / "square" / "no_extension")
    (d / "square" / "z_link_ok.png").symlink_to(pictures[7])
    (d / "square" / "link_broken.jpg").symlink_to("nowhere/x.jpg")
    (d / "square" / "loop").symlink_to(d)
    outside = fill(tmp_path / "elsewhere", 5, 5)
    (d / "triangle").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(d / "circle" / "pipe")
    data = load(d, tmp_path)
    assert data.counts() == {"circle": 6, "square": 7, "triangle": len(outside)}
    named = {entry.name: entry.kind for entry in data.excluded}
    assert named == {
        "circle/.DS_Store": "hidden", "circle/Thumbs.db": "hidden", ".ipynb_checkpoints": "hidden",
        "square/notes.txt": "not pictures", "circle/page.jpg": "not pictures", "labels.csv": "not pictures",
        "square/empty.jpg": "damaged or unusable pictures", "square/cut.png": "damaged or unusable pictures",
        "d_0.png": "not in a class folder", "square/z_link_ok.png": "copies", "square/link_broken.jpg": "broken links",
        "square/loop": "links to used folders", "circle/pipe": "not files",
    }  # fmt: skip
    (line,) = describe_excluded(data.excluded)
    assert line.startswith("left out: 3 hidden, 3 not pictures, 2 damaged")
    assert len(describe_excluded(data.excluded, verbose=True)) == 1 + len(named)


def write_tables(folder: Path, rows: list[tuple[str, str, str]]) -> dict[str, str]:
    """The same table in each form that is understood."""
    objects = [{"file_name": path, "label": label, "split": split} for path, label, split in rows]
    return {
        "metadata.csv": "file_name,label,split\n" + "".join(f"{p},{c},{s}\n" for p, c, s in rows),
        "semicolons.csv": "\ufeffImage Path;Class;Set\r\n" + "".join(f"{p};{c};{s}\r\n" for p, c, s in rows),
        "no_header.csv": "".join(f"{p},{c},{s}\n" for p, c, s in rows),
        "table.tsv": "split\tlabel\tfilename\n" + "".join(f"{s}\t{c}\t{p}\n" for p, c, s in rows),
        "list.json": json.dumps(objects),
        "lines.jsonl": "".join(json.dumps(entry) + "\n" for entry in objects),
    }


FORMS = ["metadata.csv", "semicolons.csv", "no_header.csv", "table.tsv", "list.json", "lines.jsonl"]


@pytest.mark.parametrize("form", FORMS)
def test_tables_of_path_label_and_split(tmp_path: Path, form: str) -> None:
    d = tmp_path / "d"
    paths = fill(d / "images", 0, 14)
    rows = [
        (path.relative_to(d).as_posix(), "ab"[n % 2], "train" if n < 10 else "test")
        for n, path in enumerate(paths[:13])
    ]
    rows.append(("images/gone.png", "a", "train"))
    (d / form).write_text(write_tables(d, rows)[form], encoding="utf-8")
    for source in (d, d / form):
        data = load(source, tmp_path)
        assert counts(data) == {"train": {"a": 5, "b": 5}, "test": {"a": 2, "b": 1}}
        reasons = {entry.name: entry.reason for entry in data.excluded}
        assert "no such file" in reasons.pop("images/gone.png")
        assert set(reasons) == ({"images/images_13.png"} if source == d else set())
        assert form in data.notes[0]
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for path in d.rglob("*.*"):
            archive.write(path, path.relative_to(tmp_path))
    assert load(tmp_path / "d.zip", tmp_path).counts() == {"a": 7, "b": 6}


def test_tables_with_bare_names_and_a_table_per_split(tmp_path: Path) -> None:
    """Kaggle's layout: a table of ids beside folders of pictures, without the suffix."""
    d = tmp_path / "d"
    for split, count in (("train", 12), ("test", 4)):
        paths = fill(d / split, count, count)
        text = "id,breed\n" + "".join(f"{path.stem},{'ab'[n % 2]}\n" for n, path in enumerate(paths))
        (d / f"{split}.csv").write_text(text)
    assert counts(load(d, tmp_path)) == {"train": {"a": 6, "b": 6}, "test": {"a": 2, "b": 2}}
    (d / "train.json").write_text(json.dumps({"train/train_0.png": "c"}))
    assert {entry.name: entry.kind for entry in load(d, tmp_path).excluded}.get("train/train_0.png") == "in two classes"


def test_a_table_in_a_data_set_names_only_files_of_it(tmp_path: Path) -> None:
    d = tmp_path / "d"
    secret = fill(tmp_path / "secret", 7, 1)[0]
    fill(d / "x", 0, 10)
    rows = [f"x/x_{n}.png,{'ab'[n % 2]}" for n in range(10)] + [f"{secret},a", "../secret/secret_0.png,b"]
    (d / "t.csv").write_text("path,label\n" + "\n".join(rows))
    data = load(d, tmp_path)
    assert data.counts() == {"a": 5, "b": 5}
    assert [entry.kind for entry in data.excluded] == ["missing files"] * 2


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("t.csv", "a,b\n1,2\n", "no columns"),
        ("t.csv", "", "no columns"),
        ("t.json", "[1, 2", "no columns"),
        ("t.json", "[" * 100_000, "no columns"),
        ("t.csv", "path,label\nnowhere.png,a\n", "No file"),
        ("t.txt", "path,label\n", "neither a folder"),
    ],
)
def test_a_table_that_cannot_be_used_is_said_in_a_sentence(tmp_path: Path, name: str, text: str, why: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=why):
        load(tmp_path / name, tmp_path)


def test_with_the_classes_of_a_model(tmp_path: Path) -> None:
    """Evaluation takes what there is: one picture is enough, other folders are named, and so are their pictures."""
    d = tmp_path / "d"
    for seed, (place, count) in enumerate({"x/Circle/red": 2, "test/square": 1, "test/triangle": 2, "y": 1}.items()):
        fill(d / place, seed, count)
    data = load(d, tmp_path, labels=("circle", "square", "oval"), least=1)
    assert data.counts() == {"square": 1, "circle": 2}
    assert {entry.name: entry.reason for entry in data.excluded} == {
        "test/triangle/triangle_0.png": "The model has no class 'triangle'.",
        "test/triangle/triangle_1.png": "The model has no class 'triangle'.",
        "y/y_0.png": "The model has no class 'y'.",
    }
    assert load(d / "test" / "square", tmp_path, labels=("square",), least=1).counts() == {"square": 1}
    with pytest.raises(UserError, match="named like a class of the model"):
        load(d / "y", tmp_path, labels=("circle",), least=1)


def test_names_of_splits() -> None:
    found = [split_of(name) for name in ("Train", "VAL", "test set", "validation_data", "contest", "training day", "a")]
    assert found == ["train", "validation", "test", "validation", None, None, None]


def test_hidden_files_of_a_zip_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for name in ("a/1.png", "a/.DS_Store", "__MACOSX/a/._1.png", "a/Thumbs.db"):
            archive.writestr(name, b"x")
    assert unzip(tmp_path / "d.zip", tmp_path / "out") == ["a/.DS_Store", "__MACOSX/a/._1.png", "a/Thumbs.db"]
    listing = list_labelled_files(tmp_path / "d.zip", tmp_path / "again")
    assert [entry.name for entry in listing.files] == ["a/1.png"]
    assert [entry.kind for entry in listing.excluded] == ["hidden"] * 3
