"""OAuth 2.0 Protected Resource Metadata (RFC 9728) of one server's URL."""

from __future__ import annotations

import orjson

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def url(base: str, slug: str) -> str:
    """RFC 9728 section 3.1: the well-known part goes between the host and the path of the resource."""
    return f"{base}{WELL_KNOWN}/mcp/{slug}"


def document(base: str, slug: str) -> bytes:
    """The same for every slug, hosted here or not: it tells nobody which servers exist.

    Tokens are issued by the platform, so no authorization server is named (section 2 leaves empty lists out).
    """
    return orjson.dumps(
        {
            "resource": f"{base}/mcp/{slug}",
            "bearer_methods_supported": ["header"],
            "resource_name": "MCP Host",
        }
    )
