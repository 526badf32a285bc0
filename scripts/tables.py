"""The tables of README and of docs/DATA.md, made from the registries. `python -m scripts.tables` writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from core import formats
from core.deep import RANGES
from core.folders import SYSTEM_FILES
from explain import METHODS
from models import MODELS
from training import layouts, listing, tables, youtube_links

README = Path(__file__).parents[1] / "README.md"
DATA = README.parent / "docs" / "DATA.md"


def format_methods() -> str:
    """The table of methods, in Markdown."""
    rows = [f"| `{m.name}` | {m.family} | {m.summary} | {m.cost} | [{m.paper}]({m.link}) |" for m in METHODS.values()]
    return "\n".join(["| method | family | what it shows | cost | paper |", "|---|---|---|---|---|", *rows])


def format_models() -> str:
    """The table of models, in Markdown."""
    rows = [
        f"| `{name}` | {m.title} | {m.parameters / 1e6:.1f} M | {m.input} | {m.head or f'{m.top1} / {m.top5}'} | {m.weights} "
        f"| {m.licence} |"
        for name, m in MODELS.items()
    ]
    head = "| model | | parameters | input | top-1 / top-5 % (publisher), or as measured | weights | licence |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def format_rows(head: str, rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown. `head`: the titles of the columns, with | between them."""
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([f"| {head} |", "|---" * (head.count("|") + 1) + "|", *lines])


def format_splits() -> str:
    """The names of splits and of the columns of tables."""
    splits = [(split, ", ".join(names)) for split, names in listing.SPLIT_NAMES.items()]
    endings = ", ".join(filter(None, listing.SPLIT_ENDINGS))
    columns = (
        ("column of the path", tables.PATH_COLUMNS), ("column of the label", tables.LABEL_COLUMNS),
        ("column of the split", tables.SPLIT_COLUMNS),
    )  # fmt: skip
    return format_rows(
        "meaning | names, in any case",
        [
            *((f"split: {split}", f"{names}; also followed by {endings}") for split, names in splits),
            *((meaning, ", ".join(names)) for meaning, names in columns),
            ("tables", ", ".join(tables.SUFFIXES)),
            ("left out as hidden", "names that begin with a full stop, " + ", ".join(SYSTEM_FILES)),
        ],
    )


def format_pictures() -> str:
    """The formats that are read."""
    return format_rows(
        "format | suffixes | what is read",
        [(entry.title, ", ".join(entry.suffixes), entry.about) for entry in formats.ALL],
    )


def replace_tables(text: str) -> str:
    """The text of README with both tables made again from the registries."""
    return _replace(text, {"methods": format_methods(), "models": format_models()})


def replace_data_tables(text: str) -> str:
    """The text of docs/DATA.md with all tables made again."""
    ranges = ", ".join(f"{black:.0f} to {white:.0f}" for black, white in RANGES)
    return _replace(
        text,
        {
            "layouts": format_rows("layout | what it means", layouts.LAYOUTS),
            "names": format_splits(),
            "formats": format_pictures(),
            "ranges": f"The ranges are {ranges}, and -1 to 1.",
            "unread": format_rows(
                "what it is | what to do", [(entry.title, entry.way_out) for entry in formats.UNREAD]
            ),
            "links": format_rows("link | what it stands for", youtube_links.LINKS),
        },
    )


def _replace(text: str, parts: Mapping[str, str]) -> str:
    for name, table in parts.items():
        before, opening, rest = text.partition(f"<!-- {name} -->\n")
        _, closing, after = rest.partition(f"<!-- /{name} -->")
        if not (opening and closing):
            raise ValueError(f"There is no place for the table of {name}")
        text = before + opening + table + "\n" + closing + after
    return text


if __name__ == "__main__":
    README.write_text(replace_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
    DATA.write_text(replace_data_tables(DATA.read_text(encoding="utf-8")), encoding="utf-8")
