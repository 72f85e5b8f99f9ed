"""Sends HTTP requests to addresses that users typed in.

A name is looked up once, the result is checked, and the connection goes to that address: a second DNS answer
cannot lead elsewhere. Redirects are not followed, and a deadline ends every exchange.
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
from outbound.addresses import Address, PrivateAddress, UnknownName, is_allowed
from outbound.deadline import Deadline

__all__ = [
    "Address",
    "Deadline",
    "PrivateAddress",
    "TooSlow",
    "UnknownName",
    "is_allowed",
    "request",
    "tls_context",
]

CONNECT_SECONDS = 5.0


class TooSlow(Exception):
    """The deadline ended before the answer was complete."""


@contextmanager
def request(
    method: str,
    parts: SplitResult,
    *,
    allow_private: bool,
    seconds: float,
    headers: Mapping[str, str],
    body: bytes | None = None,
) -> Iterator[Any]:
    """Sends one request and yields urllib3's response; its body is not read yet.

    `parts` is the URL, `seconds` the deadline for the whole exchange. `allow_private` allows addresses of
    this machine and of private networks. Raises `PrivateAddress`, `UnknownName`, `TooSlow`, urllib3's
    `HTTPError`, `OSError` and `ValueError`.
    """
    with Deadline(seconds) as deadline:
        pool, target = _way(parts, allow_private)
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


def _way(parts: SplitResult, allow_private: bool) -> tuple[Any, str]:
    """Returns the connection pool and the request's target.

    Through a proxy the host name is not looked up here.
    """
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    secured: dict[str, Any] = {"ssl_context": tls_context()} if parts.scheme == "https" else {}
    kinds = connections.pools(allow_private=allow_private)
    proxy = getproxies().get(parts.scheme, "")
    if not proxy or proxy_bypass(host):
        return kinds[parts.scheme](host, port, **secured), target
    addresses.check_literal(host, allow_private=allow_private)
    manager = urllib3.ProxyManager(proxy, ssl_context=tls_context())
    manager.pool_classes_by_scheme = kinds
    whole = f"http://{parts.netloc}{target}"
    return manager.connection_from_host(host, port, parts.scheme), target if secured else whole


def tls_context() -> ssl.SSLContext:
    """Returns a TLS context that trusts the authorities of this machine and the public ones."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
