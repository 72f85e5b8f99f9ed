"""HTTP to addresses that somebody typed in.

The address that was looked at is the one that is connected to: a name cannot lead elsewhere a moment later.
No redirects, and an end to every exchange, however slowly the other side speaks.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Self
from urllib.parse import SplitResult
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3

CONNECT_SECONDS = 5.0
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class UnknownName(Exception):
    """No name service knows the host."""


class InnerAddress(Exception):
    """The host lies where `inner` is needed, or where nobody may send."""


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
    with _Deadline(seconds) as deadline:
        pool, target = _way(parts, inner)
        pool.ConnectionCls = deadline.watched(pool.ConnectionCls)
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


class _Deadline:
    """Ends connections: the timeouts of a socket begin anew with each byte."""

    def __init__(self, seconds: float) -> None:
        self.over = False
        self._held: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for held in self._held:
            held.close()

    def watched(self, kind: Any) -> Any:
        """`kind`, whose sockets are ended with the time. A duplicate stays ours when TLS takes the socket."""

        def connected(connection: Any) -> socket.socket:
            made: socket.socket = kind._new_conn(connection)
            self._held.append(made.dup())
            if self.over:
                self._cut()
            return made

        return type(kind.__name__, (kind,), {"_new_conn": connected})

    def _cut(self) -> None:
        self.over = True
        for held in self._held:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)


def _way(parts: SplitResult, inner: bool) -> tuple[Any, str]:
    """The pool of the one connection, and the request's target. A proxy looks names up itself."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    proxy = getproxies().get(parts.scheme, "")
    if proxy and not proxy_bypass(host):
        _check(_literal(host), host, inner)
        manager = urllib3.ProxyManager(proxy, ssl_context=_trust())
        whole = f"http://{parts.netloc}{target}"
        return manager.connection_from_host(host, port, parts.scheme), (
            target if parts.scheme == "https" else whole
        )
    addresses = _addresses(host, port)
    _check(addresses, host, inner)
    if parts.scheme == "http":
        return urllib3.HTTPConnectionPool(str(addresses[0]), port), target
    pool = urllib3.HTTPSConnectionPool(
        str(addresses[0]), port, server_hostname=host, assert_hostname=host, ssl_context=_trust()
    )
    return pool, target


def _trust() -> ssl.SSLContext:
    """The authorities of this machine, a private one among them, and the public ones."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _check(addresses: list[Address], host: str, inner: bool) -> None:
    if not all(is_allowed(address, inner=inner) for address in addresses):
        raise InnerAddress(host)


def is_allowed(address: Address, *, inner: bool) -> bool:
    """Link-local addresses hold the metadata of clouds: nobody needs to ask there."""
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    return inner or address.is_global


def _addresses(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UnknownName(host) from None
    return [_address(str(entry[4][0])) for entry in found]


def _address(text: str) -> Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _literal(host: str) -> list[Address]:
    """The address that a host plainly is, in any of the forms that a resolver takes; none for a name."""
    if host == "localhost" or host.endswith(".localhost"):
        return [ipaddress.IPv4Address("127.0.0.1")]
    with suppress(ValueError):
        return [_address(host)]
    with suppress(OSError):
        return [ipaddress.IPv4Address(socket.inet_aton(host))]
    return []
