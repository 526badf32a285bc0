"""Labels in all the forms that files have."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ModelError
from models.labels import parse_labels, read_labels


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (b"cat\ndog\n", ["cat", "dog"]),
        (b"\xef\xbb\xbfcat\r\n\r\ndog", ["cat", "dog"]),
        (b"0 Cat face\n1 Dog\n", ["Cat face", "Dog"]),
        (b"1 Dog\n0 Cat\n", ["Cat", "Dog"]),
        (b"0: cat\n1: dog\n", ["cat", "dog"]),
        (b"0,cat\n1,dog\n", ["cat", "dog"]),
        (b"2 euro\n1 euro\n", ["2 euro", "1 euro"]),  # no indices: they do not begin at 0
        (b"10 km\n5 km\n", ["10 km", "5 km"]),
        (b'["cat", "dog"]', ["cat", "dog"]),
        (b'{"0": "cat", "1": "dog"}', ["cat", "dog"]),
        (b'{"dog": 1, "cat": 0}', ["cat", "dog"]),
    ],
)
def test_every_form_is_read(content: bytes, labels: list[str]) -> None:
    assert parse_labels(content, "labels.txt") == labels


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n \n",
        b"\xff\xfe\x00",
        b'{"a": 0, "b": 2}',
        b'{"a": "b"}',
        b"[1, 2]",
        b"[" * 100_000,
        b"x" * 201,
        b'{"a": 0',
    ],
)
def test_another_form_is_one_sentence(content: bytes) -> None:
    with pytest.raises(ModelError) as error:
        parse_labels(content, "labels.txt")
    assert "'labels.txt'" in str(error.value)
    assert "\n" not in str(error.value)


def test_labels_are_a_sequence_or_a_file(tmp_path: Path) -> None:
    assert read_labels(("a", "b")) == ["a", "b"]
    (tmp_path / "labels.txt").write_text("a\nb\n")
    assert read_labels(tmp_path / "labels.txt") == read_labels(str(tmp_path / "labels.txt")) == ["a", "b"]
    with pytest.raises(ModelError, match="check the path"):
        read_labels(tmp_path / "none.txt")
