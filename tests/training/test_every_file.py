"""Random trees of folders, names, links, damaged files, formats and tables: used + named = given, always (Hypothesis)."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.deep import find_range, to_8_bits
from core.errors import UserError
from core.folders import Excluded, is_hidden_name
from training.dataset import load_dataset
from training.layouts import list_labelled_files


def picture(seed: int, kind: str) -> bytes:
    file = io.BytesIO()
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(blocks).resize((16, 16), Image.Resampling.NEAREST).save(file, kind)
    return file.getvalue()


PICTURES = [picture(seed, kind) for seed in range(6) for kind in ("png", "jpeg", "gif", "bmp", "tiff")]
CONTENTS = [
    *PICTURES,
    *(content[: len(content) // 2] for content in PICTURES[:5]),
    b"", b"<html>404</html>", b"\0\0\0\x18ftypheic", b"path,label\n", b"[1, 2", bytes(40),
]  # fmt: skip
FOLDERS = ["a", "A", "b", "train", "Test", "val", "training_set", "more", " c ü", ".hidden", "__MACOSX", "line\nbreak"]
NAMES = [
    "1.png",
    "2.jpg",
    "3.JPG",
    "4.gif",
    "5",
    "6.heic",
    "notes.txt",
    ".DS_Store",
    "Thumbs.db",
    "x\ty.bmp",
    "t.csv",
    "e 😀.tif",
]
LINKS = ["file", "broken", "folder", "circle"]

places = st.builds(
    lambda folders, name: "/".join([*folders, name]),
    st.lists(st.sampled_from(FOLDERS), max_size=4),
    st.sampled_from(NAMES),
)
trees = st.dictionaries(places, st.sampled_from(CONTENTS), min_size=1, max_size=14)
quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def write(root: Path, tree: dict[str, bytes]) -> set[str]:
    """Write files; a name that is a folder already, or below a file, is left out. The names of the files."""
    root.mkdir(exist_ok=True)
    written = set()
    for name, content in tree.items():
        path = root / name
        if path.is_dir() or any(parent.is_file() for parent in path.parents):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        written.add(name)
    return written


def link(root: Path, kinds: list[str]) -> set[str]:
    """Add links in a class folder; their names."""
    (root / "b").mkdir(exist_ok=True)
    targets = {
        "file": root / "b" / "target.png",
        "broken": Path("nowhere"),
        "folder": root / "b",
        "circle": root / "b" / "l2",
    }
    targets["file"].write_bytes(PICTURES[0])
    names = {"b/target.png"}
    for number, kind in enumerate(kinds):
        (root / "b" / f"l{number}").symlink_to(targets[kind])
        names.add(f"b/l{number}")
    return names


def assert_every_file(
    given_names: set[str], used: list[str], excluded: tuple[Excluded, ...], classes: set[str]
) -> None:
    """Each file is used once or named, itself or by its folder; nothing else is named except classes."""
    assert len(used) == len(set(used))
    assert set(used) <= given_names
    named = {entry.name for entry in excluded}
    lost = {
        name
        for name in given_names - set(used)
        if name not in named and not any(name.startswith(f"{folder}/") for folder in named)
    }
    assert lost == set()
    assert not set(used) & named
    assert all(entry.reason.endswith((".", "?")) and entry.kind for entry in excluded)
    folders = {name.rsplit("/", end)[0] for name in given_names for end in range(1, name.count("/") + 1)}
    assert named - given_names - folders <= classes


@quick
@given(trees, st.lists(st.sampled_from(LINKS), max_size=3))
def test_every_file_of_a_folder_is_listed_or_named(tree: dict[str, bytes], links: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "given"
        names = write(root, tree) if not any(name in ("b", "b/target.png") for name in tree) else set()
        names |= link(root, links) if not (root / "b").is_file() else set()
        listing = list_labelled_files(root, Path(folder))  # b/target.png is a class folder's picture
        assert_every_file(names, [entry.name for entry in listing.files], listing.excluded, set())
        for entry in listing.files:
            assert entry.label in Path(entry.name).parts[:-1]
            assert not any(map(is_hidden_name, Path(entry.name).parts))


@quick
@given(trees)
def test_every_file_of_a_data_set_is_used_or_named_also_in_a_zip(tree: dict[str, bytes]) -> None:
    """What training and evaluation use, with damaged files, copies and classes that are too small."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "given"
        names = write(root, tree)
        packed = Path(folder) / "given.zip"
        with zipfile.ZipFile(packed, "w") as archive:
            for name in names:
                archive.write(root / name, name)
        results = []
        for source in (root, packed):
            for options in ({"least": 1}, {"least": 1, "labels": ("a", "b", "more")}):
                try:
                    data = load_dataset(source, Path(folder) / f"unpacked{len(results)}", **options)  # type: ignore[arg-type]
                except UserError as error:
                    results.append(
                        {str(error).replace("given.zip", "given")[:26]}
                    )  # then a file, of which zips have another first
                    continue
                used = {item.name for item in data.items}
                assert_every_file(
                    names, [item.name for item in data.items], data.excluded, set(data.labels) | set(FOLDERS)
                )
                results.append(used)
        assert results[:2] == results[2:]


@quick
@given(
    st.lists(
        st.tuples(st.sampled_from(["1.png", "x/2.png", "3", "gone.png", ""]), st.sampled_from(["a", "b", ""])),
        max_size=6,
    ),
    st.booleans(),
)
def test_every_file_beside_a_table_is_used_or_named(rows: list[tuple[str, str]], split: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "given"
        names = write(root, {"1.png": PICTURES[0], "x/2.png": PICTURES[5], "x/3.png": PICTURES[10], "notes.txt": b"x"})
        text = "".join(f"{path},{label}{',test' if split else ''}\n" for path, label in rows)
        (root / "labels.csv").write_text(f"file,label{',split' if split else ''}\n{text}")
        try:
            listing = list_labelled_files(root, Path(folder))
        except UserError:
            return
        files = {entry.name for entry in listing.files}
        named = {entry.name for entry in listing.excluded}
        assert names <= files | named
        in_table = {"1.png", "x/2.png", "3"} & {path for path, _ in rows}
        if in_table:  # the table counts, not the folders
            assert {entry.label for entry in listing.files} <= {"a", "b"}
            assert {entry.split for entry in listing.files} <= {"test" if split else "train"}
            assert named >= {path for path, _ in rows if path == "gone.png"}


@quick
@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=9))
def test_deep_values_keep_their_order_and_use_the_range(values: list[float]) -> None:
    array = np.sort(np.array(values))
    black, white = find_range(array[0], array[-1])
    levels = to_8_bits(array, black, white).astype(int)
    assert (np.diff(levels) >= 0).all()
    if array[-1] > array[0] and black <= array[0] and array[-1] <= white:
        assert (array[-1] - array[0]) / (white - black) >= (levels[-1] - levels[0] - 1) / 255 - 1e-9
    assert black < white or array[0] == array[-1]
