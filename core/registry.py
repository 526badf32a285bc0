"""`Registry`: methods of one kind by name. A decorator adds them, and a misspelt name gives suggestions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from core.errors import unknown

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Registry(dict[str, T]):
    """The methods of one kind by name, in the order in which they were registered.

    Args:
        kind: What the names stand for, such as "method"; used in error messages.
        make: Makes an entry from the keyword arguments `name`, `function` and the fields given to `register`.

    >>> tools = Registry("tool", dict)
    >>> @tools.register("big-saw", weight=3)
    ... def cut(): ...
    >>> tools.find("Big_Saw")["weight"]
    3
    """

    def __init__(self, kind: str, make: Callable[..., T]) -> None:
        super().__init__()
        self.kind, self.make = kind, make

    def register(self, name: str, **fields: Any) -> Callable[[F], F]:
        """Decorator that adds a function under a name; `fields` are the other fields of the entry."""

        def add(function: F) -> F:
            self[name] = self.make(name=name, function=function, **fields)
            return function

        return add

    def find(self, name: str) -> T:
        """The entry of that name, in any case, with "_" or "-". Raises UnknownNameError with suggestions."""
        key = str(name).strip().lower().replace("_", "-")
        if key not in self:
            raise unknown(self.kind, name, self)
        return self[key]
