"""Sends requests to hosted servers over kept connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway import api_server_proxy
from gateway.http1 import Broken, Connection, NotConnected, Response
from gateway.request import Request
from gateway.types import RawHeaders
from hosting import host_names
from hosting.runtimes.base import climbs

# Seconds. Common servers close idle connections after 5 s; a call on such a connection would be lost.
IDLE_CONNECTION = 4.0
SWEEP = 1.0  # seconds between two searches for idle connections
CHUNKED = b"transfer-encoding: chunked\r\n"


class Place(NamedTuple):
    """A parsed endpoint (`http://host:port/path`). `authority` is the Host header.

    `behind` tells that it is reached by https through an API server.
    """

    host: str
    port: int
    authority: bytes
    path: bytes
    behind: bool = False


class Upstream:
    """The connections to all servers of one gateway. `connect` are the seconds that a connect may take."""

    def __init__(self, connect: float) -> None:
        self._connect = connect
        self._free: dict[tuple[str, int], list[Connection]] = defaultdict(list)
        self._telling: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None

    async def open(
        self,
        endpoint: str,
        request: Request,
        headers: RawHeaders,
        body: bytes | AsyncIterator[bytes],
        host: str = "",
    ) -> Response:
        """Sends the request and returns once the response's status and headers are there.

        The headers must not frame the body; that is done here. `host` is the Host header, "" for the usual
        one. Raises `NotConnected`, `Broken`, and what `body` raises.
        """
        place = _place(endpoint, host)
        framing = _framing(request, body)
        if place.behind:
            headers = await api_server_proxy.with_credentials(headers)
        head = _head(request, place, headers, framing)
        connection = self._kept(place) or await self._new(place)
        response = await connection.exchange(head, body, chunked=framing == CHUNKED)
        return await api_server_proxy.checked(response) if place.behind else response

    def tell(self, endpoint: str, request: Request, headers: RawHeaders, body: bytes, host: str = "") -> None:
        """Sends a notification in the background; errors are ignored."""
        task = asyncio.create_task(self._tell(endpoint, request, headers, body, host))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(
        self, endpoint: str, request: Request, headers: RawHeaders, body: bytes, host: str
    ) -> None:
        with contextlib.suppress(NotConnected, Broken, TimeoutError):
            async with asyncio.timeout(self._connect):
                response = await self.open(endpoint, request, headers, body, host)
                response.close()

    def close(self) -> None:
        """Closes all connections."""
        for kept in self._free.values():
            for connection in kept:
                connection.abort()
        self._free.clear()
        if self._sweep:
            self._sweep.cancel()

    def _kept(self, place: Place) -> Connection | None:
        kept = self._free.get((place.host, place.port))
        old = asyncio.get_running_loop().time() - IDLE_CONNECTION
        while kept:
            connection = kept.pop()
            if connection.usable and connection.free_since > old:
                return connection
            connection.abort()
        return None

    async def _new(self, place: Place) -> Connection:
        loop = asyncio.get_running_loop()
        key = place.host, place.port
        try:
            async with asyncio.timeout(self._connect):
                _, connection = await loop.create_connection(
                    lambda: Connection(lambda freed: self._keep(key, freed)),
                    place.host,
                    place.port,
                    ssl=api_server_proxy.tls() if place.behind else None,
                )
        except (OSError, TimeoutError) as fault:
            raise NotConnected(str(fault)) from fault
        return connection

    def _keep(self, key: tuple[str, int], connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        connection.free_since = loop.time()
        self._free[key].append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(SWEEP, self._end_idle)

    def _end_idle(self) -> None:
        """Closes idle connections. The last of a list was used last."""
        loop = asyncio.get_running_loop()
        old = loop.time() - IDLE_CONNECTION
        for key, kept in list(self._free.items()):
            while kept and (kept[0].free_since < old or not kept[0].usable):
                kept.pop(0).abort()
            if not kept:
                del self._free[key]
        self._sweep = loop.call_later(SWEEP, self._end_idle) if self._free else None


def _framing(request: Request, body: bytes | AsyncIterator[bytes]) -> bytes:
    if isinstance(body, bytes):
        return b"content-length: %d\r\n" % len(body) if request.method == "POST" else b""
    length = request.announced_length
    return b"content-length: %d\r\n" % length if length else CHUNKED


def _head(request: Request, place: Place, headers: RawHeaders, framing: bytes) -> bytes:
    path = place.path
    if request.query:
        path += (b"&" if b"?" in path else b"?") + request.query
    first = b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (request.method.encode(), path, place.authority)
    lines = [b"%b: %b\r\n" % header for header in headers]
    return b"".join([first, *lines, framing, b"\r\n"])


@lru_cache(1000)
def _place(endpoint: str, host: str = "") -> Place:
    """Parses an endpoint. `host` is the Host header that the server accepts, "" for the usual one."""
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or climbs(parts.path):
        raise NotConnected(f"{endpoint} is no address")
    behind = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(
        parts.hostname,
        parts.port or (443 if behind else 80),
        (host or host_names.usual(endpoint)).encode("latin-1"),
        path.encode("latin-1"),
        behind,
    )
