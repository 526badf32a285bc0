"""The register of methods: the page, the command line and the documents' tables are all made from it."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np

from explain import words
from explain.view import View
from models.errors import UnknownNameError, UserError, unknown

Family = Literal["cam", "gradient", "perturbation", "combination"]


@dataclass(frozen=True)
class Step:
    """A map on its way: signed, on the method's own grid.

    `progress` in [0, 1]. `notes`: what the reader should know about this map, a sentence each. `error`: how far it may
    still be from where it is going, relative to its size, where that is estimated.
    """

    raw: np.ndarray
    progress: float = 1.0
    notes: tuple[str, ...] = ()
    error: float | None = None


@dataclass(frozen=True)
class Method:
    """A method and what one should know before choosing it.

    `function` takes (view, target, **options) and returns a signed map (gh, gw) over the canvas, or a Step with it, or
    yields Steps, each better than the one before. It never resizes to the picture, normalises, colours, prints or keeps
    state. `forward` and `backward`: the passes it takes as it is, on a canvas of 224. `sane`: whether its map depends on
    the weights, as tested by randomising them (Adebayo et al. 2018). `percentile`: where the colour scale ends; below 100
    for maps of single pixels, whose few extremes would hide the rest.
    """

    name: str
    title: str
    family: Family
    summary: str
    paper: str
    function: Callable[..., np.ndarray | Step | Iterator[Step]]
    forward: int = 1
    backward: int = 0
    sane: bool = True
    percentile: float = 100.0

    @property
    def cost(self) -> str:
        """Its passes, in words."""
        return words.passes(self.forward, self.backward)

    @property
    def options(self) -> dict[str, Any]:
        """Its options and their defaults: the keyword-only arguments of its function."""
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    def run(self, view: View, target: np.ndarray, options: dict[str, Any]) -> Step | Iterator[Step]:
        """Its one map, or its maps, each better than the one before."""
        found = self.function(view, target, **options)
        return Step(found) if isinstance(found, np.ndarray) else found

    def last(self, view: View, target: np.ndarray, options: dict[str, Any]) -> Step:
        """Its one map, or the last of its maps."""
        found = self.run(view, target, options)
        return found if isinstance(found, Step) else deque(found, maxlen=1).pop()

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        """All options with their values. Raises UserError for one that does not exist or is of the wrong kind."""
        defaults = self.options
        for name, value in options.items():
            if name not in defaults:
                if not defaults:
                    raise UnknownNameError(f"{self.name} has no options; leave out '{name}'.")
                raise unknown(f"option of {self.name}", name, defaults)
            kind, words = _KINDS[type(defaults[name])]
            if not isinstance(value, kind) or isinstance(value, bool) is not isinstance(defaults[name], bool):
                raise UserError(
                    f"The option '{name}' of {self.name} is {words}, such as {defaults[name]!r}, not {value!r}."
                )
        return defaults | {name: type(defaults[name])(value) for name, value in options.items()}

    def parse(self, texts: dict[str, str]) -> dict[str, Any]:
        """All options with their values, those in `texts` as typed by a person. Raises UserError as `check` does."""
        return self.check({name: _value(text, self.options.get(name)) for name, text in texts.items()})


def _value(text: str, default: Any) -> Any:
    """A value of the kind of the default; as it is where it does not fit, for `Method.check` to refuse."""
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        return text if default is None else type(default)(text)
    except (ValueError, KeyError):
        return text


# What may be given for an option of each kind, NumPy's numbers included, and how to say so.
_KINDS: dict[type, tuple[type, str]] = {
    bool: (bool, "True or False"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "a name"),
}

METHODS: dict[str, Method] = {}


def register(name: str, **facts: Any) -> Callable[[Callable], Callable]:
    """Decorator that puts a function into METHODS under its name; `facts` are Method's other fields."""

    def put(function: Callable) -> Callable:
        METHODS[name] = Method(name=name, function=function, **facts)
        return function

    return put


def method(name: str) -> Method:
    """The method of that name, in any case and with _ for -. Raises UnknownNameError with suggestions."""
    found = METHODS.get(str(name).strip().lower().replace("_", "-"))
    if found is None:
        raise unknown("method", name, METHODS)
    return found
