"""Which releases of Python a project means with the version or the range that it asks for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

# Releases of CPython, of which one is looked for that a project asks for (devguide.python.org/versions).
PYTHONS = tuple(f"3.{minor}" for minor in range(9, 15))
USUAL_PYTHON = "3.12"
EXACT = re.compile(r"\d+(?:\.\d+){0,2}")


def suits(version: str, wanted: str) -> bool:
    """Whether a Python of `version` (`3.12`, `3.12.4`) is one that `wanted` means: a version or a range."""
    if EXACT.fullmatch(wanted):
        shared = min(version.count("."), wanted.count(".")) + 1
        return version.split(".")[:shared] == wanted.split(".")[:shared] and version.count(".") > 0
    try:
        # The newest bug fix of a release is meant: a bound like >=3.10.2 does not exclude 3.10.
        exact = f"{version}.99" if version.count(".") == 1 else version
        return SpecifierSet(wanted, prereleases=True).contains(exact)
    except InvalidSpecifier:
        return True


def nearest(wanted: str, to: str, among: Iterable[str] = PYTHONS) -> str:
    """The release that `wanted` means and that is the least apart from `to`; "" where there is none."""
    if EXACT.fullmatch(wanted):
        return wanted if wanted.count(".") else ""
    at = Version(to if to.count(".") else USUAL_PYTHON).release[1]
    fitting = [each for each in among if suits(each, wanted)]
    return min(fitting, key=lambda each: (abs(Version(each).release[1] - at), each), default="")
