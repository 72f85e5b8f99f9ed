"""Translates the versions and dependencies of Poetry into requirements (PEP 440 and 508).

The rules are at python-poetry.org/docs/dependency-specification. Pipenv's tables have the same shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from hosting.errors import SourceError
from hosting.sources import manifests

MOST_TEXT = 500
OPERATOR = re.compile(r"(===|==|~=|!=|>=|<=|>|<|=|\^|~)\s+")
CLAUSE = re.compile(r"(?P<how>===|==|~=|!=|>=|<=|>|<|=|\^|~)?(?P<version>[0-9A-Za-z.*+!_-]+)")


@dataclass(frozen=True)
class Declared:
    """`requirements` are provided by an index or git; `local` are (name, directory) in the source."""

    requirements: tuple[str, ...] = ()
    local: tuple[tuple[str, str], ...] = ()


def declared(entries: Mapping[str, Any], where: str, *, only: frozenset[str] | None = None) -> Declared:
    """Reads a table of dependencies. An optional one is left out unless `only` names it.

    `where` is the place of the table, for the error. Raises `SourceError`.
    """
    requirements: list[str] = []
    local: list[tuple[str, str]] = []
    for name, told in entries.items():
        if name.lower() == "python":
            continue
        for each in told if isinstance(told, list) else [told]:
            options = {"version": each} if isinstance(each, str) else each
            if not isinstance(options, dict):
                raise _unreadable(name, where)
            if options.get("optional") is True and (only is None or name not in only):
                continue
            if path := str(options.get("path") or ""):
                local.append((name, path))
            else:
                requirements.append(_requirement(name, options, where))
    return Declared(tuple(requirements), tuple(local))


def _requirement(name: str, options: Mapping[str, Any], where: str) -> str:
    extras = ",".join(manifests.texts(dict(options), "extras"))
    text = f"{name}[{extras}]" if extras else name
    if address := _address(options):
        text += f" @ {address}"
    else:
        text += specifier(str(options.get("version") or "*"))
    if markers := _markers(options):
        text += f" ; {markers}"
    try:
        return str(Requirement(text))
    except InvalidRequirement:
        raise _unreadable(name, where) from None


def _address(options: Mapping[str, Any]) -> str:
    if git := str(options.get("git") or ""):
        at = next((str(options[key]) for key in ("rev", "ref", "tag", "branch") if options.get(key)), "")
        url = git if "://" in git else "ssh://" + git.replace(":", "/", 1)
        beneath = f"#subdirectory={options['subdirectory']}" if options.get("subdirectory") else ""
        return f"git+{url.removeprefix('git+')}{'@' + at if at else ''}{beneath}"
    return str(options.get("url") or options.get("file") or "")


def _markers(options: Mapping[str, Any]) -> str:
    found = [f"({options['markers']})"] if options.get("markers") else []
    for name in ("sys_platform", "platform_machine", "python_version", "os_name", "platform_system"):
        if isinstance(options.get(name), str):  # Pipenv writes "== 'linux'"
            found.append(f"{name} {options[name]}")
    if isinstance(options.get("python"), str):
        found += [f'python_full_version {each.operator} "{each.version}"' for each in _set(options["python"])]
    return " and ".join(found)


def _set(text: str) -> SpecifierSet:
    return SpecifierSet(specifier(text))


def specifier(text: str) -> str:
    """Translates `^1.2`, `~1.2`, `1.2.*`, `>=1 <2` and `^1 || ^2` to PEP 440; alternatives become one range.

    Returns "" for any version, and for text that it cannot read: the installation then reports the error.
    """
    parts = re.split(r"\|\|?", text[:MOST_TEXT])
    try:
        found = [_all_of(part) for part in parts]
    except (InvalidSpecifier, InvalidVersion):
        return ""
    return str(found[0]) if len(found) == 1 else _hull(found)


def _all_of(text: str) -> SpecifierSet:
    words = OPERATOR.sub(r"\1", text.replace(",", " ")).split()
    return SpecifierSet(",".join(clause for word in words for clause in _clauses(word)))


def _clauses(word: str) -> Iterator[str]:
    found = CLAUSE.fullmatch(word)
    if not found:
        raise InvalidSpecifier(word)
    how, version = found["how"] or "", found["version"]
    if version == "*":
        return
    if how in ("^", "~"):
        yield f">={version}"
        yield f"<{_after(Version(version), caret=how == '^')}"
    else:
        yield f"{'==' if how in ('', '=') else how}{version}"


def _after(version: Version, *, caret: bool) -> str:
    numbers = version.release
    significant = next((at for at, number in enumerate(numbers) if number), len(numbers) - 1)
    at = significant if caret else min(1, len(numbers) - 1)
    return ".".join(map(str, (*numbers[:at], numbers[at] + 1)))


def _hull(alternatives: list[SpecifierSet]) -> str:
    lows = [_bound(each, (">=", ">", "==", "~=")) for each in alternatives]
    highs = [_bound(each, ("<", "<=")) for each in alternatives]
    low = [f">={min(low for low in lows if low)}"] if all(lows) else []
    high = [f"<={max(high for high in highs if high)}"] if all(highs) else []
    return ",".join([*low, *high])


def _bound(alternative: SpecifierSet, operators: tuple[str, ...]) -> Version | None:
    versions = (each.version.removesuffix(".*") for each in alternative if each.operator in operators)
    return next(map(Version, versions), None)


def _unreadable(name: str, where: str) -> SourceError:
    return SourceError(f"What {where} says of {name} cannot be read.")
