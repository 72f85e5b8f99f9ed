"""OAuth 2.0 Protected Resource Metadata (RFC 9728) of one server's URL."""

from __future__ import annotations

import orjson

from gateway.options import Trust

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def url(base: str, slug: str) -> str:
    """Returns the metadata's URL: the well-known part is before the resource's path (RFC 9728, 3.1)."""
    return f"{base}{WELL_KNOWN}/mcp/{slug}"


def resource(base: str, slug: str) -> str:
    """Returns the resource indicator (RFC 8707), which is the audience of access tokens for this server."""
    return f"{base}/mcp/{slug}"


def document(base: str, slug: str, trust: Trust | None = None) -> bytes:
    """Returns the metadata (RFC 9728, 2) as JSON. It is the same for slugs that do not exist: it reveals no
    server.

    Without an issuer only the platform makes tokens, and no authorization server is named.
    """
    about = {
        "resource": resource(base, slug),
        "authorization_servers": [trust.issuer] if trust else [],
        "scopes_supported": list(trust.scopes) if trust else [],
        "bearer_methods_supported": ["header"],
        "resource_name": "MCP Host",
    }
    return orjson.dumps({name: value for name, value in about.items() if value})
