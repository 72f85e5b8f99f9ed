"""Reads setup.cfg and setup.py as text. setup.py is a program; it is not run to recognise a project."""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hosting.errors import SourceError
from hosting.sources import manifests

MAX_PROGRAM = 256 << 10


@dataclass(frozen=True)
class Metadata:
    """`scripts` are (command, `module:function`) pairs; `file` is the file that they come from."""

    file: str
    name: str = ""
    scripts: tuple[tuple[str, str], ...] = ()
    python: str = ""


def read(path: Path) -> Metadata | None:
    """Reads setup.cfg and setup.py; None if neither describes a project. Raises `SourceError`."""
    config = _config(path) if manifests.has(path, "setup.cfg") else None
    program = _program(path) if manifests.has(path, "setup.py") else None
    if program is None:
        return config if config and config.name else None
    if config is None:
        return program
    file = config.file if config.scripts else program.file
    return Metadata(
        file, config.name or program.name, config.scripts or program.scripts, config.python or program.python
    )


def _config(path: Path) -> Metadata:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(manifests.read(path, "setup.cfg"))
    except configparser.Error as error:
        raise SourceError(f"setup.cfg cannot be read: {str(error).splitlines()[0]}.") from None
    scripts = parser.get("options.entry_points", "console_scripts", fallback="")
    return Metadata(
        "setup.cfg",
        parser.get("metadata", "name", fallback="").strip(),
        _pairs(scripts.splitlines()),
        parser.get("options", "python_requires", fallback="").strip(),
    )


def _pairs(lines: Iterable[str]) -> tuple[tuple[str, str], ...]:
    split = (line.partition("=") for line in lines if "=" in line and not line.strip().startswith("#"))
    return tuple((name.strip(), target.strip()) for name, _, target in split)


def _program(path: Path) -> Metadata:
    """Returns the literal arguments of the call `setup(…)`; computed ones are known only to a build."""
    text = manifests.read(path, "setup.py")
    given: dict[str, ast.expr] = {}
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.Call) and _is_setup(node.func):
            given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    points = _literal(given.get("entry_points"))
    listed = points.get("console_scripts", ()) if isinstance(points, dict) else _section(points)
    lines = listed.splitlines() if isinstance(listed, str) else listed
    return Metadata(
        "setup.py",
        _text(given.get("name")),
        _pairs(map(str, lines) if isinstance(lines, (list, tuple)) else ()),
        _text(given.get("python_requires")),
    )


def parsed(text: str) -> ast.AST:
    """Returns the syntax tree of a module; an empty module for invalid or very large text."""
    try:
        return ast.parse(text if len(text) <= MAX_PROGRAM else "")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _is_setup(function: ast.expr) -> bool:
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    return name == "setup"


def _literal(node: ast.expr | None) -> object:
    try:
        return ast.literal_eval(node) if node else None
    except (ValueError, TypeError, RecursionError, MemoryError, SyntaxError):
        return None


def _text(node: ast.expr | None) -> str:
    found = _literal(node)
    return found if isinstance(found, str) else ""


def _section(points: object) -> str:
    """Returns [console_scripts] of entry points that are given as the text of an INI file."""
    _, _, rest = str(points or "").partition("[console_scripts]")
    return rest.partition("\n[")[0]
