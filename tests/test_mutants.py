"""The defects of tests/mutants.py can be put in. Whether tests find them takes minutes: python -m tests.mutants."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from tests.mutants import MUTANTS, ROOT, Mutant, find_in, mutate
from tests.patterns import find_matches, find_scope, replace_match

every_mutant = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


@cache
def source_of(mutant: Mutant) -> str:
    return (ROOT / mutant.file).read_text(encoding="utf-8")


class Renamer(ast.NodeTransformer):
    """Renames all local variables and parameters of every function, also in the functions inside it."""

    def __init__(self) -> None:
        self.renamed: set[str] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        outside = self.renamed
        names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
        names |= {argument.arg for argument in ast.walk(node) if isinstance(argument, ast.arg)}
        self.renamed = outside | names - {"self", "cls"}
        self.generic_visit(node)
        self.renamed = outside
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(f"renamed_{node.id}", node.ctx) if node.id in self.renamed else node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        self.generic_visit(node)
        node.arg = f"renamed_{node.arg}" if node.arg in self.renamed else node.arg
        return node


def rename_locals(source: str) -> str:
    return ast.unparse(Renamer().visit(ast.parse(source)))


@every_mutant
def test_what_it_replaces_occurs_once_and_the_file_still_parses(mutant: Mutant) -> None:
    source = source_of(mutant)
    assert len(find_in(mutant, source)) == 1
    mutated = mutate(mutant, source)
    assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(source))
    compile(mutated, mutant.file, "exec")


@every_mutant
def test_a_rename_of_local_variables_does_not_break_it(mutant: Mutant) -> None:
    """It does not matter whether the variables are renamed first or the defect is put in first."""
    source = source_of(mutant)
    renamed = rename_locals(source)
    assert "renamed_" in renamed
    assert len(find_in(mutant, renamed)) == 1
    assert ast.unparse(ast.parse(mutate(mutant, renamed))) == rename_locals(mutate(mutant, source))


@every_mutant
def test_its_tests_exist(mutant: Mutant) -> None:
    file, _, test = mutant.tests.partition("::")
    definitions = [
        node.name
        for node in ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    ]
    assert test in definitions if test else any(name.startswith("test_") for name in definitions)


def test_names_are_unique_and_every_room_has_a_mutant() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 59
    rooms = {mutant.file.split("/")[0] for mutant in MUTANTS}
    assert rooms == {"core", "models", "explain", "training", "robustness", "visualise", "audit", "capture"}


def test_metavariables_match_any_expression_but_the_same_one() -> None:
    tree = ast.parse("a = f(x + 1, x + 1)\nb = f(x, y)\nc = g(x, x)")
    assert [ast.unparse(match.bindings["X"]) for match in find_matches(tree, "f(X, X)")] == ["x + 1"]
    assert len(find_matches(tree, "f(X, Y)")) == 2
    assert find_matches(tree, "f(X, 2)") == []
    assert len(find_matches(tree, "F(X, X)")) == 2


def test_a_replacement_keeps_its_indentation_and_its_precedence() -> None:
    source = 'class A:\n    def f(self, n):\n        n -= n.mean(0)\n        return "ä" * (n + 1)\n'
    scope = find_scope(ast.parse(source), "A.f")
    (statement,) = find_matches(scope, "N -= N.mean(0)")
    (expression,) = find_matches(scope, "N -= N.mean(0)\nX * (N + 1)")
    assert "n = 0\n        n = 1\n        return" in replace_match(source, statement, "N = 0\nN = 1")
    assert ast.unparse(ast.parse(replace_match(source, expression, "X + N"))).endswith("return 'ä' + n")
    assert "return 'ä' * (n - 1)" in ast.unparse(
        ast.parse(replace_match(source, find_matches(scope, "N + 1")[0], "N - 1"))
    )
    with pytest.raises(LookupError):
        find_scope(ast.parse(source), "A.g")
