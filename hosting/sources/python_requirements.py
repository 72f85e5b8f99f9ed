"""Finds the requirements files of a Python project under their usual names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hosting.errors import SourceError
from hosting.sources import manifests

USUAL = ("requirements.txt", "requirements.in")
# The usual names in a directory of requirements; the first that exists is taken.
IN_DIRECTORY = ("requirements", "prod", "production", "main", "base", "common", "default")
CONSTRAINTS = ("constraints.txt", "constraints.in")


@dataclass(frozen=True)
class Listed:
    """A requirements file. `name` is its path, `constraints` are the files beside it that bound versions."""

    name: str
    constraints: tuple[str, ...]
    why: tuple[str, ...]


def find(path: Path) -> Listed | None:
    """Returns the requirements file of the directory; None if there is none.

    Raises `SourceError` if several could be meant.
    """
    name = next((name for name in USUAL if manifests.has(path, name)), "") or _in_directory(path)
    if not name:
        return None
    included = manifests.requirement_lines(manifests.read(path, name))
    bounds = [each for each in CONSTRAINTS if manifests.has(path, each)][:1]
    bounds = [each for each in bounds if not any(each in line for line in included)]
    return Listed(name, tuple(bounds), (f"{' with '.join([name, *bounds])} found",))


def _in_directory(path: Path) -> str:
    there = [f"requirements/{name}.{kind}" for kind in ("txt", "in") for name in IN_DIRECTORY]
    if found := next((name for name in there if manifests.has(path, name)), ""):
        return found
    others = sorted(each.name for each in (path / "requirements").glob("*.txt"))
    if len(others) > 1:
        raise SourceError(
            f"Which list of requirements is meant is not clear: requirements/ has {', '.join(others[:10])}.",
            hint="Add a requirements.txt that includes the right one with -r.",
        )
    return f"requirements/{others[0]}" if others and manifests.has(path, f"requirements/{others[0]}") else ""


def of_group(path: Path, group: str) -> str:
    """Returns the requirements file for the dependency group `group`.

    Raises `SourceError` if there is none.
    """
    for name in (f"requirements/{group}.txt", f"requirements-{group}.txt", f"requirements_{group}.txt"):
        if manifests.has(path, name):
            return name
    raise SourceError(
        f"The project has no group “{group}”.", hint=f"Looked for requirements/{group}.txt and the like."
    )


def files(path: Path, names: Iterable[str]) -> tuple[str, ...]:
    """Returns the files and those that they include; () if one refers to other parts of the source."""
    found: dict[str, None] = {}
    for name in names:
        included = manifests.requirement_files(path, name)
        if not included:
            return ()
        found |= dict.fromkeys(included)
    return tuple(found)


def says_something(path: Path, names: Iterable[str]) -> bool:
    """Tells whether one of the files holds a requirement."""
    return any(manifests.requirement_lines(manifests.read(path, name)) for name in names)
