"""Ends long work: whoever starts it says when it must stop, and each pass through a network asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Stopped(BaseException):
    """The work must not go on. The message says why, in a sentence for the user.

    It is no `Exception`, because code that catches those (around a converter or a decoder) must not go on either.
    """


_check: ContextVar[Callable[[], None] | None] = ContextVar("check", default=None)


@contextmanager
def stop_by(check: Callable[[], None]) -> Iterator[None]:
    """Let `check` decide about the work inside this context. It raises Stopped where the work must end.

    Only this thread and its coroutines are meant, not other threads.

    >>> def out_of_time():
    ...     raise Stopped("Stopped after 1 s.")
    >>> with stop_by(out_of_time):
    ...     check_stop()
    Traceback (most recent call last):
    core.stopping.Stopped: Stopped after 1 s.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


@contextmanager
def never_stop() -> Iterator[None]:
    """A context in which nothing ends the work, because others wait for it too."""
    token = _check.set(None)
    try:
        yield
    finally:
        _check.reset(token)


def check_stop() -> None:
    """Raise Stopped if the work of this thread must end. Cheap: it is called before every pass through a network."""
    check = _check.get()
    if check is not None:
        check()


def must_stop() -> bool:
    """Whether the work of this thread must end, for code that ends itself.

    >>> must_stop()
    False
    """
    try:
        check_stop()
    except Stopped:
        return True
    return False
