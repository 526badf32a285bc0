"""Pictures in classes: from folders, a zip, or lists. What cannot be used is left out by name, with the reason.

Copies are left out, and pictures that are nearly the same share a group, so that a split by groups never trains on what
it is tested on.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.sparse.csgraph import connected_components

from models.errors import PictureError, UserError
from models.picture import read, resize

Split = Literal["train", "test"]

FEWEST = 5  # pictures of a class that can be learned and checked
FEW = 20  # under this a class is learned, and said to be small
NEAR = 0.9  # correlation of 32 x 32 grey levels from which two pictures count as nearly the same
SIDE = 640  # longer side of the pictures that are learned from
MAX_FILES = 20_000
MAX_BYTES = 1_000_000_000  # unpacked
MAX_RATIO = 100  # unpacked to packed; a JPEG hardly shrinks


@dataclass(frozen=True)
class Item:
    """A picture of a class. `digest`: SHA-256 of the file; `print`: its grey levels, normalised, to compare pictures by."""

    path: Path
    name: str
    label: int
    split: Split
    digest: str
    print: np.ndarray

    def pixels(self) -> np.ndarray:
        """uint8 RGB (H, W, 3), at most SIDE pixels on its longer side."""
        return within(read(self.path).pixels, SIDE)


@dataclass(frozen=True)
class Refused:
    """A file or class that was left out, and why, in a sentence."""

    name: str
    why: str


@dataclass(frozen=True)
class Dataset:
    """`groups` (N,): pictures of one number are nearly the same and belong on one side of every split.

    `refused`: what was left out; `notes`: what else to know before training, a sentence each.
    """

    labels: tuple[str, ...]
    items: tuple[Item, ...]
    groups: np.ndarray
    refused: tuple[Refused, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def targets(self) -> np.ndarray:
        """The class of each picture (N,)."""
        return np.array([item.label for item in self.items], np.int32)

    def counts(self, split: Split | None = None) -> dict[str, int]:
        """Pictures a class, of one split or of both."""
        chosen = [item.label for item in self.items if split in (None, item.split)]
        return dict(zip(self.labels, np.bincount(chosen, minlength=len(self.labels)).tolist(), strict=True))

    def part(self, split: Split) -> Dataset:
        """The pictures of one split."""
        kept = [index for index, item in enumerate(self.items) if item.split == split]
        return replace(self, items=tuple(self.items[index] for index in kept), groups=self.groups[kept])


def load(source: str | os.PathLike[str], scratch: str | os.PathLike[str]) -> Dataset:
    """The data set in a folder of class folders, a folder with train/ and test/ of them, or a zip of either.

    A zip is unpacked into the folder `scratch`, which has to outlive the data set. Raises UserError when fewer than two
    classes are left.
    """
    source = Path(source)
    if source.is_dir():
        return from_folder(source)
    if not source.exists():
        raise UserError(f"There is no '{source}'; name a folder of class folders, or a zip of one.")
    if not zipfile.is_zipfile(source):
        raise UserError(
            f"'{source.name}' is neither a folder nor a zip; name a folder of class folders, or a zip of one."
        )
    unzip(source, Path(scratch))
    return from_folder(Path(scratch))


def from_folder(folder: Path) -> Dataset:
    """See `load`. Folders that hold nothing but one folder are looked through."""
    while len(inside := _folders(folder)) == 1 and inside[0].name.casefold() not in ("train", "test"):
        if _folders(inside[0]):
            folder = inside[0]
        else:
            break
    splits = {inner.name.casefold(): inner for inner in _folders(folder)}
    files: list[tuple[Path, str, Split]] = []
    if "train" in splits:
        for split in ("train", "test"):
            for inner in _folders(splits[split]) if split in splits else []:
                files += [(path, inner.name, "train" if split == "train" else "test") for path in _files(inner)]
    else:
        for inner in splits.values():
            files += [(path, inner.name, "train") for path in _files(inner)]
    stray = [
        Refused(path.name, "It lies outside any class folder.") for path in _files(folder) if _looks_like_one(path)
    ]
    if not files:
        raise UserError(f"'{folder.name}' has no class folders with pictures; make a folder for each class.")
    return _make(files, folder, stray)


def from_lists(classes: Mapping[str, Sequence[str | os.PathLike[str]]]) -> Dataset:
    """A data set of lists of files, one a class."""
    return _make([(Path(path), name, "train") for name, paths in classes.items() for path in paths], None, [])


def within(pixels: np.ndarray, side: int) -> np.ndarray:
    """Pixels scaled down to at most `side` on their longer side."""
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    return resize(pixels, (max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale))))


def unzip(file: Path, into: Path, most: int = MAX_BYTES) -> None:
    """Unpack a zip; nothing is written outside `into`. Raises UserError for one that is unsafe, damaged or too large."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir() and not _hidden(entry.filename)]
            _check_entries(file.name, entries, most)
            for entry in entries:
                path = into / entry.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as packed, path.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)  # zipfile itself stops at the size that was checked
    except UserError:
        raise
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UserError(f"'{file.name}' is damaged or encrypted; make the zip again.") from error
    except OSError as error:
        raise UserError(f"'{file.name}' cannot be unpacked ({error.strerror}).") from error


def _check_entries(name: str, entries: Sequence[zipfile.ZipInfo], most: int) -> None:
    seen = set()
    for entry in entries:
        path = PurePosixPath(entry.filename)
        odd = "\\" in entry.filename or ":" in path.parts[0] or path.is_absolute() or ".." in path.parts
        if odd or stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(f"'{name}' holds '{entry.filename[:80]}', which points outside of it; make the zip again.")
        if entry.filename.casefold() in seen:
            raise UserError(f"'{name}' holds '{entry.filename[:80]}' twice; make the zip again.")
        seen.add(entry.filename.casefold())
        if entry.file_size > 1_000_000 and entry.file_size > MAX_RATIO * entry.compress_size:
            raise UserError(
                f"'{name}' holds '{entry.filename[:80]}', which unpacks to over {MAX_RATIO} times its size."
            )
    if len(entries) > MAX_FILES:
        raise UserError(f"'{name}' holds {len(entries)} files; {MAX_FILES} are the most.")
    if sum(entry.file_size for entry in entries) > most:
        raise UserError(f"'{name}' unpacks to more than {most / 1e6:.0f} MB; use fewer or smaller pictures.")


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts if part != "..")


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _hidden(path.name))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not _hidden(path.name))


def _looks_like_one(path: Path) -> bool:
    return path.suffix.casefold() in {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class _Seen:
    digest: str
    print: np.ndarray
    wrong: str = ""


def _look(path: Path) -> _Seen:
    """What there is to know about a file."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        grey = cv2.cvtColor(resize(read(path).pixels, (32, 32)), cv2.COLOR_RGB2GRAY).astype(np.float32).ravel()
    except PictureError as error:
        return _Seen("", np.zeros(0), str(error))
    except OSError as error:
        return _Seen("", np.zeros(0), f"'{path.name}' cannot be read ({error.strerror}).")
    grey -= grey.mean()
    return _Seen(digest, grey / max(float(np.linalg.norm(grey)), 1e-6))


def _make(files: Sequence[tuple[Path, str, Split]], root: Path | None, refused: Iterable[Refused]) -> Dataset:
    """The data set of (path, class, split), in the order of the classes' first pictures."""
    if len(files) > MAX_FILES:
        raise UserError(f"There are {len(files)} files; {MAX_FILES} are the most.")
    refused, notes = list(refused), []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = list(pool.map(_look, [path for path, _, _ in files]))
    names = [str(path.relative_to(root)) if root else f"{label}/{path.name}" for path, label, _ in files]

    claims: dict[str, set[str]] = defaultdict(set)
    for (_, label, _), seen in zip(files, looks, strict=True):
        claims[seen.digest].add(label)
    first: dict[str, str] = {}
    kept: list[tuple[Item, str]] = []
    for (path, label, split), seen, name in zip(files, looks, names, strict=True):
        if seen.wrong:
            refused.append(Refused(name, seen.wrong))
        elif len(claims[seen.digest]) > 1:
            rivals = " and ".join(repr(claim) for claim in sorted(claims[seen.digest]))
            refused.append(Refused(name, f"The same file lies in {rivals}; which is it?"))
        elif seen.digest in first:
            refused.append(Refused(name, f"It is a copy of '{first[seen.digest]}'."))
        else:
            first[seen.digest] = name
            kept.append((Item(path, name, -1, split, seen.digest, seen.print), label))

    groups = _near([item for item, _ in kept])
    trained_on = {int(group) for (item, _), group in zip(kept, groups, strict=True) if item.split == "train"}
    clean = []
    for (item, label), group in zip(kept, groups, strict=True):
        if item.split == "test" and int(group) in trained_on:
            refused.append(Refused(item.name, "It is nearly the same as a picture in train."))
        else:
            clean.append((item, label, int(group)))

    sizes: dict[str, int] = dict.fromkeys((label for _, label, _ in files), 0)
    for item, label, _ in clean:
        sizes[label] += item.split == "train"
    labels = [label for label, size in sizes.items() if size >= FEWEST]
    for label, size in sizes.items():
        if size < FEWEST:
            refused.append(Refused(label, f"The class has {size} usable pictures to train on and needs {FEWEST}."))
        elif size < FEW:
            notes.append(f"'{label}' has {size} pictures only; {FEW} or more learn better.")
    if len(labels) < 2:
        reasons = "; ".join(f"'{one.name}': {one.why.rstrip('.?')}" for one in refused[-3:])
        raise UserError(
            f"Training needs two classes of at least {FEWEST} pictures each{f' ({reasons})' if reasons else ''}."
        )
    used = [(replace(item, label=labels.index(label)), group) for item, label, group in clean if label in labels]
    numbers = np.unique([group for _, group in used], return_inverse=True)[1]
    notes += _alike([item for item, _ in used], numbers)
    return Dataset(tuple(labels), tuple(item for item, _ in used), numbers, tuple(refused), tuple(notes))


def _near(items: Sequence[Item]) -> np.ndarray:
    """A group number a picture: linked, directly or through others, where grey levels correlate by NEAR."""
    if not items:
        return np.zeros(0, int)
    prints = np.stack([item.print for item in items])
    linked = np.zeros((len(items), len(items)), bool)
    for start in range(0, len(items), 1024):
        linked[start : start + 1024] = cv2.gemm(prints[start : start + 1024], prints.T.copy(), 1, prints, 0) > NEAR
    return connected_components(linked, directed=False)[1]


def _alike(items: Sequence[Item], groups: np.ndarray) -> list[str]:
    """Notes on pictures that are nearly the same, naming the first few."""
    members: dict[int, list[Item]] = defaultdict(list)
    for item, group in zip(items, groups.tolist(), strict=True):
        members[group].append(item)
    several = [group for group in members.values() if len(group) > 1]
    if not several:
        return []
    some = "; ".join(" and ".join(f"'{item.name}'" for item in group[:2]) for group in several[:3])
    more = ", and so on" if len(several) > 3 else ""
    count = sum(map(len, several))
    notes = [f"{count} pictures are nearly the same as another and stay on one side of every split: {some}{more}."]
    for group in several:
        other = next((item for item in group if item.label != group[0].label), None)
        if other:
            notes.append(
                f"'{group[0].name}' and '{other.name}' are nearly the same and in different classes; is that right?"
            )
    return notes


def histogram(counts: Mapping[str, int], width: int = 40) -> str:
    """Bars of text, a line a class."""
    wide, most = max(map(len, counts)), max(1, *counts.values())
    return "\n".join(
        f"{label:<{wide}}  {count:>5}  {'#' * round(width * count / most)}" for label, count in counts.items()
    )


def contact_sheet(dataset: Dataset, columns: int = 8, tile: tuple[int, int] = (90, 160), seed: int = 0) -> np.ndarray:
    """A row of pictures drawn at random for each class, under its name and count: uint8 RGB."""
    rng = np.random.default_rng(seed)
    rows, bar = [], 22
    for index, (label, count) in enumerate(dataset.counts().items()):
        band = Image.new("RGB", (columns * tile[1], bar), "white")
        ImageDraw.Draw(band).text((4, 3), f"{label}: {count}", "black", ImageFont.load_default(14))
        of_class = [item for item in dataset.items if item.label == index]
        chosen = [of_class[k] for k in rng.permutation(len(of_class))[:columns]]
        tiles = [fitted(item.pixels(), tile) for item in chosen]
        tiles += [np.full((*tile, 3), 255, np.uint8)] * (columns - len(tiles))
        rows += [np.asarray(band), np.hstack(tiles)]
    return np.vstack(rows)


def fitted(pixels: np.ndarray, tile: tuple[int, int]) -> np.ndarray:
    """The whole picture in the middle of a white tile (height, width)."""
    scale = min(tile[0] / pixels.shape[0], tile[1] / pixels.shape[1])
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    result = np.full((*tile, 3), 255, np.uint8)
    top, left = (tile[0] - height) // 2, (tile[1] - width) // 2
    result[top : top + height, left : left + width] = resize(pixels, (height, width))
    return result
