"""Names images of servers, in the engine and at the registry."""

from __future__ import annotations

import re

from django.conf import settings

from registry.reference import Reference
from servers.models import Build, Server


def reference(server: Server, tag: str) -> Reference:
    """Returns the name of an image of the server at REGISTRY, which is `host[:port][/prefix]`."""
    host, _, prefix = settings.REGISTRY.partition("/")
    return Reference(host, f"{prefix}/{server.slug}".lstrip("/"), tag)


def target_of(build: Build) -> Reference:
    """Returns the tag that a build is pushed to: `<number>-<short revision>`. It is never moved."""
    return reference(build.server, f"{build.number}-{_tag_text(build.short_revision)}")


def target_for(build: Build, platform: str) -> Reference:
    """Returns the tag of one platform's image. With a single platform it is the build's own tag.

    With several platforms, the build's own tag is that of the index.
    """
    target = target_of(build)
    return target.for_platform(platform) if len(build.platforms) > 1 else target


def tags_of(build: Build) -> list[Reference]:
    """Returns every tag that pushing this build may have made; none without REGISTRY."""
    if not settings.REGISTRY or not build.revision or not build.platforms:
        return []
    several = [target_for(build, platform) for platform in build.platforms]
    return list(dict.fromkeys([target_of(build), *several]))


def local_tag(build: Build, platform: str) -> str:
    """Returns the image's tag in the engine that built it."""
    return f"mcphost/{build.server.slug}:{build.number}-{platform.replace('/', '-')}"


def bridged(tag: str) -> str:
    """Returns the local tag of the image that adds the bridge to the image `tag`."""
    return f"{tag}-bridged"


def _tag_text(revision: str) -> str:
    """Replaces the characters of a revision, such as `name==1.2`, that a tag may not have.

    See the OCI distribution specification, “Pulling manifests”.
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", revision).strip("-.") or "latest"
