"""What a Python file says of itself, read as text: its metadata (PEP 723), and whether it serves MCP."""

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
class Looked:
    """`imports`: it uses an SDK of MCP. `server`: the name of its server object. `runs`: started, it does
    something."""

    imports: bool = False
    server: str = ""
    runs: bool = False


def look(path: Path, name: str) -> Looked:
    tree = parsed(manifests.read(path, name))
    nodes = list(ast.walk(tree))
    body = tree.body if isinstance(tree, ast.Module) else []
    return Looked(
        any(_is_of_sdk(node) for node in nodes),
        next((name for node in body if (name := _server(node))), ""),
        any(_starts(node) for node in nodes),
    )


def _is_of_sdk(node: ast.AST) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
    return any(name.partition(".")[0] in PACKAGES for name in names)


def _server(node: ast.AST) -> str:
    """The name that a module gives to a server of the SDK at its top."""
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
    """The metadata of a block `# /// script`; None where there is no such block. Raises `SourceError`."""
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
