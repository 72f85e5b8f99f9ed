"""The way to hosted servers: one HTTP client that adds nothing, follows nothing and remembers nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from yarl import URL

from gateway.request import Request

# Common servers close idle connections after 5 s; one that we reuse at that moment would lose a call.
IDLE_CONNECTION = 4.0
# What the HTTP client would otherwise add of its own accord.
NOTHING_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
LARGEST_HEADER = 64 * 1024

NotConnected = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
Broken = (aiohttp.ClientError, OSError)


class Upstream:
    def __init__(self, connect: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect)
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """Opened by the first call: not every ASGI server has a lifespan."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_CONNECTION),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                auto_decompress=False,
                skip_auto_headers=NOTHING_ADDED,
                trust_env=False,
                max_line_size=LARGEST_HEADER,
                max_field_size=LARGEST_HEADER,
            )
        return self._session

    async def open(
        self,
        endpoint: str,
        request: Request,
        headers: list[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> aiohttp.ClientResponse:
        """Sends the request and returns once the response's headers are there. Raises `Broken` errors,
        of which `NotConnected` says that nothing was sent."""
        return await self.session.request(
            request.method,
            _url(endpoint, request.query),
            headers=headers,
            data=body,
            allow_redirects=False,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _url(endpoint: str, query: bytes) -> URL:
    if not query:
        return URL(endpoint, encoded=True)
    joint = "&" if "?" in endpoint else "?"
    return URL(f"{endpoint}{joint}{query.decode('latin-1')}", encoded=True)
