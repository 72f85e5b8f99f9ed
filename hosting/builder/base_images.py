"""Chooses the base image of generated Dockerfiles: that of the settings, or the one with another version in
its tag.

Both are in the same repository, because logins and rights to pull are given for a repository.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hosting.build_settings import BuildSettings
from hosting.errors import BuildError
from hosting.sources import interpreters, node_versions, python_releases
from hosting.sources.plan import Plan

# The tags of official images: 22-slim, 22.11.0-bookworm-slim, 22.
USUAL = re.compile(
    r"(?P<name>[^@]+):(?P<version>\d{1,4}(?:\.\d{1,4}){0,2})(?P<rest>(?:-[\w.-]+)?)(?P<pin>@\S+)?"
)


@dataclass(frozen=True)
class PythonImage:
    """A base image for Python, and the interpreter that is used in it.

    `asked` is the version, or range of versions, that uv has to find or download, because no tag of the image
    is known to have it; "" means the interpreter of the image. `otherwise` is the version to use where
    `asked` is not available; "" means none. With `otherwise`, a range in `asked` is looked for but not
    downloaded.
    """

    reference: str
    asked: str = ""
    otherwise: str = ""


def python_image(plan: Plan, settings: BuildSettings) -> PythonImage:
    """The base image for a plan's version of Python."""
    base, wanted = settings.python_image, plan.version
    repository, tag = interpreters.split_tag(base)
    found = interpreters.VERSION_TAG.fullmatch(tag)
    if not wanted or (found and python_releases.suits(found["version"], wanted)):
        return PythonImage(base)
    sibling = python_releases.nearest(wanted, found["version"]) if found else ""
    if found and sibling:
        return PythonImage(f"{repository}:{sibling}{found['kind']}")
    # For a range uv would download the newest version, and few packages have wheels for it yet.
    usual = python_releases.nearest(wanted, python_releases.USUAL_PYTHON)
    return PythonImage(base, wanted, plan.allowed or (usual if usual != wanted else ""))


def node_image(plan: Plan, settings: BuildSettings) -> str:
    """The base image for a plan's version of Node.

    Raises `BuildError` where the image of the settings has another version, and no tag of it is known to fit.
    """
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
    """Whether a tag fits. A tag with a part of a version, such as 22, stands for the newest release of it."""
    given = version.split(".")
    newest = [*given, "9999", "9999"][:3]
    return node_versions.fits(".".join(newest), wanted)


def _tag(wanted: str) -> str:
    for version in node_versions.RELEASES:
        if _fits(major := version.partition(".")[0], wanted):
            return major
    return node_versions.exact(wanted)
