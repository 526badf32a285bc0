"""Find the classes and splits of a folder, a zip or a table. Every file is listed with its class, or left out with the reason.

What is understood: tables (`training.tables`), folders per split, folders per class at any depth. What had to be assumed is
said in the notes of the listing.
"""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from core.errors import UserError
from core.files import readable_name
from core.folders import Excluded, walk
from training import tables
from training.archive import unzip
from training.listing import (
    SPLITS,
    UNKNOWN_CLASS,
    LabelledFile,
    Listing,
    Split,
    is_likely_picture,
    quote_some,
    split_of,
)

LAYOUTS = (
    ("CLASS/...", "a folder per class; subfolders belong to their class"),
    ("GROUP/CLASS/...", "class folders at any depth, if no two groups have class folders of the same name"),
    ("CLASS/PART/...", "if all classes have parts of the same names: the classes are the outer folders"),
    ("SPLIT/CLASS/...", "a folder per split, and class folders in it"),
    ("CLASS/SPLIT/...", "a folder per class, and splits in it"),
    (
        "a table and pictures",
        "CSV, TSV, JSON or JSON lists with path, label and perhaps split; the folders do not count",
    ),
    ("a zip of any of these", "it is unpacked to a temporary folder"),
)
"""Layouts that are understood, with what they mean. An outer folder around them is skipped."""

MAX_TABLES = 20  # in a folder; more are notes beside each picture
Parts = tuple[str, ...]


class _Found(NamedTuple):
    """A file of a folder. `parts`: the folders that are left to decide on its class, from the outside."""

    file: Path
    parts: Parts
    split: Split = "train"


def list_labelled_files(source: Path, unpack_folder: Path, labels: Collection[str] | None = None) -> Listing:
    """List the pictures of a data set with their classes and splits, without opening them.

    Args:
        source: A folder, a zip of one, or a table (CSV, TSV, JSON) beside its pictures.
        unpack_folder: The folder that a zip is unpacked to.
        labels: The classes of a model. The class of a picture is then the innermost folder with such a name, whatever the
            layout; other pictures are left out. None finds the classes from the layout.

    Returns:
        The files sorted by split and path, and what is left out.

    Raises:
        UserError: There is no such data, or nothing in it has a class.

    >>> import tempfile
    >>> from samples import PRACTICE
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     listing = list_labelled_files(PRACTICE, Path(folder))
    >>> len(listing.files), listing.files[0].name, listing.files[0].label
    (72, 'Bolt Squad/bolt-100.jpg', 'Bolt Squad')
    """
    if source.is_dir():
        return list_folder(source, labels)
    if not source.exists():
        raise UserError(
            f"There is no folder or zip '{source}'; give a folder with one folder per class, or a zip of it."
        )
    if zipfile.is_zipfile(source):
        hidden = [
            Excluded(name, "It is hidden or belongs to the system.", "hidden") for name in unzip(source, unpack_folder)
        ]
        listing = list_folder(unpack_folder, labels, source.stem)
        return replace(listing, excluded=(*listing.excluded, *hidden))
    if source.suffix.casefold() in tables.SUFFIXES:
        return _list_table(source, labels)
    raise UserError(
        f"'{source.name}' is neither a folder nor a zip nor a table; give a folder with one folder per class, or a zip of it."
    )


def _list_table(source: Path, labels: Collection[str] | None) -> Listing:
    """The pictures that one table names, in its folder. Other files there were not given."""
    rows = tables.read_table(source)
    if rows is None:
        raise UserError(
            f"'{source.name}' has no columns for the path and the label; name them {tables.PATH_COLUMNS[0]} and "
            f"{tables.LABEL_COLUMNS[0]}."
        )
    files = [Path(row.path) for row in rows if row.path and (source.parent / row.path).is_file()]
    listing = tables.list_from_tables(source.parent, files, [Path(source.name)])
    if listing is None:
        raise UserError(f"No file that '{source.name}' names exists; write paths from the folder of the table.")
    return _with_known_labels(listing, labels)


def list_folder(root: Path, labels: Collection[str] | None = None, name: str = "") -> Listing:
    """List the pictures of a folder, see `list_labelled_files`. `name`: of the data set in errors, by default the folder's."""
    files, excluded = walk(root)
    name = name or root.name
    candidates = sorted((f for f in files if f.suffix.casefold() in tables.SUFFIXES), key=lambda file: len(file.parts))
    listing = tables.list_from_tables(root, files, candidates[:MAX_TABLES]) if candidates else None
    if listing is not None:
        listing = _with_known_labels(listing, labels)
    elif labels is not None:
        listing = _by_known_labels(root, files, labels)
    else:
        listing = _by_layout(root, files)
    if not listing.files:
        if labels is None:
            raise UserError(f"'{name}' has no class folders with pictures; make a folder for each class.")
        raise UserError(
            f"'{name}' has no folder with pictures that is named like a class of the model ({', '.join(sorted(labels)[:5])}, "
            "...). Rename the folders."
        )
    ordered = sorted(listing.files, key=lambda entry: SPLITS.index(entry.split))
    return Listing(tuple(ordered), (*listing.excluded, *excluded), listing.notes)


def _match(name: str, labels: Collection[str], folded: dict[str, list[str]]) -> str | None:
    """The label that a name means: the same, or the only one that differs in case."""
    name = readable_name(name)
    if name in labels:
        return name
    alike = folded.get(name.strip().casefold(), [])
    return alike[0] if len(alike) == 1 else None


def _fold(labels: Collection[str]) -> dict[str, list[str]]:
    folded: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        folded[label.strip().casefold()].append(label)
    return folded


def _unknown_class(name: str, label: str) -> Excluded:
    return Excluded(name, f"The model has no class '{label}'.", UNKNOWN_CLASS)


def _with_known_labels(listing: Listing, labels: Collection[str] | None) -> Listing:
    """The listing of a table with the labels of a model; others are left out."""
    if labels is None:
        return listing
    known, folded = set(labels), _fold(labels)
    files: list[LabelledFile] = []
    unknown: list[Excluded] = []
    for entry in listing.files:
        label = _match(entry.label, known, folded)
        if label is None:
            unknown.append(_unknown_class(entry.name, entry.label))
        else:
            files.append(LabelledFile(entry.path, entry.name, label, entry.split))
    return Listing(tuple(files), (*listing.excluded, *unknown), listing.notes)


def _by_known_labels(root: Path, files: Sequence[Path], labels: Collection[str]) -> Listing:
    """The class is the innermost folder that is named like a label; the folder itself counts too."""
    known, folded = set(labels), _fold(labels)
    split_files, beside, notes = _splits(root, _skip_outer_folders(root, files))
    entries: list[LabelledFile] = []
    excluded: list[Excluded] = []
    for found in [*split_files, *(_Found(file, file.parts[:-1]) for file in beside)]:
        folders = (root.name, *found.file.parts[:-1])
        label = next(filter(None, (_match(name, known, folded) for name in reversed(folders))), None)
        if label is not None:
            entries.append(LabelledFile(root / found.file, found.file.as_posix(), label, found.split))
        elif is_likely_picture(root / found.file):
            excluded.append(_unknown_class(found.file.as_posix(), folders[-1]))
        else:
            excluded.append(Excluded(found.file.as_posix(), "It is not in a class folder.", "not in a class folder"))
    return Listing(tuple(entries), tuple(excluded), tuple(notes))


def _skip_outer_folders(root: Path, files: Sequence[Path]) -> list[_Found]:
    """The files with the folders below those that hold nothing but one folder; a split or a class is not skipped."""
    likely = [file.parts[:-1] for file in files if is_likely_picture(root / file)]
    skipped = 0
    while len({parts[skipped : skipped + 1] for parts in likely}) == 1:
        (name,) = likely[0][skipped : skipped + 1] or ("",)
        if not name or split_of(name) or all(len(parts) == skipped + 1 for parts in likely):
            break
        skipped += 1
    prefix = likely[0][:skipped] if likely else ()
    return [
        _Found(file, file.parts[skipped:-1] if file.parts[:skipped] == prefix and len(file.parts) > skipped else ())
        for file in files
    ]


def _splits(root: Path, files: Sequence[_Found]) -> tuple[list[_Found], list[Path], list[str]]:
    """The files without the folder of their split, the files beside the splits, and notes.

    A folder named like a split is one if it holds folders with pictures. The only one, beside folders with pictures, is
    rather a class with this name.
    """
    likely = [found.parts for found in files if is_likely_picture(root / found.file)]
    splits = {parts[0]: split for parts in likely if len(parts) > 1 and (split := split_of(parts[0]))}
    classes = {parts[0] for parts in likely if len(parts) == 1 and not split_of(parts[0])}
    if not splits or (len(splits) == 1 and classes):
        return list(files), [], []
    inside = [_Found(f.file, f.parts[1:], splits[f.parts[0]]) for f in files if f.parts and f.parts[0] in splits]
    beside = [found.file for found in files if not found.parts or found.parts[0] not in splits]
    notes = []
    if {name.casefold() for name in splits} - {"train", "test"}:
        meanings = ", ".join(f"'{name}' is {split}" for name, split in sorted(splits.items()))
        notes.append(f"Folders that are taken as splits: {meanings}.")
    return inside, beside, notes


def _by_layout(root: Path, files: Sequence[Path]) -> Listing:
    """The classes that the folders suggest."""
    found, beside, notes = _splits(root, _skip_outer_folders(root, files))
    classes, class_notes = _find_classes({f.parts for f in found if f.parts and is_likely_picture(root / f.file)})
    entries: list[LabelledFile] = []
    excluded = [_without_class(root, file) for file in beside]
    for entry in found:
        owner = next(
            (entry.parts[:end] for end in range(1, len(entry.parts) + 1) if entry.parts[:end] in classes), None
        )
        if owner is None:
            excluded.append(_without_class(root, entry.file))
        else:
            label, split = classes[owner]
            entries.append(LabelledFile(root / entry.file, entry.file.as_posix(), label, split or entry.split))
    return Listing(tuple(entries), tuple(excluded), (*notes, *class_notes))


def _find_classes(direct: set[Parts]) -> tuple[dict[Parts, tuple[str, Split | None]], list[str]]:
    """The class folders, with their label and perhaps a split, and notes. `direct`: the folders that hold pictures."""
    inner = {parts: split_of(parts[1]) if len(parts) > 1 else None for parts in direct}
    if direct and all(inner.values()) and len(set(inner.values())) > 1:
        names = sorted({parts[1] for parts in direct})
        return (
            {parts[:2]: (parts[0], split) for parts, split in inner.items()},
            [f"The folders {quote_some(names)} in the class folders are taken as splits."],
        )
    owners = {next(parts[:end] for end in range(1, len(parts) + 1) if parts[:end] in direct) for parts in direct}
    names_of = defaultdict(set)
    for owner in owners:
        names_of[owner[-1]].add(owner[:-1])
    if any(len(parents) > 1 for parents in names_of.values()):  # circle/red and square/red: parts of classes
        owners = {owner[:1] for owner in owners}
    notes = []
    if groups := sorted({owner[0] for owner in owners if len(owner) > 1}):
        notes.append(
            f"The classes are the folders inside {quote_some(groups)}; the names of the outer folders do not count."
        )
    joined = sorted({parts[len(owner)] for parts in direct for owner in owners if parts[: len(owner)] == owner < parts})
    if joined:
        notes.append(f"The pictures in the folders {quote_some(joined)} belong to the class folder around them.")
    return {owner: (owner[-1], None) for owner in owners}, notes


def _without_class(root: Path, file: Path) -> Excluded:
    kind = "not in a class folder" if is_likely_picture(root / file) else "not pictures"
    return Excluded(file.as_posix(), "It is not in a class folder.", kind)
