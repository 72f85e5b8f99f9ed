"""From which image our own Dockerfiles begin: that of the settings, or its sibling of another version.

Siblings are of the same repository, which is what a login and the right to pull are given for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from servers.builder.base import BuildSettings
from servers.errors import BuildError
from servers.sources import node_versions
from servers.sources.plan import Plan

# Releases of CPython, of which one is looked for that a project asks for (devguide.python.org/versions).
PYTHONS = tuple(f"3.{minor}" for minor in range(9, 15))
USUAL_PYTHON = "3.12"
VERSION_TAG = re.compile(r"(?P<version>\d+(?:\.\d+){0,2})(?P<kind>(?:-[A-Za-z0-9_.-]+)?)")
EXACT = re.compile(r"\d+(?:\.\d+){0,2}")
# What official images call a version: 22-slim, 22.11.0-bookworm-slim, 22.
USUAL = re.compile(
    r"(?P<name>[^@]+):(?P<version>\d{1,4}(?:\.\d{1,4}){0,2})(?P<rest>(?:-[\w.-]+)?)(?P<pin>@\S+)?"
)


@dataclass(frozen=True)
class PythonImage:
    """`asked` is what an installer is to look for, or to download, where the image does not tell by its tag
    what it has, and `otherwise` what it takes where that is not to be had; "" for the image's own
    interpreter, and for nothing else. A range is looked for only, where there is something else.
    """

    reference: str
    asked: str = ""
    otherwise: str = ""


def python_image(plan: Plan, settings: BuildSettings) -> PythonImage:
    base, wanted = settings.python_image, plan.version
    repository, tag = split_tag(base)
    found = VERSION_TAG.fullmatch(tag)
    if not wanted or (found and suits(found["version"], wanted)):
        return PythonImage(base)
    sibling = nearest(wanted, found["version"]) if found else ""
    if found and sibling:
        return PythonImage(f"{repository}:{sibling}{found['kind']}")
    # Of a range uv would download the newest of all, for which few packages have wheels yet.
    usual = nearest(wanted, USUAL_PYTHON)
    return PythonImage(base, wanted, plan.allowed or (usual if usual != wanted else ""))


def tagged_python(settings: BuildSettings) -> str:
    """The version that the tag of the image tells; "" for none: `python:3.12-slim` tells 3.12."""
    found = VERSION_TAG.fullmatch(split_tag(settings.python_image)[1])
    return found["version"] if found else ""


def split_tag(reference: str) -> tuple[str, str]:
    """Repository and tag; a tag beside a digest says nothing, and is left where it is."""
    head, colon, tag = reference.rpartition(":")
    return (head, tag) if colon and "/" not in tag and "@" not in reference else (reference, "")


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


def node_image(plan: Plan, settings: BuildSettings) -> str:
    """Raises `BuildError` where the image of the settings is known not to fit, and has no tag that does."""
    found = USUAL.fullmatch(settings.node_image)
    if not plan.version or not found or _fits(found["version"], plan.version):
        return settings.node_image
    tag = _tag(plan.version)
    if found["pin"] or not tag:
        raise BuildError(
            f"It asks for Node {plan.version}; the image for Node servers, {settings.node_image}, has "
            f"{found['version']}.",
            hint="Set BASE_IMAGE_NODE to an image that fits (without a digest its tag is chosen), or another "
            "version of Node for this server.",
        )
    return f"{found['name']}:{tag}{found['rest']}"


def _fits(version: str, wanted: str) -> bool:
    """A tag that names a line means its newest release."""
    given = version.split(".")
    newest = [*given, "9999", "9999"][:3]
    return node_versions.fits(".".join(newest), wanted)


def _tag(wanted: str) -> str:
    for version in node_versions.RELEASES:
        if _fits(major := version.partition(".")[0], wanted):
            return major
    return node_versions.exact(wanted)
