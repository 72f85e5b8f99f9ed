"""The rooms of the house, as the import contracts name them (`pyproject.toml`): none can be forgotten."""

from __future__ import annotations

import ast
import functools
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
ROOMS: tuple[str, ...] = tuple(CONTRACTS["root_packages"])


@functools.cache
def sources() -> tuple[tuple[str, ast.Module], ...]:
    """Every module of the house but migrations: its path within the repository, and what it says."""
    paths = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return tuple(
        (path.relative_to(ROOT).as_posix(), ast.parse(path.read_text()))
        for path in paths
        if "migrations" not in path.parts
    )
