"""What a user can get wrong. Every message is one sentence that says what to do; it is shown as it is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake of the user's; its text is meant for them."""


class PictureError(UserError):
    """Something that was given as a picture and cannot be used as one."""


class ModelError(UserError):
    """A model or weights file that cannot be used, or a method that this model does not allow."""


class UnknownNameError(UserError):
    """A model, method, class, option or colour map that does not exist."""


def reason(error: BaseException) -> str:
    """What an exception of another library says, in one line without its full stop: to be put into a sentence."""
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line).strip() for line in str(error).splitlines()]
    return next((line.rstrip(".:") for line in lines if line), type(error).__name__)


def unknown(what: str, name: object, choices: Iterable[str]) -> UnknownNameError:
    """The error for a name that is not among `choices`, with the nearest ones (or all, if they are few)."""
    choices = list(choices)
    folded = {choice.casefold(): choice for choice in choices}
    wanted = str(name).strip().casefold()
    # "horn" is rather one word of "French horn" than a misspelt "corn".
    keys = [key for key in folded if wanted in key.split()] + difflib.get_close_matches(wanted, folded, n=3, cutoff=0.6)
    keys = keys or [key for key in folded if wanted and wanted in key]
    near = [repr(folded[key]) for key in dict.fromkeys(keys)][:3]
    if near:
        return UnknownNameError(f"There is no {what} '{name}'; did you mean {' or '.join(near)}?")
    if len(choices) <= 30:
        return UnknownNameError(f"There is no {what} '{name}'; choose one of: {', '.join(choices) or 'none'}.")
    return UnknownNameError(f"There is no {what} '{name}' among the {len(choices)}; check its spelling.")
