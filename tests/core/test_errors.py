"""Errors that help: the nearest names, and one line of another library's message."""

from __future__ import annotations

import pytest

from core.errors import UnknownNameError, describe_error, unknown


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("disk full."), "disk full"),
        (ValueError("\n\n  first line:\nsecond line"), "first line"),
        (RuntimeError("\x1b[1;31mred\x1b[0m"), "red"),
        (KeyError(), "KeyError"),
        (RuntimeError(" \n "), "RuntimeError"),
    ],
)
def test_the_first_line_that_says_something(error: Exception, line: str) -> None:
    assert describe_error(error) == line


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("grad_cam", "'grad-cam'"), ("GRAD-CAM ", "'grad-cam'"), ("horn", "'French horn'"), ("sal", "'saliency'")],
)
def test_the_nearest_name_is_suggested_first(name: str, suggestion: str) -> None:
    error = unknown("method", name, ["grad-cam", "saliency", "French horn", "corn"])
    assert isinstance(error, UnknownNameError)
    assert f"There is no method '{name}'; did you mean {suggestion}" in str(error)


def test_few_names_are_listed_and_many_are_counted() -> None:
    assert "choose one of: a, b." in str(unknown("option", "xyz", ["a", "b"]))
    assert "none" in str(unknown("option", "xyz", []))
    assert "1000" in str(unknown("class", "xyz", [f"{number}" for number in range(1000)]))
