"""The tables of README, made from the registers: python -m docs.tables rewrites them in place."""

from __future__ import annotations

from pathlib import Path

from explain import METHODS
from models import MODELS

README = Path(__file__).parents[1] / "README.md"


def methods() -> str:
    """The table of methods, in Markdown."""
    rows = [f"| `{m.name}` | {m.family} | {m.summary} | {m.cost} | {m.paper} |" for m in METHODS.values()]
    return "\n".join(["| method | family | what it shows | cost | paper |", "|---|---|---|---|---|", *rows])


def models() -> str:
    """The table of models, in Markdown."""
    rows = [
        f"| `{name}` | {m.title} | {m.parameters / 1e6:.1f} M | {m.input} | {m.head or f'{m.top1} / {m.top5}'} | {m.weights} "
        f"| {m.licence} |"
        for name, m in MODELS.items()
    ]
    head = "| model | | parameters | input | top-1 / top-5 % (publisher), or as measured | weights | licence |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def renewed(text: str) -> str:
    """README with both tables as the registers have them now."""
    for name, table in (("methods", methods()), ("models", models())):
        before, found, rest = text.partition(f"<!-- {name} -->\n")
        _, closing, after = rest.partition(f"<!-- /{name} -->")
        if not (found and closing):
            raise ValueError(f"README has no place for the table of {name}")
        text = before + found + table + "\n" + closing + after
    return text


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
