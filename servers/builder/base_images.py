"""The base image of a plan: that of the settings, with the tag of the version that the project asks for."""

from __future__ import annotations

import re

from servers.builder.base import BuildSettings
from servers.errors import BuildError
from servers.sources import node_versions
from servers.sources.plan import Plan

# What official images call a version: 22-slim, 22.11.0-bookworm-slim, 22.
USUAL = re.compile(
    r"(?P<name>[^@]+):(?P<version>\d{1,4}(?:\.\d{1,4}){0,2})(?P<rest>(?:-[\w.-]+)?)(?P<pin>@\S+)?"
)


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
