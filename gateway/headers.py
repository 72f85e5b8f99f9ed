"""Which headers cross the gateway. All do, but those listed here."""

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

# A hosted server shares this origin with the platform's pages: it may not set cookies or policies for them,
# nor point a client at an authorization server of its choice. The last two our own HTTP server writes.
ORIGINS_OWN = frozenset(
    {
        b"set-cookie",
        b"www-authenticate",
        b"strict-transport-security",
        b"clear-site-data",
        b"alt-svc",
        b"date",
        b"server",
    }
)


_NOT_TO_UPSTREAM = HOP_BY_HOP | CALLERS_OWN
_NOT_TO_CALLER = HOP_BY_HOP | ORIGINS_OWN


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
    dropped = _NOT_TO_CALLER | _named_in_connection(headers)
    return [
        header
        for header in headers
        if header[0] not in dropped and not header[0].startswith(b"access-control-")
    ]


def _named_in_connection(headers: RawHeaders) -> frozenset[bytes]:
    listed = [value for name, value in headers if name == b"connection"]
    if not listed or listed == [b"keep-alive"]:
        return frozenset()
    return frozenset(name.strip().lower() for name in b",".join(listed).split(b","))
