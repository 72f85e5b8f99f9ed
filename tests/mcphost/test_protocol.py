"""The constants of MCP stand in one file, which Python, Node and the console's page read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from bridge import protocol
from tests.rooms import ROOT, sources

SCRIPTS = (
    "bridge/bridge.mjs",
    *(path.relative_to(ROOT).as_posix() for path in ROOT.glob("static/mcphost/*.js")),
)
COMMENT = re.compile(r"^\s*(//|/?\*).*$|\s// .*$", re.MULTILINE)
VERSION = re.compile(r"\b20\d\d-\d\d-\d\d\b")
KEY = "io.modelcontextprotocol/"


def texts() -> Iterator[tuple[str, str]]:
    """What the code says, without what it says about itself."""
    for path, module in sources():
        about = {id(node.body[0].value) for node in ast.walk(module) if _has_docstring(node)}
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in about:
                yield path, node.value
    for script in SCRIPTS:
        yield script, COMMENT.sub("", (ROOT / script).read_text())


def _has_docstring(node: ast.AST) -> bool:
    holds = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    return holds and ast.get_docstring(node, clean=False) is not None


def test_nothing_else_names_a_version_or_a_key_of_the_envelope() -> None:
    known = {*protocol.LEGACY_VERSIONS, *protocol.MODERN_VERSIONS}
    for path, text in texts():
        named = known.intersection(VERSION.findall(text))
        assert not named, f"{path} names {named}: bridge/protocol.json does"
        assert f"{KEY}protocolVersion" not in text, f"{path} names a key that bridge/protocol.json names"


def test_versions_are_listed_oldest_first() -> None:
    versions = [*protocol.LEGACY_VERSIONS, *protocol.MODERN_VERSIONS]
    assert versions == sorted(versions)
    assert set(protocol.PRIMED_VERSIONS) <= set(protocol.LEGACY_VERSIONS)


@pytest.mark.parametrize("version", ["2026-07-28", "2027-01-01", "draft"])
def test_an_unknown_version_is_modern(version: str) -> None:
    assert protocol.is_modern(version)
    assert not protocol.is_modern("2025-11-25")


def test_each_status_is_that_of_an_error() -> None:
    assert set(protocol.DOCUMENT["statuses"]) <= set(protocol.DOCUMENT["errors"])
    assert (protocol.STATUSES[-32601], protocol.STATUSES[-32020], protocol.STATUSES.get(-32603)) == (
        404,
        400,
        None,
    )
