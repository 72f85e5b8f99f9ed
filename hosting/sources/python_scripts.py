"""Reads a Python file as text: its inline metadata (PEP 723), and whether it makes an MCP server."""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hosting.errors import SourceError
from hosting.sources import manifests
from hosting.sources.python_setuptools import parsed

SERVERS = {"FastMCP", "MCPServer"}
PACKAGES = ("mcp", "fastmcp")


@dataclass(frozen=True)
class ScriptFacts:
    """`imports`: the file imports an MCP SDK. `server`: the variable that holds its server, "" for none.

    `runs`: the file starts something when it is run.
    """

    imports: bool = False
    server: str = ""
    runs: bool = False


def read_script(path: Path, name: str) -> ScriptFacts:
    """Parses the file `name`; a file that is no valid Python gives empty facts. Raises `SourceError`."""
    tree = parsed(manifests.read(path, name))
    nodes = list(ast.walk(tree))
    body = tree.body if isinstance(tree, ast.Module) else []
    return ScriptFacts(
        any(_is_of_sdk(node) for node in nodes),
        next((name for node in body if (name := _server(node))), ""),
        any(_starts(node) for node in nodes),
    )


def _is_of_sdk(node: ast.AST) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
    return any(name.partition(".")[0] in PACKAGES for name in names)


def _server(node: ast.AST) -> str:
    """Returns the variable at the top of a module that holds a server of the SDK; "" for none."""
    value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
    if not isinstance(value, ast.Call):
        return ""
    made = value.func.id if isinstance(value.func, ast.Name) else getattr(value.func, "attr", "")
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return target.id if made in SERVERS and isinstance(target, ast.Name) else ""


def _starts(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return any(isinstance(each, ast.Name) and each.id == "__name__" for each in ast.walk(node.test))
    function = node.func if isinstance(node, ast.Call) else None
    return isinstance(function, ast.Attribute) and function.attr.startswith("run")


def inline(path: Path, name: str) -> dict[str, Any] | None:
    """Returns the metadata of the block `# /// script` (PEP 723); None if there is no such block.

    Raises `SourceError` if the block cannot be read.
    """
    lines: list[str] | None = None
    for line in manifests.read(path, name).splitlines():
        if lines is None:
            lines = [] if line.rstrip() == "# /// script" else None
        elif line.rstrip() == "# ///":
            return _metadata("\n".join(lines), name)
        elif not line.startswith("#"):
            return None
        else:
            lines.append(line[2:] if line.startswith("# ") else line[1:])
    return None


def _metadata(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SourceError(f"The block “# /// script” of {name} cannot be read: {error}.") from None
