"""Finds which Node a project asks for, and compares versions with ranges (npm's node-semver)."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hosting.errors import SourceError
from hosting.sources import manifests

Version = tuple[int, int, int]

# Code names of the long-term releases (nodejs.org/en/about/previous-releases); nvm accepts them.
LONG_TERM = {"fermium": 14, "gallium": 16, "hydrogen": 18, "iron": 20, "jod": 22, "krypton": 24}
ANY_OF_THEM = {"", "*", "x", "node", "stable", "latest", "current", "system", "lts", "lts/*", "default"}
# The last release of each major version in use, the preferred first.
RELEASES = (
    *("22.23.5", "24.22.3", "20.20.2", "26.12.1", "18.20.8"),
    *("23.6.0", "19.0.1", "16.20.2", "14.21.3"),
)
FILES = (".nvmrc", ".node-version")
TOOL_NAMES = ("nodejs", "node")
EXACT = re.compile(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})")
PARTIAL = re.compile(
    r"v?(?:(\d{1,9})|[xX*])(?:\.(?:(\d{1,9})|[xX*]))?(?:\.(?:(\d{1,9})|[xX*]))?(?:[-+][\w.+-]*)?"
)
COMPARATOR = re.compile(r"(\^|~>?|>=|<=|>|<|=)?\s*(v?[\dxX*][\w.*+-]*)")
HYPHEN = re.compile(r"(\S+)\s+-\s+(\S+)")
MOST = 10**9
END: Version = (MOST, MOST, MOST)
LONGEST_RANGE = 200  # characters


def asked(root: Path, member: Path, package: Mapping[str, Any], chosen: str) -> tuple[str, str]:
    """Returns a version or a range ("" for any), and the place that says so.

    `package` is the member's package.json, `chosen` the version that was set by hand. `engines` (what the
    project supports) comes before .nvmrc and similar files (what its developers use). Raises `SourceError`
    for text that is no range.
    """
    for text, said in _said(root, member, package, chosen):
        wanted = _range(text, pin=said.endswith(FILES) or said in (".tool-versions", "mise.toml", "volta"))
        if wanted:
            if not bounds(wanted):
                raise SourceError(f"“{text}” (from {said}) is no version or range of Node.")
            return wanted, said
    return "", ""


def _said(root: Path, member: Path, package: Mapping[str, Any], chosen: str) -> Iterator[tuple[str, str]]:
    top = manifests.package_json(root) if root != member else dict(package)
    yield chosen, "what was set"
    for each in (package, top):
        yield str(manifests.table(dict(each), "engines").get("node", "")), "engines in package.json"
    for each in (package, top):
        yield _runtime(manifests.table(dict(each), "devEngines").get("runtime")), "devEngines in package.json"
    for directory in dict.fromkeys((member, root)):
        yield from _files(directory)
    for each in (package, top):
        yield str(manifests.table(dict(each), "volta").get("node", "")), "volta"


def _files(directory: Path) -> Iterator[tuple[str, str]]:
    for name in FILES:
        if manifests.has(directory, name):
            yield next(iter(manifests.requirement_lines(manifests.read(directory, name))), ""), name
    if manifests.has(directory, ".tool-versions"):
        lines = manifests.requirement_lines(manifests.read(directory, ".tool-versions"))
        named = [words for line in lines if (words := line.split())[0] in TOOL_NAMES and len(words) > 1]
        yield named[0][1] if named else "", ".tool-versions"
    for name in ("mise.toml", ".mise.toml"):
        if manifests.has(directory, name):
            yield _mise(manifests.read(directory, name)), "mise.toml"


def _mise(text: str) -> str:
    try:
        tools = manifests.table(tomllib.loads(text), "tools")
    except (tomllib.TOMLDecodeError, RecursionError):
        return ""
    found = next((tools[name] for name in TOOL_NAMES if name in tools), "")
    return found if isinstance(found, str) else ""


def _runtime(found: Any) -> str:
    for each in found if isinstance(found, list) else [found]:
        if isinstance(each, dict) and each.get("name") == "node":
            return str(each.get("version", ""))
    return ""


def _range(text: str, *, pin: bool) -> str:
    """Returns the range for a text. A pinned version also allows later ones of its major version."""
    named = text.strip().lower()
    if named in ANY_OF_THEM:
        return ""
    if named.startswith("lts"):
        return str(LONG_TERM.get(named.removeprefix("lts").lstrip("/-"), ""))
    if pin and EXACT.fullmatch(named):
        return f"^{named.removeprefix('v')}"
    return named if pin else text.strip()


def fits(version: str, wanted: str) -> bool:
    """Tells whether an exact version lies in the range `wanted`; "" means any version."""
    found = EXACT.match(version.strip())
    if not found:
        return False
    at = (int(found[1]), int(found[2]), int(found[3]))
    return not wanted or any(low <= at < high for low, high in bounds(wanted))


def bounds(wanted: str) -> list[tuple[Version, Version]]:
    """Returns the half-open intervals of a range; [] for text that is no range.

    Pre-release marks are ignored.
    """
    if len(wanted) > LONGEST_RANGE:
        return []
    found = [_all_of(part.strip()) for part in wanted.split("||")]
    return [] if None in found else [each for each in found if each and each[0] < each[1]]


def _all_of(part: str) -> tuple[Version, Version] | None:
    if part in ("", "*"):
        return (0, 0, 0), END
    if hyphen := HYPHEN.fullmatch(part):
        part = f">={hyphen[1]} <={hyphen[2]}"
    found = COMPARATOR.findall(part)
    if not found or COMPARATOR.sub("", part).strip(" ,"):
        return None
    low, high = (0, 0, 0), END
    for sign, text in found:
        one = _one(sign, text)
        if one is None:
            return None
        low, high = max(low, one[0]), min(high, one[1])
    return low, high


def _one(sign: str, text: str) -> tuple[Version, Version] | None:
    match = PARTIAL.fullmatch(text)
    if not match:
        return None
    given = [int(part) for part in match.groups() if part is not None]
    low = _version(given)
    after = _after(given, len(given))
    if sign == "^":
        first = next((at for at, part in enumerate(given) if part), max(len(given) - 1, 0))
        return low, _after(given, min(first + 1, len(given)))
    if sign in ("~", "~>"):
        return low, _after(given, min(2, len(given)))
    ends = {">=": (low, END), ">": (after, END), "<": ((0, 0, 0), low), "<=": ((0, 0, 0), after)}
    return ends.get(sign, (low, after))


def _version(parts: list[int]) -> Version:
    major, minor, patch = [*parts, 0, 0, 0][:3]
    return major, minor, patch


def _after(parts: list[int], count: int) -> Version:
    """Returns the first version after all those that begin with the first `count` numbers."""
    if not count:
        return END
    return _version([*parts[: count - 1], parts[count - 1] + 1])


def json_of(text: str) -> Any:
    """Parses JSON with comments and trailing commas, as in tsconfig.json; None if it is invalid."""
    bare = re.sub(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', lambda m: m[1] or "", text, flags=re.DOTALL)
    try:
        return json.loads(re.sub(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])', lambda m: m[1] or "", bare))
    except (ValueError, RecursionError):
        return None


def exact(wanted: str) -> str:
    """Returns one release for a range of `asked`; "" if there is none.

    That is the first of `RELEASES` in it, else the lowest version of the range.
    """
    newest = next((version for version in RELEASES if fits(version, wanted)), "")
    if newest:
        return newest
    low = min((low for low, _ in bounds(wanted)), default=(0, 0, 0))
    return ".".join(map(str, low)) if any(low) else ""
