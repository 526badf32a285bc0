"""The boxes of the Train tab: what they hand to a training, and what they say."""

from __future__ import annotations

import pytest

from core.errors import UserError
from samples import PRACTICE
from ui.class_boxes import (
    FIRST_BOXES,
    MAX_CLASSES,
    MAX_PICTURES,
    add_box,
    collect_classes,
    fill_boxes,
    render_balance,
)
from ui.session import Session


def pictures(count: int) -> list[tuple[str, str]]:
    return [(f"{number}.png", "") for number in range(count)]


def test_classes_without_pictures_are_left_out() -> None:
    assert collect_classes(["a", "", " b "], [pictures(2), None, pictures(1)]) == {
        "a": ["0.png", "1.png"],
        "b": ["0.png"],
    }


@pytest.mark.parametrize(
    ("names", "counts", "fact"),
    [
        (["a"], [3], "at least two classes"),
        (["a", ""], [3, 3], "Class 2"),
        (["Cat", "cat "], [3, 3], "'cat'"),
        (["a", "b"], [3, MAX_PICTURES + 1], f"{MAX_PICTURES + 1} pictures"),
    ],
)
def test_what_is_wrong_is_said(names: list[str], counts: list[int], fact: str) -> None:
    with pytest.raises(UserError, match=fact):
        collect_classes(names, [pictures(count) for count in counts])


def test_the_bars_show_counts_and_escape_names() -> None:
    names, galleries = [""] * MAX_CLASSES, [None] * MAX_CLASSES
    assert render_balance(*names, *galleries) == ""
    names[:2], galleries[:2] = ["<b>", ""], [pictures(4), pictures(2)]
    html = render_balance(*names, *galleries)
    assert "<b>" not in html
    assert "Class 2" in html
    assert "width: 50%" in html


def visible(columns: list) -> int:
    return sum(column.visible for column in columns)


def test_one_box_more_than_are_in_use() -> None:
    nothing = [None] * MAX_CLASSES
    assert visible(add_box(*[""] * MAX_CLASSES, *nothing)) == FIRST_BOXES + 1
    names = ["a"] * 6 + [""] * (MAX_CLASSES - 6)
    assert visible(add_box(*names, *nothing)) == 7
    assert visible(add_box(*["a"] * MAX_CLASSES, *nothing)) == MAX_CLASSES


def test_a_zip_fills_the_boxes() -> None:
    session = Session()
    for _ in range(2):  # a second zip does not mix with the first
        values = fill_boxes(session, PRACTICE)
        assert values[:4] == ["Bolt Squad", "Crumb & Co", "Orbit Lab", ""]
        assert [len(files or []) for files in values[MAX_CLASSES : MAX_CLASSES + 4]] == [24, 24, 24, 0]
        assert visible(values[2 * MAX_CLASSES : 3 * MAX_CLASSES]) == 3
        assert "72 pictures in 3 classes" in values[-1]
    session.close()
