"""Find and replace Python code by its syntax: a pattern does not depend on the names of local variables.

A pattern is Python source: an expression or a statement. A name of one capital letter, with or without a number (`X`, `X1`), is
a metavariable. It matches any expression, and the same expression wherever it occurs. Everything else matches literally:
functions, attributes, keywords and constants. A pattern may have more statements. All but the last are context: they only
say what the metavariables stand for. They match statements anywhere in the same place.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass

METAVARIABLE = re.compile(r"[A-Z]\d*")
IGNORED_FIELDS = {"ctx", "kind", "type_comment", "type_params"}  # they do not show in the source of an expression

Bindings = dict[str, ast.expr]


@dataclass(frozen=True)
class Match:
    """The node that the last part of a pattern matches, and the expression that each metavariable stands for."""

    node: ast.AST
    bindings: Bindings


def find_scope(tree: ast.Module, path: str) -> ast.AST:
    """The function or class of a dotted path, such as "Class.method". An empty path is the whole module.

    Raises LookupError if the path does not name exactly one.
    """
    scope: ast.AST = tree
    for name in path.split(".") if path else []:
        definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        named = [node for node in ast.iter_child_nodes(scope) if isinstance(node, definitions) and node.name == name]
        if len(named) != 1:
            raise LookupError(f"{path}: {len(named)} definitions of {name}")
        scope = named[0]
    return scope


def find_matches(scope: ast.AST, pattern: str) -> list[Match]:
    """Every node inside a scope that matches a pattern."""
    *context, last = _parse(pattern)
    found: list[Bindings] = [{}]
    for statement in context:
        found = [bindings for earlier in found for _, bindings in _search(scope, statement, earlier)]
    return [Match(node, bindings) for earlier in found for node, bindings in _search(scope, last, earlier)]


def replace_match(source: str, match: Match, replacement: str) -> str:
    """The source of a module with one match replaced.

    Args:
        source: The source that the match was found in.
        match: What to replace.
        replacement: An expression for an expression, or statements for a statement. Metavariables stand for the expressions
            of the match.
    """
    filled = [_Filler(match.bindings).visit(part) for part in _parse(replacement)]
    node = match.node
    assert isinstance(node, (ast.expr, ast.stmt))
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    if isinstance(node, ast.expr):
        (expression,) = filled
        code = f"({ast.unparse(expression)})"
    else:
        code = ("\n" + " " * node.col_offset).join("\n".join(map(ast.unparse, filled)).splitlines())
    lines = source.encode().splitlines(keepends=True)  # columns of syntax trees count bytes
    before = b"".join(lines[: node.lineno - 1]) + lines[node.lineno - 1][: node.col_offset]
    after = lines[node.end_lineno - 1][node.end_col_offset :] + b"".join(lines[node.end_lineno :])
    return (before + code.encode() + after).decode()


def _parse(pattern: str) -> list[ast.AST]:
    """The statements of a pattern. An expression alone is not a statement, so that it matches inside statements."""
    body = ast.parse(pattern).body
    return [node.value if isinstance(node, ast.Expr) else node for node in body]


def _search(scope: ast.AST, pattern: ast.AST, earlier: Bindings) -> Iterator[tuple[ast.AST, Bindings]]:
    """The nodes inside a scope that match one part of a pattern, each with all bindings."""
    for node in ast.walk(scope):
        bindings = dict(earlier)
        if _equal(pattern, node, bindings):
            yield node, bindings


def _equal(pattern: object, node: object, bindings: Bindings) -> bool:
    """Whether a node matches a pattern. Adds the metavariables to `bindings`."""
    if isinstance(pattern, ast.Name) and METAVARIABLE.fullmatch(pattern.id):
        if not isinstance(node, ast.expr):
            return False
        return ast.unparse(bindings.setdefault(pattern.id, node)) == ast.unparse(node)
    if type(pattern) is not type(node):
        return False
    if isinstance(pattern, list) and isinstance(node, list):
        return len(pattern) == len(node) and all(_equal(*pair, bindings) for pair in zip(pattern, node, strict=True))
    if isinstance(pattern, ast.AST):
        fields = set(pattern._fields) - IGNORED_FIELDS
        return all(_equal(getattr(pattern, field), getattr(node, field), bindings) for field in sorted(fields))
    return pattern == node


class _Filler(ast.NodeTransformer):
    """Puts expressions in the place of metavariables."""

    def __init__(self, bindings: Bindings) -> None:
        self.bindings = bindings

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return copy.deepcopy(self.bindings[node.id]) if METAVARIABLE.fullmatch(node.id) else node
