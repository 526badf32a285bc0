"""How much one event of a visitor may take: passes that are estimated before it starts, and a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import UserError
from core.stopping import Stopped
from explain import METHODS, Method
from explain.registry import find_method
from models import MODELS
from models.catalogue import is_loaded

MAX_PASSES = 12_000  # on a canvas of 224; all methods with their defaults stay below on the largest canvas
QUICK_PASSES = 120  # forward passes, about a second; longer runs wait in a line of their own
BACKWARD_COST = 3  # the time of one backward pass in forward passes
MAX_SECONDS = 120.0  # of an event
LONG_SECONDS, SHARED_SECONDS = 1800.0, 180.0  # of a run of the queue "long": while nobody waits for it, and otherwise
GRACE = 15.0  # seconds to show what there is, after the deadline
PROPORTIONAL = ("samples", "rows", "steps")  # options that multiply the passes of a method


def estimate_passes(method: Method, options: Mapping[str, Any]) -> float:
    """The passes of a method with these options, forward and backward, on a canvas of 224."""
    if method.name == "consensus":
        methods = [find_method(name) for name in options["methods"].split(",")]
        return sum(estimate_passes(other, other.options) for other in methods if other.name != "consensus")
    passes = float(method.forward_passes + method.backward_passes)
    for name, default in method.options.items():
        value = options[name]
        if name in PROPORTIONAL:
            passes *= value / default
        elif name == "grid":
            passes *= (value / default) ** 2
        elif name == "stride":  # a stride over the patch is refused elsewhere
            passes *= (default / max(1, value)) ** 2
        elif name == "cells" and method.name == "sobol":
            passes *= (value / default) ** 2
        elif name == "baseline":
            passes *= (1 + value.count(",")) / (1 + default.count(","))
    return passes


def check_passes(method: str, options: Mapping[str, Any], side: int | None = None) -> None:
    """Raise UserError for a run that needs too many passes. `side`: of the canvas; a larger one has longer passes."""
    passes = estimate_passes(METHODS[method], options) * ((side or 224) / 224) ** 2
    if passes > MAX_PASSES:
        raise UserError(
            f"{METHODS[method].title} would take the time of {passes:.0f} passes with these options; "
            f"the most on this page are {MAX_PASSES}, and the command line has no limit."
        )


class Deadline:
    """When the work of one event must end: at a time, or when its visitor leaves or starts another run in its place.

    Args:
        limit: Gives the most seconds that the event may take. They may change while it runs.
        has_left: Tells whether nobody waits for the results any more.
    """

    def __init__(
        self, limit: Callable[[], float] = lambda: MAX_SECONDS, has_left: Callable[[], bool] = lambda: False
    ) -> None:
        self._start = time.monotonic()
        self._limit, self._has_left = limit, has_left
        self._grace_ends: float | None = None

    def check(self) -> None:
        """Raise Stopped if the work must end.

        After the deadline this raises once, and again when GRACE is over: in between the event shows what there is.
        """
        if self._has_left():
            raise Stopped("Ended, because its visitor left or started another run.")
        now, limit = time.monotonic(), self._limit()
        if now - self._start > limit and (self._grace_ends is None or now > self._grace_ends):
            self._grace_ends = self._grace_ends or now + GRACE
            raise Stopped(f"Stopped after {limit:.0f} s, which is the limit here.")


def needs_download(model: Any) -> bool:
    """Whether the use of a model, by its name, starts with a download."""
    return isinstance(model, str) and model in MODELS and not (MODELS[model].embedded or is_loaded(model))


def is_slow(method: Any, options: Any = "", canvas: Any = "") -> bool:
    """Whether a run takes the time of more than QUICK_PASSES passes. The arguments are raw inputs of an event.

    >>> is_slow("rise"), is_slow("grad-cam"), is_slow("smoothgrad", "samples=2"), is_slow(None)
    (True, False, False, False)
    """
    if not isinstance(method, str) or method not in METHODS:
        return False
    try:
        words = dict(word.split("=", 1) for word in str(options or "").split())
        parsed = METHODS[method].parse(words)
    except ValueError:  # the event itself says what is wrong
        return False
    side = int(canvas) if isinstance(canvas, str) and canvas.isdecimal() and len(canvas) < 5 else 224
    forward, backward = METHODS[method].forward_passes, METHODS[method].backward_passes
    cost = (forward + BACKWARD_COST * backward) / max(1, forward + backward)  # of one pass, on average
    return estimate_passes(METHODS[method], parsed) * cost * (side / 224) ** 2 > QUICK_PASSES
