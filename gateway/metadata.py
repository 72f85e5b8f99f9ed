"""OAuth 2.0 Protected Resource Metadata (RFC 9728) of one server's URL."""

from __future__ import annotations

import orjson

from gateway.options import Trust

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def url(base: str, slug: str) -> str:
    """RFC 9728 section 3.1: the well-known part goes between the host and the path of the resource."""
    return f"{base}{WELL_KNOWN}/mcp/{slug}"


def resource(base: str, slug: str) -> str:
    """The resource indicator (RFC 8707): what an access token for this server has as its audience."""
    return f"{base}/mcp/{slug}"


def document(base: str, slug: str, trust: Trust | None = None) -> bytes:
    """The same for every slug, hosted here or not: it tells nobody which servers exist.

    Without an issuer, tokens are made by the platform alone and no authorization server is named (section 2
    leaves empty lists out).
    """
    about = {
        "resource": resource(base, slug),
        "authorization_servers": [trust.issuer] if trust else [],
        "scopes_supported": list(trust.scopes) if trust else [],
        "bearer_methods_supported": ["header"],
        "resource_name": "MCP Host",
    }
    return orjson.dumps({name: value for name, value in about.items() if value})
