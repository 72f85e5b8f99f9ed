"""Reads the metadata in the archive of a Python package as text; nothing is unpacked, imported or built."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.utils import canonicalize_name

from hosting.deadline import Deadline
from hosting.errors import SourceError
from hosting.sources import manifests, upload

LIMITS = upload.ArchiveLimits()
MAX_TEXTS = 20
TELLS = re.compile(
    r"(?:[^/]+/)?(?:PKG-INFO|pyproject\.toml)|(?:[^/]+/){1,3}entry_points\.txt|[^/]+\.dist-info/METADATA"
)
MAIN = re.compile(
    r"(?:[^/]+/(?:src/)?)?[^/]+/__main__\.py"
)  # in a wheel, or at the top of a source distribution


@dataclass(frozen=True)
class Published:
    """`scripts` are the package's commands, None if only a build can tell them.

    `module` is the module that `python -m` can start, "" for none.
    """

    summary: str
    scripts: tuple[str, ...] | None
    module: str


def read(path: Path, name: str, deadline: Deadline) -> Published:
    """Reads a wheel or a source distribution of the package `name`.

    Raises `SourceError`, `Cancelled`, `TimedOut`.
    """
    look = _Look(name)
    try:
        for number, entry in enumerate(upload.entries(path, LIMITS)):
            deadline.check()
            if number >= LIMITS.entries:
                raise SourceError(f"{path.name} holds more than {LIMITS.entries} files.")
            if entry.kind == "file":
                look.at(entry)
    except upload.DAMAGED as error:
        raise SourceError(f"{path.name} is damaged.") from error
    scripts = look.scripts_of_wheel() if path.suffix == ".whl" else look.scripts_of_source()
    return Published(look.summary(), scripts, look.module if look.has_main else "")


class _Look:
    """Reads the entries of one archive and keeps the metadata files, by their names."""

    def __init__(self, name: str) -> None:
        self.name = canonicalize_name(name)
        self.module = self.name.replace("-", "_")
        self.texts: dict[str, str] = {}
        self.has_main = self.has_egg_info = False

    def at(self, entry: upload.Entry) -> None:
        name = PurePosixPath(entry.name).as_posix()
        if f"/{name}".endswith(f"/{self.module}/__main__.py"):
            self.has_main |= MAIN.fullmatch(name) is not None
        self.has_egg_info |= name.endswith(".egg-info/PKG-INFO")
        if TELLS.fullmatch(name) and len(self.texts) < MAX_TEXTS:
            with entry.open() as content:
                self.texts[name] = content.read(manifests.MAX_BYTES).decode("utf-8", "replace")

    def summary(self) -> str:
        told = self._first("/METADATA") or self._first("PKG-INFO")
        return str(HeaderParser().parsestr(told, headersonly=True)["Summary"] or "")

    def scripts_of_wheel(self) -> tuple[str, ...]:
        return console_scripts(self._first(".dist-info/entry_points.txt"))

    def scripts_of_source(self) -> tuple[str, ...] | None:
        """Returns the commands that [project.scripts], the egg-info of setuptools or Poetry's own table
        names.
        """
        data = self._pyproject()
        project = manifests.table(data, "project")
        if project and not {"scripts", "entry-points"} & set(map(str, _listed(project.get("dynamic")))):
            return tuple(manifests.table(project, "scripts"))
        if self.has_egg_info:
            return console_scripts(self._first(".egg-info/entry_points.txt"))
        poetry = manifests.table(manifests.table(data, "tool"), "poetry")
        return tuple(manifests.table(poetry, "scripts")) if poetry else None

    def _pyproject(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self._first("/pyproject.toml"))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise SourceError(f"pyproject.toml of the package cannot be read: {error}.") from None

    def _first(self, ending: str) -> str:
        return next((text for name, text in self.texts.items() if name.endswith(ending)), "")


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def console_scripts(entry_points: str) -> tuple[str, ...]:
    """Returns the names in the section [console_scripts] of an entry_points.txt."""
    section, found = "", []
    for line in map(str.strip, entry_points.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif section == "console_scripts" and "=" in line and not line.startswith(("#", ";")):
            found.append(line.partition("=")[0].strip())
    return tuple(found)
