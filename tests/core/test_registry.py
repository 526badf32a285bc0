"""A register of methods: its order, and names that are written in another way or misspelt."""

from __future__ import annotations

import pytest

from core.errors import UnknownNameError
from core.registry import Registry


@pytest.fixture
def tools() -> Registry[dict]:
    register: Registry[dict] = Registry("tool", dict)
    for name in ("big-saw", "axe"):
        register.register(name, weight=len(name))(len)
    return register


def test_entries_keep_the_order_in_which_they_were_registered(tools: Registry[dict]) -> None:
    assert list(tools) == ["big-saw", "axe"]
    assert tools["axe"] == {"name": "axe", "function": len, "weight": 3}


@pytest.mark.parametrize("name", ["big-saw", "BIG_SAW", " Big-Saw "])
def test_case_and_underscores_do_not_matter(tools: Registry[dict], name: str) -> None:
    assert tools.find(name)["name"] == "big-saw"


def test_a_misspelt_name_gives_a_suggestion(tools: Registry[dict]) -> None:
    with pytest.raises(UnknownNameError, match="There is no tool 'bigsaw'; did you mean 'big-saw'"):
        tools.find("bigsaw")


def test_the_decorator_returns_the_function_itself(tools: Registry[dict]) -> None:
    assert tools.register("plane")(len) is len
