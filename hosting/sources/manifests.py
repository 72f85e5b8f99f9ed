"""Reads the manifests of a build context, and never a file outside of it."""

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
    """Tells whether `name` is a file of the context.

    A symlink that leads out of the context does not count.
    """
    path = context / name
    try:
        return path.is_file() and path.resolve().is_relative_to(context.resolve())
    except OSError:  # the name is not possible for a file
        return False


def read(context: Path, name: str, most: int = MAX_BYTES) -> str:
    """Returns the text of a file: UTF-8, or UTF-16 with a byte order mark, as shells of Windows write it.

    Raises `SourceError` if the file has more than `most` bytes.
    """
    path = context / name
    if path.stat().st_size > most:
        raise SourceError(f"{name} is too large to be read.")
    data = path.read_bytes()
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if marked else "utf-8-sig", "replace")


def pyproject(context: Path) -> dict[str, Any]:
    """Returns the tables of pyproject.toml; {} if there is none. Raises `SourceError`."""
    return toml(context, "pyproject.toml")


def toml(context: Path, name: str, most: int = MAX_BYTES) -> dict[str, Any]:
    """Returns the tables of a TOML file; {} if there is none. Raises `SourceError` if it cannot be read."""
    if not has(context, name):
        return {}
    try:
        return tomllib.loads(read(context, name, most))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SourceError(f"{name} cannot be read: {error}.") from None


def table(data: dict[str, Any], name: str) -> dict[str, Any]:
    """Returns the table or object `name`; {} if it is missing or of another type."""
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def tables(data: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Returns the tables or objects in the list `name`, without items of other types."""
    found = data.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def texts(data: dict[str, Any], name: str) -> tuple[str, ...]:
    """Returns the strings in the list `name`, without items of other types."""
    found = data.get(name)
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()


def within(data: dict[str, Any], *names: str) -> dict[str, Any]:
    """Returns the table at the end of a path of names such as `tool`, `poetry`, `dependencies`; {} if
    missing.
    """
    for name in names:
        data = table(data, name)
    return data


def dependencies(project: dict[str, Any]) -> list[str]:
    """Returns the dependencies of the table [project] (PEP 621). Raises `SourceError`."""
    found = project.get("dependencies", [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise SourceError("pyproject.toml cannot be read: dependencies must be a list of strings.")
    return found


def package_json(context: Path) -> dict[str, Any]:
    """Returns the object in package.json; {} if there is none. Raises `SourceError`."""
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
    """Returns the lines of a requirements file without comments and empty lines."""
    stripped = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return [line for line in stripped if line]


def requirement_files(context: Path, name: str = "requirements.txt") -> tuple[str, ...]:
    """Returns `name` and the files that it includes; () if they refer to other parts of the context.

    Raises `SourceError` if an included file is missing.
    """
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
    """Returns the directory `name` of a source as a path from its top; "" for the top.

    Raises `SourceError`.
    """
    found = subdirectory.within(top, name, "source").relative_to(top.resolve()).as_posix()
    return "" if found == "." else found
