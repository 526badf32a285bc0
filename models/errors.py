"""What a user can get wrong. Every message is one sentence that says what to do; it is shown as it is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake of the user's; its text is meant for them."""


class PictureError(UserError):
    """Something that was given as a picture and cannot be used as one."""


class ModelError(UserError):
    """A model or weights file that cannot be used, or a method that this model does not allow."""


class UnknownNameError(UserError):
    """A model, method, class, option or colour map that does not exist."""


def unknown(what: str, name: object, choices: Iterable[str]) -> UnknownNameError:
    """The error for a name that is not among `choices`, with the nearest ones (or all, if they are few)."""
    choices = list(choices)
    folded = {choice.casefold(): choice for choice in choices}
    near = [folded[key] for key in difflib.get_close_matches(str(name).casefold(), folded, n=3, cutoff=0.6)]
    near = near or [choice for key, choice in folded.items() if str(name).casefold() in key][:3] if name else near
    if near:
        return UnknownNameError(f"There is no {what} '{name}'; did you mean {' or '.join(repr(n) for n in near)}?")
    if len(choices) <= 30:
        return UnknownNameError(f"There is no {what} '{name}'; choose one of: {', '.join(choices) or 'none'}.")
    return UnknownNameError(f"There is no {what} '{name}' among the {len(choices)}; check its spelling.")
