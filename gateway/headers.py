"""Decides which headers the gateway passes on: to a server all but those listed here, back only
those listed.
"""

from __future__ import annotations

from gateway.types import RawHeaders

# Headers for one connection only (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

# The caller's credentials are for the gateway. Its Origin was checked here, and a server would refuse it, as
# it would refuse the public Host. A server does not learn from where a caller called.
CALLERS_OWN = frozenset(
    {
        b"authorization",
        b"cookie",
        b"origin",
        b"host",
        b"forwarded",
        b"x-real-ip",
        b"expect",
        b"content-length",
    }
)

# A hosted server shares this origin with the platform's pages. So it may set only what MCP needs (transports
# of 2025-11-25 and 2026-07-28; RFC 9110 for 405, 429 and 503): no policy, cookie, challenge, redirect or hint
# for a browser. The gateway itself sets the headers for caching.
CROSSES_BACK = frozenset(
    {
        b"allow",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"mcp-protocol-version",
        b"mcp-session-id",
        b"retry-after",
    }
)

# On every answer below /mcp/, also the gateway's own: a browser that opens it as a page runs nothing.
GUARDS = (
    (b"cache-control", b"no-store, no-transform"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"x-content-type-options", b"nosniff"),
)

# MCP's own media types; both are always UTF-8. Any other body is passed on as text.
JSON, EVENT_STREAM, TEXT = b"application/json", b"text/event-stream", b"text/plain; charset=utf-8"
_MEDIA_TYPES = {JSON: JSON, EVENT_STREAM: EVENT_STREAM}

_NOT_TO_UPSTREAM = HOP_BY_HOP | CALLERS_OWN


def to_upstream(headers: RawHeaders) -> RawHeaders:
    """Returns the headers for the server, without those that frame the body: the sender writes them anew."""
    dropped = _NOT_TO_UPSTREAM | _named_in_connection(headers)
    return [
        header for header in headers if header[0] not in dropped and not header[0].startswith(b"x-forwarded-")
    ]


def uncompressed(headers: RawHeaders) -> RawHeaders:
    """Returns the headers with a request for an uncompressed body."""
    others = [header for header in headers if header[0] != b"accept-encoding"]
    return [*others, (b"accept-encoding", b"identity")]


def of_any_length(headers: RawHeaders) -> RawHeaders:
    """Returns the headers without Content-Length, for a body whose length may change."""
    return [header for header in headers if header[0] != b"content-length"]


def to_caller(headers: RawHeaders) -> RawHeaders:
    """Returns the headers for the caller, each only once, and the guards.

    With duplicates, two readers could see another type, length or encoding.
    """
    crossing: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in CROSSES_BACK:
            crossing.setdefault(name, value)
    if kind := crossing.get(b"content-type"):
        crossing[b"content-type"] = _MEDIA_TYPES.get(media_type(kind), TEXT)
    return [*crossing.items(), *GUARDS]


def media_type(content_type: bytes) -> bytes:
    """Returns the media type in lower case, without parameters."""
    return content_type.partition(b";")[0].strip().lower()


def _named_in_connection(headers: RawHeaders) -> frozenset[bytes]:
    listed = [value for name, value in headers if name == b"connection"]
    if not listed or listed == [b"keep-alive"]:
        return frozenset()
    return frozenset(name.strip().lower() for name in b",".join(listed).split(b","))
