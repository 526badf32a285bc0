"""Mistakes that a user can make.

Every message is one sentence that says what to do. Commands and pages show it unchanged.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake of the user. The message is written for the user."""


class PictureError(UserError):
    """An input that cannot be used as a picture."""


class ModelError(UserError):
    """A model or a weights file that cannot be used, or a method that does not work with this model."""


class UnknownNameError(UserError):
    """The name of a model, method, class, option or colour map that does not exist."""


def describe_error(error: BaseException) -> str:
    """The message of another library's exception as a part of a sentence: its first line, without the full stop.

    >>> describe_error(OSError("disk full.\\nTry again."))
    'disk full'
    """
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line).strip() for line in str(error).splitlines()]
    return next((line.rstrip(".:") for line in lines if line), type(error).__name__)


def unknown(kind: str, name: object, choices: Iterable[str]) -> UnknownNameError:
    """The error for a name that is not among `choices`.

    Args:
        kind: What the name stands for, such as "model".
        name: The name as the user wrote it.
        choices: The names that exist.

    Returns:
        An error with the most similar names. Without a similar name it lists all, if there are at most 50.

    >>> print(unknown("method", "gradcam", ["grad-cam", "saliency"]))
    There is no method 'gradcam'; did you mean 'grad-cam'?
    """
    choices = list(choices)
    folded = {choice.casefold(): choice for choice in choices}
    wanted = str(name).strip().casefold()
    # A whole word comes first: "horn" more likely means "French horn" than a misspelt "corn".
    keys = [key for key in folded if wanted in key.split()] + difflib.get_close_matches(wanted, folded, n=3, cutoff=0.6)
    keys = keys or [key for key in folded if wanted and wanted in key]
    near = [repr(folded[key]) for key in dict.fromkeys(keys)][:3]
    if near:
        return UnknownNameError(f"There is no {kind} '{name}'; did you mean {' or '.join(near)}?")
    if len(choices) <= 50:
        return UnknownNameError(f"There is no {kind} '{name}'; choose one of: {', '.join(choices) or 'none'}.")
    return UnknownNameError(f"There is no {kind} '{name}' among the {len(choices)} choices; check its spelling.")
