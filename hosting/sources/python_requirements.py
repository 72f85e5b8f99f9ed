"""Lists of requirements for pip, under the names that people give them, and those within a script."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hosting.errors import SourceError
from hosting.sources import manifests

USUAL = ("requirements.txt", "requirements.in")
# The usual names in a directory of requirements, the first that is there.
IN_DIRECTORY = ("requirements", "prod", "production", "main", "base", "common", "default")
CONSTRAINTS = ("constraints.txt", "constraints.in")


@dataclass(frozen=True)
class Listed:
    """`name` is the list, `constraints` what stands beside it and bounds it."""

    name: str
    constraints: tuple[str, ...]
    why: tuple[str, ...]


def find(path: Path) -> Listed | None:
    """None where there is none. Raises `SourceError` where several may be meant."""
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
    """The list that a group of that name is. Raises `SourceError`."""
    for name in (f"requirements/{group}.txt", f"requirements-{group}.txt", f"requirements_{group}.txt"):
        if manifests.has(path, name):
            return name
    raise SourceError(
        f"The project has no group “{group}”.", hint=f"Looked for requirements/{group}.txt and the like."
    )


def files(path: Path, names: Iterable[str]) -> tuple[str, ...]:
    """The lists with those that they include; () where one needs more of the source than those."""
    found: dict[str, None] = {}
    for name in names:
        included = manifests.requirement_files(path, name)
        if not included:
            return ()
        found |= dict.fromkeys(included)
    return tuple(found)


def says_something(path: Path, names: Iterable[str]) -> bool:
    return any(manifests.requirement_lines(manifests.read(path, name)) for name in names)
