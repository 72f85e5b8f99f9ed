"""Where the images of servers go."""

from __future__ import annotations

from django.conf import settings

from registry.reference import Reference
from servers.models import Server


def reference(server: Server, tag: str) -> Reference:
    """Where images of a server go: REGISTRY is `host[:port][/prefix]`."""
    host, _, prefix = settings.REGISTRY.partition("/")
    return Reference(host, f"{prefix}/{server.slug}".lstrip("/"), tag)
