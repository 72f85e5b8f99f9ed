"""What the images of servers are called: in the engine, and at the registry."""

from __future__ import annotations

import re

from django.conf import settings

from registry.reference import Reference
from servers.models import Build, Server


def reference(server: Server, tag: str) -> Reference:
    """Where images of a server go: REGISTRY is `host[:port][/prefix]`."""
    host, _, prefix = settings.REGISTRY.partition("/")
    return Reference(host, f"{prefix}/{server.slug}".lstrip("/"), tag)


def target_of(build: Build) -> Reference:
    """The immutable tag of a build: `<number>-<short revision>`."""
    return reference(build.server, f"{build.number}-{_tag_text(build.short_revision)}")


def target_for(build: Build, platform: str) -> Reference:
    """With several platforms each has a tag of its own, and the index has the build's."""
    target = target_of(build)
    return target.for_platform(platform) if len(build.platforms) > 1 else target


def tags_of(build: Build) -> list[Reference]:
    """Every tag that the pushes of a build may have made."""
    if not settings.REGISTRY or not build.revision or not build.platforms:
        return []
    several = [target_for(build, platform) for platform in build.platforms]
    return list(dict.fromkeys([target_of(build), *several]))


def local_tag(build: Build, platform: str) -> str:
    return f"mcphost/{build.server.slug}:{build.number}-{platform.replace('/', '-')}"


def bridged(tag: str) -> str:
    """The local tag of the same image with the bridge around it."""
    return f"{tag}-bridged"


def _tag_text(revision: str) -> str:
    """A revision such as `name==1.2` in the characters that a tag may have (distribution spec)."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", revision).strip("-.") or "latest"
