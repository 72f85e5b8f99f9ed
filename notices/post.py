"""One POST to an address that somebody typed in: no redirects, no inner addresses, little of the answer."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3

CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
MOST_READ = 2_000
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    retry_after: str = ""


class Unreachable(Exception):
    """No answer; the message is fit for a screen and does not hold the URL."""


def post(url: str, body: bytes, headers: Mapping[str, str], *, inner: bool) -> Answer:
    """`inner` allows addresses of this machine and of private networks. Raises `Unreachable`."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    pool, path = _pool(parts.scheme, host, port, target, inner)
    try:
        response = pool.urlopen(
            "POST", path, body=body, headers={**headers, "Host": parts.netloc.rpartition("@")[2]},
            redirect=False, retries=False, preload_content=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        )  # fmt: skip
        text = response.read1(MOST_READ).decode("utf-8", "replace")
        response.close()
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise Unreachable(_words(error)) from None
    finally:
        pool.clear() if isinstance(pool, urllib3.PoolManager) else pool.close()
    return Answer(response.status, text, response.headers.get("Retry-After", ""))


def _pool(
    scheme: str, host: str, port: int, target: str, inner: bool
) -> tuple[urllib3.PoolManager | urllib3.HTTPConnectionPool, str]:
    """Connects to the address that was looked at, so that a name cannot lead elsewhere a moment later."""
    proxy = getproxies().get(scheme, "")
    if proxy and not proxy_bypass(host):
        return urllib3.ProxyManager(
            proxy, ssl_context=_trust()
        ), f"{scheme}://{_literal(host)}:{port}{target}"
    address = str(_allowed_address(host, port, inner))
    if scheme == "http":
        return urllib3.HTTPConnectionPool(address, port), target
    return urllib3.HTTPSConnectionPool(address, port, server_hostname=host, ssl_context=_trust()), target


def _trust() -> ssl.SSLContext:
    """The authorities of this machine, a private one among them, and the public ones."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _allowed_address(host: str, port: int, inner: bool) -> Address:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unreachable(f"The name {host} is not known.") from None
    addresses = [_unmapped(str(entry[4][0])) for entry in found]
    if not all(_is_allowed(address, inner) for address in addresses):
        raise Unreachable(f"{host} leads to an inner address, where this channel may not send.")
    return addresses[0]


def _unmapped(text: str) -> Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_allowed(address: Address, inner: bool) -> bool:
    """Link-local addresses hold the metadata of clouds: nobody needs a notice there."""
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    return inner or address.is_global


def _literal(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _words(error: Exception) -> str:
    if isinstance(error, urllib3.exceptions.NewConnectionError | ConnectionRefusedError):
        return "Nothing accepts connections there."
    if isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError):
        return "It did not answer in time."
    if isinstance(error, urllib3.exceptions.SSLError):
        return "Its certificate is not trusted, or is of another name."
    return "The connection broke."
