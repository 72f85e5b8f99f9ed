"""Compares releases of Python with the version or range that a project asks for. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

# The releases of CPython that may be chosen for a project (devguide.python.org/versions).
PYTHONS = tuple(f"3.{minor}" for minor in range(9, 15))
USUAL_PYTHON = "3.12"
EXACT = re.compile(r"\d+(?:\.\d+){0,2}")


def suits(version: str, wanted: str) -> bool:
    """Tells whether a Python of `version` (`3.12`, `3.12.4`) fits `wanted`, a version or a
    range (PEP 440).
    """
    if EXACT.fullmatch(wanted):
        shared = min(version.count("."), wanted.count(".")) + 1
        return version.split(".")[:shared] == wanted.split(".")[:shared] and version.count(".") > 0
    try:
        # A version such as 3.10 means its newest bug fix release: a bound like >=3.10.2 does not exclude it.
        exact = f"{version}.99" if version.count(".") == 1 else version
        return SpecifierSet(wanted, prereleases=True).contains(exact)
    except InvalidSpecifier:
        return True


def nearest(wanted: str, to: str, among: Iterable[str] = PYTHONS) -> str:
    """Returns the release of `among` that fits `wanted` and is nearest to the release `to`; "" for none."""
    if EXACT.fullmatch(wanted):
        return wanted if wanted.count(".") else ""
    at = Version(to if to.count(".") else USUAL_PYTHON).release[1]
    fitting = [each for each in among if suits(each, wanted)]
    return min(fitting, key=lambda each: (abs(Version(each).release[1] - at), each), default="")
