"""Classes of failure decide by codes: no module of theirs looks into a sentence."""

from __future__ import annotations

import ast

from tests import rooms

SENTENCES = {"error", "message", "hint"}
LOOKS = {"startswith", "endswith", "find", "index", "count", "partition", "split", "lower", "replace"}


def _is_sentence(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in SENTENCES


def _looks(node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = {alias.name for alias in node.names} | {getattr(node, "module", "")}
        return bool(names & {"re", "fnmatch", "difflib"})
    if isinstance(node, ast.Compare):
        return any(_is_sentence(each) for each in (node.left, *node.comparators))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in LOOKS and _is_sentence(node.func.value)
    return False


def test_no_runbook_matches_text() -> None:
    modules = [(name, tree) for name, tree in rooms.sources() if name.startswith("servers/runbooks/")]
    assert len(modules) > 10
    found = [f"{name}: {ast.unparse(n)}" for name, tree in modules for n in ast.walk(tree) if _looks(n)]
    assert found == []
