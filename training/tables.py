"""Tables that label pictures: CSV, TSV, JSON and JSON lists with a path, a label and perhaps a split in each row."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from core.folders import Excluded
from training.listing import LabelledFile, Listing, Split, is_likely_picture, split_of

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
PATH_COLUMNS = (
    "path", "file", "filename", "filepath", "image", "imagepath", "imagefile", "img", "picture", "imageid", "id", "name",
)  # fmt: skip
LABEL_COLUMNS = ("label", "class", "category", "target", "classname", "labelname", "species", "breed", "channel", "y")
SPLIT_COLUMNS = ("split", "set", "subset", "partition", "dataset")
"""Names of columns, the first that a table has; capitals, spaces, - and _ do not matter."""
MAX_BYTES = 100_000_000


class Row(NamedTuple):
    """A row of a table. `number`: as an editor counts the rows, the header included."""

    path: str
    label: str
    split: Split | None
    number: int


def read_table(table: Path) -> list[Row] | None:
    """The rows of a table, or None if it is no table with a path and a label."""
    try:
        if table.stat().st_size > MAX_BYTES:
            return None
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    try:
        records = _json_records(text) if table.suffix.casefold() not in (".csv", ".tsv") else _csv_records(text)
    except (ValueError, RecursionError, csv.Error):
        return None
    return None if records is None else _rows(records)


def _csv_records(text: str) -> list[dict[str, Any]] | None:
    """One dictionary per row. A table without a header has the columns path, label and perhaps split."""
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    if not rows or len(rows[0]) < 2:
        return None
    header = rows[0]
    if _column(header, PATH_COLUMNS) is None and Path(header[0]).suffix:
        return [dict(zip(("path", "label", "split"), row, strict=False)) | {"#": n} for n, row in enumerate(rows, 1)]
    return [dict(zip(header, row, strict=False)) | {"#": number} for number, row in enumerate(rows[1:], 2)]


def _json_records(text: str) -> list[dict[str, Any]] | None:
    """One dictionary per entry of a list, per line, or per path of a dictionary from paths to labels."""
    try:
        content = json.loads(text)
    except ValueError:
        content = [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(content, dict) and content and all(isinstance(value, (str, int)) for value in content.values()):
        content = [{"path": path, "label": label} for path, label in content.items()]
    if isinstance(content, dict):
        content = [content]  # JSON lines with a single line
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        return None
    return [entry | {"#": number} for number, entry in enumerate(content, 1)]


def _column(names: Iterable[str], known: Sequence[str]) -> str | None:
    """The column that one of the known names means."""
    words = {"".join(letter for letter in str(name).casefold() if letter.isalnum()): name for name in names}
    return next((words[word] for word in known if word in words), None)


def _rows(records: Sequence[dict[str, Any]]) -> list[Row] | None:
    names = dict.fromkeys(name for record in records[:100] for name in record)
    path, label = _column(names, PATH_COLUMNS), _column(names, LABEL_COLUMNS)
    split = _column(names, SPLIT_COLUMNS)
    if path is None or label is None:
        return None
    return [
        Row(
            str(record.get(path) or "").strip(),
            "" if record.get(label) is None else str(record[label]).strip(),
            split_of(str(record.get(split) or "")) if split else None,
            int(record["#"]),
        )
        for record in records
    ]


class _Finder:
    """Finds the files that the rows of a table mean: by path from the table or the root, or by a unique name or stem."""

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self._root = root
        self._known = {file.as_posix(): file for file in files}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for file in files:
            if is_likely_picture(root / file):
                for key in {file.name, file.stem}:
                    self._by_name[key].append(file)

    def find(self, text: str, folder: Path) -> Path | None:
        """The file, relative to the root. Only files of the data set are found, so no row can name another one."""
        text = text.replace("\\", "/").removeprefix("./")
        for name in (folder / text, Path(text)):
            if (found := self._known.get(name.as_posix())) is not None:
                return found
        absolute = Path(text)
        if absolute.is_absolute() and absolute.is_relative_to(self._root):
            return self._known.get(absolute.relative_to(self._root).as_posix())
        alike = self._by_name.get(absolute.name, [])
        return alike[0] if len(alike) == 1 else None


def _split_of_folders(file: Path) -> Split | None:
    """The split that the outermost folder with such a name means."""
    return next(filter(None, map(split_of, file.parts[:-1])), None)


def list_from_tables(root: Path, files: Sequence[Path], tables: Sequence[Path]) -> Listing | None:
    """The labelled files of the tables of a folder.

    Args:
        root: The folder.
        files: All files in it, relative to it.
        tables: Those that may be tables.

    Returns:
        None if no table names a file of the folder.
    """
    finder = _Finder(root, files)
    used: list[str] = []
    chosen: dict[tuple[Path, str], LabelledFile] = {}
    excluded: list[Excluded] = []
    missing: list[Excluded] = []
    for table in tables:
        rows = read_table(root / table) or []
        found = [(row, finder.find(row.path, table.parent)) for row in rows]
        if not any(file for _, file in found):
            continue
        used.append(table.as_posix())
        for row, file in found:
            if file is None:
                reason = f"Row {row.number} of '{table.as_posix()}' names it, but there is no such file."
                missing.append(Excluded(row.path or f"row {row.number}", reason, "missing files"))
            elif not row.label:
                reason = f"Row {row.number} of '{table.as_posix()}' gives it no label."
                excluded.append(Excluded(file.as_posix(), reason, "without a label"))
            else:
                split: Split = row.split or split_of(table.stem) or _split_of_folders(file) or "train"
                entry = LabelledFile(root / file, file.as_posix(), row.label, split)
                chosen.setdefault((file, row.label), entry)
    if not used:
        return None
    named = {entry.name for entry in chosen.values()} | {entry.name for entry in excluded} | set(used)
    for file in files:
        if file.as_posix() not in named:
            kind = "not in the table" if is_likely_picture(root / file) else "not pictures"
            excluded.append(Excluded(file.as_posix(), "No table of the data set names it with a label.", kind))
    note = f"The classes are those of {' and '.join(map(repr, used))}; names of folders do not count."
    return Listing(tuple(chosen.values()), (*excluded, *missing), (note,))
