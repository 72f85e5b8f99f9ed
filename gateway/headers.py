"""Which headers cross the gateway: to a server all but those listed here, back only those listed."""

from __future__ import annotations

from gateway.types import RawHeaders

# RFC 9110 section 7.6.1: meant for one connection only.
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

# The caller's credentials are for the gateway; its Origin was checked here and would fail the upstream's
# own check, as the public Host would; who called from where is not the hosted server's business.
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

# A hosted server shares this origin with the platform's pages: it may say what MCP needs (the transports of
# 2025-11-25 and 2026-07-28; RFC 9110 for 405, 429 and 503) and nothing else, no policy, cookie, challenge,
# redirect, refresh or hint for a browser. Of caching the gateway speaks itself.
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

# On every answer below /mcp/, whoever wrote it: opened as a page it is data that runs nothing.
GUARDS = (
    (b"cache-control", b"no-store, no-transform"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"x-content-type-options", b"nosniff"),
)

# MCP's own media types, both UTF-8 whatever parameters they have. All else is for people to read.
JSON, EVENT_STREAM, TEXT = b"application/json", b"text/event-stream", b"text/plain; charset=utf-8"
_MEDIA_TYPES = {JSON: JSON, EVENT_STREAM: EVENT_STREAM}

_NOT_TO_UPSTREAM = HOP_BY_HOP | CALLERS_OWN


def to_upstream(headers: RawHeaders) -> RawHeaders:
    """Without those that frame the body: whoever sends it writes them."""
    dropped = _NOT_TO_UPSTREAM | _named_in_connection(headers)
    return [
        header for header in headers if header[0] not in dropped and not header[0].startswith(b"x-forwarded-")
    ]


def uncompressed(headers: RawHeaders) -> RawHeaders:
    """Asks for a body that can be read."""
    others = [header for header in headers if header[0] != b"accept-encoding"]
    return [*others, (b"accept-encoding", b"identity")]


def of_any_length(headers: RawHeaders) -> RawHeaders:
    """For a body that may not be as long as announced."""
    return [header for header in headers if header[0] != b"content-length"]


def to_caller(headers: RawHeaders) -> RawHeaders:
    """Each once, as it was looked at here: of two readers neither finds another type, length or encoding."""
    crossing: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in CROSSES_BACK:
            crossing.setdefault(name, value)
    if kind := crossing.get(b"content-type"):
        crossing[b"content-type"] = _MEDIA_TYPES.get(media_type(kind), TEXT)
    return [*crossing.items(), *GUARDS]


def media_type(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()


def _named_in_connection(headers: RawHeaders) -> frozenset[bytes]:
    listed = [value for name, value in headers if name == b"connection"]
    if not listed or listed == [b"keep-alive"]:
        return frozenset()
    return frozenset(name.strip().lower() for name in b",".join(listed).split(b","))
