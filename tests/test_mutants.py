"""The defects of tests/mutants.py can still be put in; whether they are found takes minutes: python -m tests.mutants."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("mutants", Path(__file__).with_name("mutants.py"))
assert spec
assert spec.loader
mutants = importlib.util.module_from_spec(spec)
sys.modules["mutants"] = mutants  # where dataclasses look up their own module
spec.loader.exec_module(mutants)


def test_what_they_replace_occurs_once() -> None:
    assert {m.name: n for m in mutants.MUTANTS if (n := mutants.occurrences(m)) != 1} == {}


def test_their_tests_exist_and_their_names_are_unique() -> None:
    for mutant in mutants.MUTANTS:
        file, _, test = mutant.tests.partition("::")
        assert f"def {test}" in (mutants.ROOT / "tests" / file).read_text(encoding="utf-8"), mutant.tests
    assert len({mutant.name for mutant in mutants.MUTANTS}) == len(mutants.MUTANTS) >= 25
