"""The registry of methods: the page, the command line and the tables in the documents are made from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Literal, get_type_hints

import numpy as np

from core.errors import UnknownNameError, UserError, unknown
from core.iterate import last_of
from core.options import Bounds, Sign, bounds_of, is_default, mark_default
from core.registry import Registry
from explain.result import describe_passes
from explain.view import View
from models import capabilities
from models.classifier import Classifier

Family = Literal["cam", "gradient", "attention", "perturbation", "combination"]

# The accepted values of an option by the type of its default (numbers of NumPy included), and a description of them.
_OPTION_TYPES: dict[type, tuple[type, str]] = {
    bool: (bool, "True or False"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "a name"),
}


@dataclass(frozen=True)
class Step:
    """An intermediate or final map: signed, on the method's own grid.

    `progress` in [0, 1]. `notes`: sentences that the reader of this map should know. `error`: the estimated error relative
    to the final map, if the method estimates it.
    """

    raw: np.ndarray
    progress: float = 1.0
    notes: tuple[str, ...] = ()
    error: float | None = None


@dataclass(frozen=True)
class Method:
    """A method and its properties.

    `function` takes (view, objective, **options). It returns a signed map (gh, gw) over the canvas, or a Step with it, or it
    yields Steps, each from more passes. It must not resize the map to the picture, normalise or colour it, print, or keep
    state. `paper`: the citation; `link`: the paper's address, such as https://arxiv.org/abs/1610.02391. `forward_passes` and
    `backward_passes`: with default options on a canvas of 224. `passes_sanity_check`: whether the map depends on the
    weights, by the parameter-randomisation test (Adebayo et al. 2018, https://arxiv.org/abs/1810.03292). `percentile`: what
    has nine tenths of the full heat; below 100 for maps of single pixels, because a few extreme pixels would hide the rest.
    `follow`: the values of options that follow the size of the picture on its canvas, unless the user chose one.
    `requires`: the capabilities that it needs, if not those of its family. `sign`: the default of the option `sign`, if single
    pixels have both signs. It chooses what the heatmap shows: the "positive" or all "absolute" values; with "signed" the
    explanation also has the map with both signs, as always for the contrast of two classes.
    """

    name: str
    title: str
    family: Family
    summary: str
    paper: str
    link: str
    function: Callable[..., np.ndarray | Step | Iterator[Step]]
    forward_passes: int = 1
    backward_passes: int = 0
    passes_sanity_check: bool = True
    percentile: float = 100.0
    follow: Mapping[str, Callable[[View, dict[str, Any]], float]] = field(default_factory=dict)
    requires: tuple[capabilities.Capability, ...] | None = None
    sign: Literal["", "positive", "absolute"] = ""

    @property
    def cost(self) -> str:
        """Its passes, such as "1 forward and 1 backward pass"."""
        return describe_passes(self.forward_passes, self.backward_passes)

    @property
    def needs(self) -> frozenset[str]:
        """What a classifier must be able to do for it, see `models.capabilities`."""
        return frozenset(capabilities.FAMILY_NEEDS[self.family] if self.requires is None else self.requires)

    @property
    def options(self) -> dict[str, Any]:
        """Its options and their defaults: the keyword-only arguments of `function`, and `sign` or `layer` where they apply."""
        parameters = inspect.signature(self.function).parameters.values()
        layer = {"layer": ""} if "features" in self.needs and self.family != "combination" else {}
        sign = {"sign": self.sign} if self.sign else {}
        options = {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY} | sign | layer
        return {name: mark_default(value) if name in self.follow else value for name, value in options.items()}

    @property
    def bounds(self) -> dict[str, Bounds]:
        """Which values each option may have: the annotations of the arguments."""
        hints = get_type_hints(self.function, include_extras=True) | {"sign": Sign}
        return {name: bounds_of(hints.get(name), default) for name, default in self.options.items()}

    @property
    def gives_series(self) -> bool:
        """Whether it yields intermediate maps."""
        return inspect.isgeneratorfunction(self.function)

    def complete(self, view: View, options: dict[str, Any]) -> dict[str, Any]:
        """The options, with the values that depend on model and picture where the user chose none."""
        if options.get("layer") == "":
            options = options | {"layer": view.classifier.features_layer}
        for name in self.follow:
            if is_default(options[name]):
                options = options | {name: self.follow[name](view, options)}
        return options

    def compute(self, view: View, objective: np.ndarray, options: dict[str, Any]) -> Step | Iterator[Step]:
        """Its single map, or an iterator of maps, each from more passes than the one before."""
        options = self.complete(view, options)
        view.use_layer(options.get("layer", ""), objective)
        own = {name: value for name, value in options.items() if name not in ("layer", "sign")}
        maps = self.function(view, objective, **own)
        return Step(maps) if isinstance(maps, np.ndarray) else maps

    def compute_last(self, view: View, objective: np.ndarray, options: dict[str, Any]) -> Step:
        """Its single map, or the last of its maps."""
        maps = self.compute(view, objective, options)
        return maps if isinstance(maps, Step) else last_of(maps)

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        """All options with their values. Raises UserError for an unknown option and a value of the wrong type or size."""
        defaults = self.options
        for name, value in options.items():
            if name not in defaults:
                if not defaults:
                    raise UnknownNameError(f"{self.name} has no options; leave out '{name}'.")
                raise unknown(f"option of {self.name}", name, defaults)
            kind, description = _OPTION_TYPES[_type_of(defaults[name])]
            # In Python a bool is also an int, so it is compared separately.
            if not isinstance(value, kind) or isinstance(value, bool) is not isinstance(defaults[name], bool):
                raise UserError(
                    f"The option '{name}' of {self.name} must be {description}, such as {defaults[name]!r}, not {value!r:.60}."
                )
            self.bounds[name].check(self.name, name, value)
        given = {
            name: value if is_default(value) else _type_of(defaults[name])(value) for name, value in options.items()
        }
        return defaults | given

    def parse(self, texts: dict[str, str]) -> dict[str, Any]:
        """As `check`, for options given as text, such as on the command line."""
        return self.check({name: _parse_value(text, self.options.get(name)) for name, text in texts.items()})


def _type_of(default: Any) -> type:
    """The type of an option, whether its default is marked or not."""
    return type(default).__mro__[1] if is_default(default) else type(default)


def _parse_value(text: str, default: Any) -> Any:
    """The text as a value of the default's type. A text that does not fit is returned unchanged; `Method.check` rejects it."""
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        return text if default is None else _type_of(default)(text)
    except (ValueError, KeyError):
        return text


METHODS = Registry("method", Method)
register, find_method = METHODS.register, METHODS.find


def default_method(classifier: Classifier) -> str:
    """Grad-CAM, or occlusion for a transformer and for a classifier that lacks what Grad-CAM needs."""
    return capabilities.choose_method(classifier, "grad-cam", METHODS["grad-cam"].needs)
