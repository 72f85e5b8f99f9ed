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
    {b"authorization", b"cookie", b"origin", b"host", b"forwarded", b"x-real-ip", b"expect"}
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


def to_upstream(headers: RawHeaders) -> list[tuple[str, str]]:
    dropped = HOP_BY_HOP | CALLERS_OWN | _named_in_connection(headers)
    return [
        (name.decode("latin-1"), _text(value))
        for name, value in headers
        if name not in dropped and not name.startswith(b"x-forwarded-")
    ]


def uncompressed(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Asks for a body that can be read."""
    others = [header for header in headers if header[0] != "accept-encoding"]
    return [*others, ("accept-encoding", "identity")]


def without_body(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """A body that is announced and does not come would be waited for."""
    return [header for header in headers if header[0] != "content-length"]


def of_any_length(headers: RawHeaders) -> RawHeaders:
    """For a body that will not be as long as announced."""
    return [header for header in headers if header[0] != b"content-length"]


def to_caller(headers: RawHeaders) -> RawHeaders:
    lowered = [(name.lower(), value) for name, value in headers]
    dropped = HOP_BY_HOP | ORIGINS_OWN | _named_in_connection(lowered)
    return [
        (name, value)
        for name, value in lowered
        if name not in dropped and not name.startswith(b"access-control-")
    ]


def _named_in_connection(headers: RawHeaders) -> frozenset[bytes]:
    listed = b",".join(value for name, value in headers if name == b"connection")
    return frozenset(name.strip().lower() for name in listed.split(b",")) if listed else frozenset()


def _text(value: bytes) -> str:
    """The HTTP client encodes as UTF-8: what was UTF-8 crosses unchanged."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
