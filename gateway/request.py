"""A request of the gateway, and the checks that come before any query."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from django.http.request import split_domain_port, validate_host

from gateway import errors, metadata
from gateway.options import Options
from gateway.types import RawHeaders, Scope
from servers.models.server import SLUG

LONGEST_PATH = 200  # longer than any server's; the caches below keep paths and hosts
LONGEST_HOST = 300
METHODS = frozenset({"POST", "GET", "DELETE"})
_MCP = re.compile(r"/mcp/([^/]+)/?\Z")
_METADATA = re.compile(re.escape(metadata.WELL_KNOWN) + r"/mcp/([^/]+)/?\Z")


@dataclass(frozen=True)
class Request:
    """A request: method, path, query, scheme and headers, whose names are in lower case."""

    method: str
    path: str
    query: bytes
    scheme: str
    headers: RawHeaders

    @classmethod
    def of(cls, scope: Scope) -> Request:
        """Reads an ASGI scope."""
        return cls(
            method=scope["method"],
            path=scope["path"],
            query=scope.get("query_string", b""),
            scheme=scope.get("scheme", "http"),
            headers=list(scope["headers"]),
        )

    def every(self, name: bytes) -> list[bytes]:
        """Returns all values of the header."""
        return [value for key, value in self.headers if key == name]

    def one(self, name: bytes) -> str:
        """Returns the header's first value; "" if there is none."""
        return self._first.get(name, b"").decode("latin-1")

    def with_header(self, name: bytes, *values: bytes) -> Request:
        """Returns the request with exactly these values of the header."""
        others = [header for header in self.headers if header[0] != name]
        return replace(self, headers=[*others, *((name, value) for value in values)])

    @cached_property
    def _first(self) -> dict[bytes, bytes]:
        return dict(reversed(self.headers))

    @property
    def slug(self) -> str:
        """The slug of `/mcp/<slug>` or `/mcp/<slug>/`; "" for another path."""
        return _slug(_MCP, self.path[:LONGEST_PATH])

    @property
    def metadata_slug(self) -> str:
        """The slug of a metadata URL; "" for another path."""
        return _slug(_METADATA, self.path[:LONGEST_PATH])

    @property
    def announced_length(self) -> int:
        """Content-Length in bytes; 0 if it is absent or invalid."""
        length = self.one(b"content-length")
        return int(length) if length.isdecimal() and len(length) < 19 else 0

    def base(self, options: Options) -> str:
        """Returns scheme and host of the public URL."""
        return options.public_url or f"{self.scheme}://{self.one(b'host')}"


@lru_cache(1000)
def _slug(pattern: re.Pattern[str], path: str) -> str:
    match = pattern.match(path)
    return match[1] if match and SLUG.regex.match(match[1]) else ""  # type: ignore[union-attr]


def check_host(request: Request, options: Options) -> None:
    """Raises `Refusal` (421) for an unknown host, as Django does: it may be a DNS rebinding attack."""
    host = request.one(b"host")
    if len(host) > LONGEST_HOST or not _is_ours(host, tuple(options.allowed_hosts)):
        raise errors.unknown_host(host)


@lru_cache(1000)
def _is_ours(host: str, allowed: tuple[str, ...]) -> bool:
    domain, _port = split_domain_port(host)
    return bool(domain) and validate_host(domain, list(allowed))


def check_origin(request: Request, options: Options) -> None:
    """Raises `Refusal` (403) for the Origin of another site. Only browsers send one.

    Allowed are the origin of the called URL, the platform's and those in CSRF_TRUSTED_ORIGINS.
    """
    if not (origin := request.one(b"origin").lower()):
        return
    own = f"{request.scheme}://{request.one(b'host')}".lower()
    if origin != own and origin not in options.origins:
        raise errors.foreign_origin()


def check_method(request: Request) -> None:
    """Raises `Refusal` (405) for a method that MCP does not use."""
    if request.method not in METHODS:
        raise errors.method_not_allowed()
