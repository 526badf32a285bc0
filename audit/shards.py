"""Shards of an audit: the recipe from which other processes measure them, and the folder that keeps them."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from audit.auditor import DEFAULTS, REGIONS, Auditor, AuditSettings, Rows
from core.errors import UserError
from core.files import write_atomically
from core.images import read
from models import Classifier, load
from training.layouts import list_labelled_files
from training.listing import Listing

SHARD_SIZE = 32  # pictures: the most work that a killed worker loses
FORMAT = 1  # of the stored shards; raise it when the rows change

Measured = tuple[Rows, list[tuple[int, str]]]
"""What `Auditor.measure` returns: rows, and the index and reason of each picture that cannot be read."""


@dataclass(frozen=True)
class Recipe:
    """What another process needs to make the same auditor: the name or file of a model, paths, and settings.

    `opening`: names and values of further arguments of `models.load`, such as ("labels", "labels.txt").
    """

    model: str
    pictures: tuple[str, ...]
    labels: tuple[str, ...]
    subjects: tuple[str | None, ...] | None = None
    settings: AuditSettings = DEFAULTS
    shard_size: int = SHARD_SIZE
    opening: tuple[tuple[str, str], ...] = ()

    def auditor(self) -> Auditor:
        """Make the auditor. Raises UserError where the model or the pictures cannot be used."""
        masks = None if self.subjects is None else Masks(self.subjects)
        return Auditor(self.classifier(), self.pictures, self.labels, subjects=masks, settings=self.settings)

    def classifier(self) -> Classifier:
        """Load the classifier. Raises UserError."""
        return load(self.model, **dict(self.opening))  # type: ignore[arg-type]

    @property
    def shards(self) -> int:
        """The number of shards."""
        return -(-len(self.pictures) // self.shard_size)

    def span(self, shard: int) -> range:
        """The indices of the pictures of a shard."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, len(self.pictures)))

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything that the figures depend on: options, and the name, size and time of each file."""
        files = [
            self.model,
            *self.pictures,
            *(name for name in self.subjects or () if name),
            *dict(self.opening).values(),
        ]
        stats = [
            (name, Path(name).stat().st_size, Path(name).stat().st_mtime_ns) for name in files if Path(name).exists()
        ]
        options: dict[str, Any] = {
            "model": self.model,
            "pictures": self.pictures,
            "labels": self.labels,
            "subjects": self.subjects,
        }
        options |= {**asdict(self.settings), "shard": self.shard_size}  # keys and order as in shards of before
        if self.opening:
            options["opening"] = self.opening
        return hashlib.sha256(json.dumps([FORMAT, options, stats]).encode()).hexdigest()


class Masks(Sequence):
    """Masks read from picture files on access: bool (H, W), True where the picture is bright; None where there is no path."""

    def __init__(self, paths: Sequence[str | None]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: Any) -> Any:
        path = self._paths[index]
        return None if path is None else read(path).pixels.mean(-1) > 127


def recipe_from_folder(
    model: str,
    directory: Path,
    subjects: Path | None = None,
    settings: AuditSettings = DEFAULTS,
    opening: tuple[tuple[str, str], ...] = (),
    unpack_folder: Path = Path(),
) -> tuple[Recipe, Listing]:
    """Make a recipe from a data set.

    Args:
        model: The name or file of the model.
        directory: A folder with class folders at any depth, named like the class; a zip of one, or a table (docs/DATA.md).
        subjects: A folder with the same layout that holds masks as PNG.
        settings: Method, sample and seed.
        opening: See `Recipe`.
        unpack_folder: The folder that a zip is unpacked to.

    Returns:
        The recipe, and the listing with what is left out.

    Raises:
        UserError: Without data, without pictures of two classes, or without any mask in `subjects`.
    """
    labels = load(model, **dict(opening)).labels  # type: ignore[arg-type]
    listing = list_labelled_files(directory, unpack_folder, labels)
    known = sorted(listing.files, key=lambda entry: entry.path)
    names = tuple(entry.label for entry in known)
    if len(set(names)) < 2:
        examples = ", ".join(sorted(labels)[:5])
        raise UserError(
            f"'{directory}' does not have two folders named like classes of {model} ({examples}, ...). Rename the folders."
        )
    masks = None
    if subjects is not None:
        expected = [subjects / Path(entry.name).with_suffix(".png") for entry in known]
        masks = tuple(str(path) if path.exists() else None for path in expected)
        if not any(masks):
            raise UserError(f"'{subjects}' has no masks. Give it the layout of '{directory}', with a PNG per picture.")
    return Recipe(model, tuple(str(entry.path) for entry in known), names, masks, settings, opening=opening), listing


class DamagedShardError(Exception):
    """A stored shard that cannot be read; it has to be measured again."""


class Store:
    """Shards in a folder. Opening it for another audit, by the recipe's fingerprint, deletes the old shards."""

    def __init__(self, directory: Path, recipe: Recipe) -> None:
        self._directory = directory
        marker = directory / "audit-of"
        if marker.exists() and marker.read_bytes() != recipe.fingerprint.encode():
            for path in directory.glob("*.npz"):
                path.unlink()
        write_atomically(marker, recipe.fingerprint.encode())

    def path(self, shard: int) -> Path:
        """The file of a shard."""
        return self._directory / f"{shard:07d}.npz"

    def missing(self, count: int) -> list[int]:
        """The shards out of the first `count` that have no file."""
        names = {path.name for path in self._directory.glob("*.npz")}
        return [shard for shard in range(count) if self.path(shard).name not in names]

    def put(self, shard: int, content: bytes) -> None:
        """Write what `pack_shard` made, whole or not at all. Raises UserError if the disk is full or read-only."""
        try:
            write_atomically(self.path(shard), content)
        except OSError as error:
            raise UserError(
                f"'{self.path(shard)}' cannot be written ({error.strerror}); free some space and run the same command again."
            ) from error

    def get(self, shard: int) -> Measured:
        """Read a shard. Raises DamagedShardError."""
        try:
            with np.load(self.path(shard), allow_pickle=False) as file:
                rows = {name: file[name] for name in file.files if name != "refused"}
                return rows, [(int(index), reason) for index, reason in json.loads(str(file["refused"]))]
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            EOFError,
            AttributeError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise DamagedShardError(self.path(shard).name) from error


def pack_shard(measured: Measured) -> bytes:
    """The rows of a shard as the bytes of an .npz file."""
    file = io.BytesIO()
    rows, excluded = measured
    np.savez(file, refused=np.array(json.dumps(excluded)), **rows)  # type: ignore[arg-type]
    return file.getvalue()


def to_arrow_table(recipe: Recipe, keep: Path) -> Any:
    """A finished audit as an Arrow table, which needs pyarrow.

    One row per picture: file, label, predicted class, logits, heatmap, and the share of its heat in each of REGIONS.

    Args:
        recipe: The recipe of the audit.
        keep: The folder with its shards.
    """
    import pyarrow as pa

    store, names = Store(keep, recipe), recipe.classifier().labels
    columns: dict[str, list[Any]] = {name: [] for name in ("file", "label", "predicted", "logits", "heat", *REGIONS)}
    for shard in range(recipe.shards):
        rows, _ = store.get(shard)
        for at, index in enumerate(rows["index"].tolist() if rows else ()):
            columns["file"].append(recipe.pictures[index])
            columns["label"].append(recipe.labels[index])
            columns["predicted"].append(names[int(rows["logits"][at].argmax())])
            columns["logits"].append(rows["logits"][at].tolist())
            columns["heat"].append(rows["heat"][at].ravel().tolist())
            for number, region in enumerate(REGIONS):
                columns[region].append(float(rows["share"][at, number]))
    return pa.table(columns)
