"""Load pictures in classes from folders, a zip, tables or lists of files. Files that cannot be used are excluded and named.

`training.layouts` finds the classes; here the files are opened. Exact copies are excluded. Near-duplicates share a group
number, so that a split by groups never tests on a picture that is nearly the same as one in training.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from scipy.sparse.csgraph import connected_components

from core.errors import PictureError, UserError
from core.files import readable_name
from core.folders import Excluded
from core.images import read, resize, show_name, shrink
from core.resources import available_cores
from training.archive import MAX_FILES
from training.layouts import list_folder, list_labelled_files
from training.listing import LabelledFile, Listing, Split

MIN_PICTURES = 5  # per class; with fewer, a class cannot be trained and validated
FEW_PICTURES = 20  # per class; below this the data set warns that the class is small
NEAR_DUPLICATE = 0.9  # correlation of 32 x 32 grey levels above which two pictures are near-duplicates
SIDE = 640  # pixels of the longer side of the pictures used in training, at most


@dataclass(frozen=True)
class DatasetPicture:
    """A picture of a data set.

    `path`: its file. `name`: the path inside the data set, as users see it. `class_index`: index of its class in
    `Dataset.labels`. `split`: "train", except where the data set has splits. `digest`: SHA-256 of the file, in hexadecimal.
    `fingerprint`: its normalised 32 x 32 grey levels (1024,), to find near-duplicates.
    """

    path: Path
    name: str
    class_index: int
    split: Split
    digest: str
    fingerprint: np.ndarray

    def pixels(self) -> np.ndarray:
        """uint8 RGB (H, W, 3), at most SIDE pixels on the longer side."""
        return shrink(read(self.path).pixels, SIDE)


@dataclass(frozen=True)
class Dataset:
    """Pictures with their classes.

    `labels`: the names of the classes. `groups` (N,): pictures with the same number are near-duplicates and stay in one
    split. `excluded`: files and classes that are not used. `notes`: what was assumed, and warnings, one sentence each.
    """

    labels: tuple[str, ...]
    items: tuple[DatasetPicture, ...]
    groups: np.ndarray
    excluded: tuple[Excluded, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def class_indices(self) -> np.ndarray:
        """The true class of each picture, int32 (N,)."""
        return np.array([item.class_index for item in self.items], np.int32)

    def counts(self, split: Split | None = None) -> dict[str, int]:
        """Number of pictures per class, of one split or of both."""
        chosen = [item.class_index for item in self.items if split is None or item.split == split]
        return dict(zip(self.labels, np.bincount(chosen, minlength=len(self.labels)).tolist(), strict=True))

    def only(self, split: Split) -> Dataset:
        """The data set of one split."""
        kept = [index for index, item in enumerate(self.items) if item.split == split]
        return replace(self, items=tuple(self.items[index] for index in kept), groups=self.groups[kept])


def load_dataset(
    source: str | os.PathLike[str],
    unpack_folder: str | os.PathLike[str],
    *,
    labels: Collection[str] | None = None,
    least: int = MIN_PICTURES,
) -> Dataset:
    """Load a folder of class folders, with or without splits, a zip of it, or a table. docs/DATA.md lists all layouts.

    Args:
        source: The folder, zip or table.
        unpack_folder: The folder that a zip is unpacked to. It must exist as long as the data set is used.
        labels: The classes of a model that is tested. Pictures of other classes are left out, and one class is enough.
        least: Pictures that a class needs in the split "train"; with `labels`, in all splits together.

    Returns:
        The pictures, their classes, and the files that are excluded.

    Raises:
        UserError: There is no such data, or fewer than two classes have enough usable pictures.

    >>> import tempfile
    >>> from samples import PRACTICE
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_dataset(PRACTICE, folder).counts()
    {'Bolt Squad': 24, 'Crumb & Co': 24, 'Orbit Lab': 24}
    """
    return _build(list_labelled_files(Path(source), Path(unpack_folder), labels), least, labels)


def from_folder(folder: Path) -> Dataset:
    """The data set in a folder, without unpacking.

    Args:
        folder: See `load_dataset`.

    Returns:
        The pictures, their classes, and the files that are excluded.

    Raises:
        UserError: The folder has no class folders, or fewer than two classes have enough usable pictures.
    """
    return _build(list_folder(folder))


def from_lists(classes: Mapping[str, Sequence[str | os.PathLike[str]]]) -> Dataset:
    """The data set of one list of files per class.

    Args:
        classes: The files of each label.

    Returns:
        The pictures, all in the split "train", their classes, and the files that are excluded.

    Raises:
        UserError: Fewer than two classes have enough usable pictures.
    """
    files = [
        LabelledFile(Path(path), f"{label}/{Path(path).name}", label)
        for label, paths in classes.items()
        for path in paths
    ]
    return _build(Listing(tuple(files)))


@dataclass(frozen=True)
class _FileCheck:
    """Digest and fingerprint of a file (see `DatasetPicture`), or the reason why it cannot be used and its kind."""

    digest: str
    fingerprint: np.ndarray
    problem: str = ""
    kind: str = ""


def _check_file(path: Path) -> _FileCheck:
    try:
        grey = cv2.cvtColor(resize(read(path).pixels, (32, 32)), cv2.COLOR_RGB2GRAY).astype(np.float32).ravel()
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except PictureError as error:
        kind = "not pictures" if "not a picture" in str(error) else "damaged or unusable pictures"
        return _FileCheck("", np.zeros(0), readable_name(str(error)), kind)
    except OSError as error:
        return _FileCheck("", np.zeros(0), f"'{show_name(path.name)}' cannot be read ({error.strerror}).", "not opened")
    grey -= grey.mean()
    return _FileCheck(digest, grey / max(float(np.linalg.norm(grey)), 1e-6))


def _build(listing: Listing, least: int = MIN_PICTURES, known: Collection[str] | None = None) -> Dataset:
    """The data set of these files, with the classes in the order of their first files. For `least`, `known`: `load_dataset`."""
    files = listing.files
    if len(files) > MAX_FILES:
        raise UserError(f"There are {len(files)} files; the limit is {MAX_FILES}.")
    names = list(dict.fromkeys(file.label for file in files))
    pictures, unusable = _unique_pictures(files, names)
    pictures, groups, leaking = _without_leaks(pictures, _near_duplicate_groups(pictures))
    sizes = Counter(names[picture.class_index] for picture in pictures if known or picture.split == "train")
    labels, small = _large_classes(names, sizes, pictures, least)
    excluded = (*listing.excluded, *unusable, *leaking, *small)
    _require_classes(labels, excluded, least, 1 if known else 2)
    used = [index for index, picture in enumerate(pictures) if names[picture.class_index] in labels]
    items = tuple(
        replace(pictures[index], class_index=labels.index(names[pictures[index].class_index])) for index in used
    )
    numbers = np.unique(groups[used], return_inverse=True)[1]
    warnings = () if known else (*_small_class_notes(labels, sizes), *_near_duplicate_notes(items, numbers))
    return Dataset(tuple(labels), items, numbers, excluded, (*listing.notes, *warnings))


def _large_classes(
    names: Sequence[str], sizes: Mapping[str, int], pictures: Sequence[DatasetPicture], least: int
) -> tuple[list[str], list[Excluded]]:
    """The classes with enough pictures, and the others as excluded, each with its pictures."""
    labels = [name for name in names if sizes[name] >= least]
    small: list[Excluded] = []
    for index, name in enumerate(names):
        if sizes[name] < least:
            reason = f"The class has {sizes[name]} usable pictures in training and needs {least}."
            small.append(Excluded(name, reason, "classes that are too small"))
            small += [
                Excluded(picture.name, f"Its class '{name}' is too small.", "pictures of classes that are too small")
                for picture in pictures
                if picture.class_index == index
            ]
    return labels, small


def _require_classes(labels: Sequence[str], excluded: Sequence[Excluded], least: int, count: int) -> None:
    """Raise UserError for fewer than `count` classes, with the last reasons why something is excluded."""
    if len(labels) < count:
        entries = [entry for entry in excluded if not entry.kind.startswith("pictures of")][-3:]
        reasons = "; ".join(f"'{entry.name}': {entry.reason.rstrip('.?')}" for entry in entries)
        needed = (
            f"Training needs two classes of at least {least} pictures each"
            if count > 1
            else "There is no usable picture"
        )
        raise UserError(f"{needed}{f' ({reasons})' if reasons else ''}.")


def _small_class_notes(labels: Sequence[str], sizes: Mapping[str, int]) -> list[str]:
    return [
        f"'{label}' has only {sizes[label]} pictures; use {FEW_PICTURES} or more for a better model."
        for label in labels
        if sizes[label] < FEW_PICTURES
    ]


def _unique_pictures(
    files: Sequence[LabelledFile], names: Sequence[str]
) -> tuple[list[DatasetPicture], list[Excluded]]:
    """The readable pictures, each once, and the files that are excluded. The index of a class is its place in `names`."""
    with ThreadPoolExecutor(available_cores()) as pool:
        checks = list(pool.map(_check_file, [file.path for file in files]))
    labels_of: dict[str, set[str]] = defaultdict(set)
    for file, check in zip(files, checks, strict=True):
        labels_of[check.digest].add(file.label)
    first: dict[str, str] = {}
    pictures: list[DatasetPicture] = []
    excluded: list[Excluded] = []
    for file, check in zip(files, checks, strict=True):
        digest = check.digest
        if check.problem:
            excluded.append(Excluded(file.name, check.problem, check.kind))
        elif len(labels_of[digest]) > 1:
            labels = " and ".join(repr(label) for label in sorted(labels_of[digest]))
            reason = f"The same file is in {labels}; keep it in one class."
            excluded.append(Excluded(file.name, reason, "in two classes"))
        elif digest in first:
            excluded.append(Excluded(file.name, f"It is a copy of '{first[digest]}'.", "copies"))
        else:
            first[digest] = file.name
            class_index = names.index(file.label)
            pictures.append(DatasetPicture(file.path, file.name, class_index, file.split, digest, check.fingerprint))
    return pictures, excluded


def _near_duplicate_groups(pictures: Sequence[DatasetPicture]) -> np.ndarray:
    """A group number for each picture (N,). Near-duplicates share a number, also when others link them."""
    if not pictures:
        return np.zeros(0, int)
    fingerprints = np.stack([picture.fingerprint for picture in pictures])
    linked = np.zeros((len(pictures), len(pictures)), bool)
    for start in range(0, len(pictures), 1024):
        rows = fingerprints[start : start + 1024]
        linked[start : start + 1024] = cv2.gemm(rows, fingerprints.T.copy(), 1, fingerprints, 0) > NEAR_DUPLICATE
    return np.asarray(connected_components(linked, directed=False)[1])


def _without_leaks(
    pictures: Sequence[DatasetPicture], groups: np.ndarray
) -> tuple[list[DatasetPicture], np.ndarray, list[Excluded]]:
    """Pictures and groups without the pictures of other splits that have a near-duplicate in train; and what is excluded."""
    in_train = {group for picture, group in zip(pictures, groups.tolist(), strict=True) if picture.split == "train"}
    leaks = [
        picture.split != "train" and group in in_train for picture, group in zip(pictures, groups.tolist(), strict=True)
    ]
    excluded = [
        Excluded(picture.name, "It is nearly the same as a picture in train.", "nearly the same as in train")
        for picture, leak in zip(pictures, leaks, strict=True)
        if leak
    ]
    kept = [index for index, leak in enumerate(leaks) if not leak]
    return [pictures[index] for index in kept], groups[kept], excluded


def _near_duplicate_notes(items: Sequence[DatasetPicture], groups: np.ndarray) -> list[str]:
    """Notes on near-duplicates that name the first few."""
    members: dict[int, list[DatasetPicture]] = defaultdict(list)
    for item, group in zip(items, groups.tolist(), strict=True):
        members[group].append(item)
    several = [group for group in members.values() if len(group) > 1]
    if not several:
        return []
    examples = "; ".join(" and ".join(f"'{item.name}'" for item in group[:2]) for group in several[:3])
    more = ", and so on" if len(several) > 3 else ""
    count = sum(map(len, several))
    notes = [f"{count} pictures are near-duplicates of others, which a random split keeps together: {examples}{more}."]
    for group in several:
        other = next((item for item in group if item.class_index != group[0].class_index), None)
        if other:
            notes.append(
                f"'{group[0].name}' and '{other.name}' are near-duplicates in different classes; check their classes."
            )
    return notes
