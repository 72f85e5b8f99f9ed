"""What the data path is told at its start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings


@dataclass(frozen=True)
class Options:
    """Times in seconds, sizes in bytes. `origins` are allowed besides the one that was called."""

    public_url: str = ""
    allowed_hosts: Sequence[str] = ("localhost", "127.0.0.1", "[::1]")
    origins: frozenset[str] = frozenset()
    body_limit: int = 4 * 1024**2
    response_start: float = 300.0  # a tool that answers in one piece may take minutes
    connect: float = 5.0
    keep_alive: float = 15.0
    fresh: float = 1.0  # how long a token or a route is believed: revocation holds after this


def from_settings() -> Options:
    trusted = [settings.PUBLIC_URL, *settings.CSRF_TRUSTED_ORIGINS]
    return Options(
        public_url=settings.PUBLIC_URL,
        allowed_hosts=settings.ALLOWED_HOSTS,
        origins=frozenset(origin_of(url) for url in trusted if url),
    )


def origin_of(url: str) -> str:
    """Scheme, host and port as a browser writes them in `Origin`."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
