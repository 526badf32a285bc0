"""The last item of an iterator."""

from __future__ import annotations

import pytest

from core.iterate import last_of


def test_the_last_item_of_an_iterator_or_a_list() -> None:
    assert last_of(iter("abc")) == "c"
    assert last_of([1]) == 1


def test_without_items_there_is_no_last_one() -> None:
    with pytest.raises(IndexError):
        last_of(())
