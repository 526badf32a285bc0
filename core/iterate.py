"""`last_of`: the last item of an iterator."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def last_of(items: Iterable[T]) -> T:
    """The last item. The others are not kept in memory. Raises IndexError if there is none.

    >>> last_of(number**2 for number in range(4))
    9
    """
    return deque(items, maxlen=1).pop()
