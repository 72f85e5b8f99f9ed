"""The settings of the gateway, read once at its start."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings


@dataclass(frozen=True)
class Trust:
    """The authorization server whose tokens are accepted. Empty `audiences` mean each server's own URL."""

    issuer: str
    jwks_url: str = ""
    audiences: Sequence[str] = ()
    scopes: Sequence[str] = ()
    user_claim: str = "sub"


@dataclass(frozen=True)
class Options:
    """Times are in seconds, sizes in bytes.

    `origins` may call, besides the origin of the called URL itself.
    """

    public_url: str = ""
    allowed_hosts: Sequence[str] = ("localhost", "127.0.0.1", "[::1]")
    origins: frozenset[str] = frozenset()
    body_limit: int = 4 * 1024**2
    call_timeout: float = 300.0  # of silence: a tool that answers at once may need minutes
    concurrency: int = 0  # calls that one server answers at a time; 0: no limit
    patience: float = 5.0  # how long a call waits for its turn
    cold_start: float = 0.0  # how long a call waits for a server that starts
    connect: float = 5.0
    keep_alive: float = 15.0
    database: float = 10.0  # how long a call waits for the database's answer to one question
    fresh: float = 1.0  # how long a token or a route is kept: a revocation takes effect after that
    session_key: bytes = b"every gateway process has the same"
    trust: Trust | None = None
    rate_per_token: int = 0  # calls per minute where the token says nothing; 0: no limit
    rate_per_server: int = 0
    redis_url: str = ""  # the Redis that shares limits; "": each process has its own
    shared_prefix: str = "mcphost:rate"
    tracing: bool = False


def from_settings() -> Options:
    """Reads the options from Django's settings."""
    trusted = [settings.PUBLIC_URL, *settings.CSRF_TRUSTED_ORIGINS]
    return Options(
        public_url=settings.PUBLIC_URL,
        allowed_hosts=settings.ALLOWED_HOSTS,
        origins=frozenset(origin_of(url) for url in trusted if url),
        body_limit=settings.GATEWAY_BODY_LIMIT,
        call_timeout=settings.GATEWAY_CALL_TIMEOUT,
        concurrency=settings.GATEWAY_CONCURRENCY,
        cold_start=settings.GATEWAY_COLD_START_WAIT,
        session_key=hashlib.sha256(f"gateway-sessions:{settings.SECRET_KEY}".encode()).digest(),
        trust=_trust(),
        rate_per_token=settings.RATE_LIMIT_PER_TOKEN,
        rate_per_server=settings.RATE_LIMIT_PER_SERVER,
        redis_url=settings.REDIS_URL,
        shared_prefix=f"mcphost:{settings.INSTANCE}:rate",
        tracing=settings.TRACING,
    )


def _trust() -> Trust | None:
    if not settings.OAUTH_ISSUER:
        return None
    return Trust(
        issuer=settings.OAUTH_ISSUER,
        jwks_url=settings.OAUTH_JWKS_URL,
        audiences=tuple(settings.OAUTH_AUDIENCE),
        scopes=tuple(settings.OAUTH_SCOPES),
        user_claim=settings.OAUTH_USER_CLAIM,
    )


def origin_of(url: str) -> str:
    """Returns scheme, host and port as a browser writes them in `Origin`."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
