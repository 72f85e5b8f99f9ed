"""HTTP to addresses that somebody typed in.

The address that was looked at is the one that is connected to: a name cannot lead elsewhere a moment later.
No redirects, and an end to every exchange, however slowly the other side speaks.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3

from outbound import addresses, connections
from outbound.addresses import Address, InnerAddress, UnknownName, is_allowed
from outbound.deadline import Deadline

__all__ = ["Address", "Deadline", "InnerAddress", "TooSlow", "UnknownName", "asked", "is_allowed", "trust"]

CONNECT_SECONDS = 5.0


class TooSlow(Exception):
    """The deadline came before the end of the answer."""


@contextmanager
def asked(
    method: str,
    parts: SplitResult,
    *,
    inner: bool,
    seconds: float,
    headers: Mapping[str, str],
    body: bytes | None = None,
) -> Iterator[Any]:
    """The response of urllib3, its body yet to be read. `inner` allows addresses of this machine and of
    private networks. Raises the three above, urllib3's `HTTPError`, `OSError` and `ValueError`."""
    with Deadline(seconds) as deadline:
        pool, target = _way(parts, inner)
        try:
            answer = pool.urlopen(
                method, target, body=body, headers={**headers, "Host": parts.netloc.rpartition("@")[2]},
                redirect=False, retries=False, preload_content=False, assert_same_host=False,
                timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, seconds), read=seconds),
            )  # fmt: skip
            try:
                yield answer
            finally:
                answer.close()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if deadline.over:
                raise TooSlow from error
            raise
        finally:
            pool.close()
        if deadline.over:
            raise TooSlow


def _way(parts: SplitResult, inner: bool) -> tuple[Any, str]:
    """The pool of the one connection, and the request's target. A proxy looks names up itself."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    secured: dict[str, Any] = {"ssl_context": trust()} if parts.scheme == "https" else {}
    kinds = connections.pools(inner=inner)
    proxy = getproxies().get(parts.scheme, "")
    if not proxy or proxy_bypass(host):
        return kinds[parts.scheme](host, port, **secured), target
    addresses.check_plain(host, inner=inner)
    manager = urllib3.ProxyManager(proxy, ssl_context=trust())
    manager.pool_classes_by_scheme = kinds
    whole = f"http://{parts.netloc}{target}"
    return manager.connection_from_host(host, port, parts.scheme), target if secured else whole


def trust() -> ssl.SSLContext:
    """The authorities of this machine, a private one among them, and the public ones."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
