"""Reads dependency manifests of a build context: what they say, never more than the context holds."""

from __future__ import annotations

import codecs
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from hosting.errors import SourceError
from hosting.sources import subdirectory

MAX_BYTES = 2 << 20
MAX_LOCK = 8 << 20
INCLUDE = re.compile(r"^(?:-r|--requirement|-c|--constraint)(?:\s+|=)?(?P<file>\S+)")
LOCAL = re.compile(r"^(?:-e|--editable|\.|/|file:)|@\s*file:")


def has(context: Path, name: str) -> bool:
    """Whether `name` is a file of the context: a symlink that leads out of it is not."""
    path = context / name
    try:
        return path.is_file() and path.resolve().is_relative_to(context.resolve())
    except OSError:  # no name that a file can have
        return False


def read(context: Path, name: str, most: int = MAX_BYTES) -> str:
    """UTF-8, or what a byte order mark says: shells of Windows write UTF-16. Raises `SourceError`."""
    path = context / name
    if path.stat().st_size > most:
        raise SourceError(f"{name} is too large to be read.")
    data = path.read_bytes()
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if marked else "utf-8-sig", "replace")


def pyproject(context: Path) -> dict[str, Any]:
    """The tables of pyproject.toml; {} where there is none. Raises `SourceError`."""
    return toml(context, "pyproject.toml")


def toml(context: Path, name: str, most: int = MAX_BYTES) -> dict[str, Any]:
    """The tables of a file of that kind; {} where there is none. Raises `SourceError`."""
    if not has(context, name):
        return {}
    try:
        return tomllib.loads(read(context, name, most))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SourceError(f"{name} cannot be read: {error}.") from None


def table(data: dict[str, Any], name: str) -> dict[str, Any]:
    """The table or object `name`, {} where it is missing or something else."""
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def tables(data: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The tables or objects of the list `name`; what is something else is passed over."""
    found = data.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def texts(data: dict[str, Any], name: str) -> tuple[str, ...]:
    """The texts of the list `name`."""
    found = data.get(name)
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()


def within(data: dict[str, Any], *names: str) -> dict[str, Any]:
    """The table at the end of a row of names: `tool`, `poetry`, `dependencies`."""
    for name in names:
        data = table(data, name)
    return data


def dependencies(project: dict[str, Any]) -> list[str]:
    """What the table [project] depends on. Raises `SourceError`."""
    found = project.get("dependencies", [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise SourceError("pyproject.toml cannot be read: dependencies must be a list of strings.")
    return found


def package_json(context: Path) -> dict[str, Any]:
    """package.json; {} where there is none. Raises `SourceError`."""
    if not has(context, "package.json"):
        return {}
    try:
        found = json.loads(read(context, "package.json"))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"package.json cannot be read: {error}.") from None
    if not isinstance(found, dict):
        raise SourceError("package.json does not hold an object.")
    return found


def requirement_lines(text: str) -> list[str]:
    """The lines of a requirements file that say something."""
    stripped = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return [line for line in stripped if line]


def requirement_files(context: Path, name: str = "requirements.txt") -> tuple[str, ...]:
    """`name` and the files that it includes; () where it needs more of the context than those."""
    found: list[str] = []
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        if not has(context, current):
            raise SourceError(f"{name} includes {current}, which is not there.")
        found.append(current)
        lines = requirement_lines(read(context, current))
        if any(LOCAL.search(line) for line in lines):
            return ()
        included = (INCLUDE.match(line) for line in lines)
        waiting += [
            _beside(current, match["file"]) for match in included if match and "://" not in match["file"]
        ]
    return tuple(found)


def _beside(file: str, other: str) -> str:
    return (Path(file).parent / other).as_posix()


def directory(top: Path, name: str) -> str:
    """The directory `name` of a source, from its top; "" is the top itself. Raises `SourceError`."""
    found = subdirectory.within(top, name, "source").relative_to(top.resolve()).as_posix()
    return "" if found == "." else found
