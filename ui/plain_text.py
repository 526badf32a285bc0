"""Names that a stranger chose, in texts that are Markdown: a trained head that is passed on has them."""

from __future__ import annotations

import re

_SIGNS = re.compile(r"[\\`*_\[\]<>#!|~$&:@]")


def plain(text: str) -> str:
    r"""The text as Markdown that shows it letter by letter: no picture, no link, no tag, no formatting.

    >>> print(plain("![a](http://b/c.png) snake_case"))
    \!\[a\](http\://b/c.png) snake\_case
    """
    return _SIGNS.sub(lambda sign: f"\\{sign[0]}", " ".join(text.split()))
