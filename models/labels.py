"""The labels of a model, as people have them in files: one per line, with or without an index, or JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import ModelError, describe_error

MAX_BYTES = 5_000_000
_INDEXED = re.compile(r"(\d+)(?:\s*[:,;=]\s*|\s+)(\S.*)")  # "0 Cat", "0: Cat", "0,Cat"


def read_labels(labels: Sequence[str] | str | os.PathLike[str]) -> list[str]:
    """Labels given as a sequence, or as the path of a file; for the forms of a file see `parse_labels`.

    Raises ModelError in one sentence if the file cannot be read or has another form.
    """
    if not isinstance(labels, (str, os.PathLike)):
        return [str(label) for label in labels]
    path = Path(labels)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(
                f"'{path.name}' is larger than {MAX_BYTES // 1_000_000} MB; give a text file with one label per line."
            )
        return parse_labels(path.read_bytes(), path.name)
    except OSError as error:
        raise ModelError(
            f"The labels '{path}' cannot be read ({error.strerror or describe_error(error)}); check the path."
        ) from error


def parse_labels(content: bytes, name: str) -> list[str]:
    """The labels in a file, in the order of the classes.

    Args:
        content: One label per line; or one index and one label per line; or a JSON list of labels; or a JSON object that maps
            labels to indices or indices to labels. UTF-8.
        name: Name of the file, for errors.

    Returns:
        The labels.

    Raises:
        ModelError: In one sentence, if the content has another form.

    >>> parse_labels(b"0 Cat face\\n1 Dog\\n", "labels.txt")
    ['Cat face', 'Dog']
    >>> parse_labels(b'{"dog": 1, "cat": 0}', "labels.json")
    ['cat', 'dog']
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError(f"'{name}' is not a text file in UTF-8; give one label per line.") from error
    if text.lstrip()[:1] in ("[", "{"):
        labels = _from_json(text, name)
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        pairs = [_INDEXED.fullmatch(line) for line in lines]
        indexed = {int(pair[1]): pair[2].strip() for pair in pairs if pair}
        labels = [indexed[index] for index in sorted(indexed)] if _is_complete(indexed, len(lines)) else lines
    if not labels or not all(0 < len(label) <= 200 for label in labels):
        raise ModelError(f"'{name}' must hold labels of 1 to 200 characters, one per line.")
    return labels


def _is_complete(indexed: dict[int, Any], count: int) -> bool:
    """Whether the indices are 0 to count - 1."""
    return count > 0 and len(indexed) == count and set(indexed) == set(range(count))


def _from_json(text: str, name: str) -> list[str]:
    problem = f"'{name}' is not a JSON list of labels, nor an object with the indices 0, 1, 2, ...; correct it."
    try:
        value = json.loads(text)
        if isinstance(value, dict):
            if all(isinstance(index, int) for index in value.values()):
                value = {index: label for label, index in value.items()}
            indexed = {int(index): label for index, label in value.items()}
            if not _is_complete(indexed, len(value)):
                raise ModelError(problem)
            value = [indexed[index] for index in range(len(indexed))]
    except (ValueError, TypeError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(problem) from error
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise ModelError(problem)
    return [label.strip() for label in value]
