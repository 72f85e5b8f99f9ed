"""From which image our own Dockerfiles begin: that of the settings, or its sibling of another version.

Siblings are of the same repository, which is what a login and the right to pull are given for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hosting.build_settings import BuildSettings
from hosting.errors import BuildError
from hosting.sources import interpreters, node_versions, python_releases
from hosting.sources.plan import Plan

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
    repository, tag = interpreters.split_tag(base)
    found = interpreters.VERSION_TAG.fullmatch(tag)
    if not wanted or (found and python_releases.suits(found["version"], wanted)):
        return PythonImage(base)
    sibling = python_releases.nearest(wanted, found["version"]) if found else ""
    if found and sibling:
        return PythonImage(f"{repository}:{sibling}{found['kind']}")
    # Of a range uv would download the newest of all, for which few packages have wheels yet.
    usual = python_releases.nearest(wanted, python_releases.USUAL_PYTHON)
    return PythonImage(base, wanted, plan.allowed or (usual if usual != wanted else ""))


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
