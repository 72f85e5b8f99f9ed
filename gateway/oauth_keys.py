"""Fetches and keeps the keys of an authorization server (RFC 7517), and fetches them again when
they change.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from gateway import errors
from gateway.options import Trust

log = logging.getLogger(__name__)
RENEW = 600.0  # seconds after which keys are fetched again; a withdrawn key is accepted for that long
AGAIN = 10.0  # seconds between two fetches for an unknown key id
LONGEST = 24 * 3600.0  # seconds for which keys are used while the authorization server is away
PATIENCE = 5.0
LARGEST = 1024**2
RETRY_AFTER = 10


class NoKeys(Exception):
    """The authorization server does not answer, or not as the RFCs say."""


class Keys:
    """The keys of one authorization server."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._keys: list[dict[str, Any]] = []
        self._fetched = self._tried = -math.inf
        self._failed = False
        self._asking = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> list[dict[str, Any]]:
        """Returns the keys that may have signed a token with this key id; [] if there are none. None fits all
        keys.

        Raises `Refusal` (503) while the authorization server, which may know the key, cannot be reached.
        """
        age = time.monotonic() - self._fetched
        if age > LONGEST or not self._named(key_id):
            await self._renew()
        elif age > RENEW and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.create_task(self._renew())
        found = self._named(key_id)
        if not found and self._failed:
            raise errors.unavailable("The authorization server cannot be asked for its keys.", RETRY_AFTER)
        return found

    def _named(self, key_id: str | None) -> list[dict[str, Any]]:
        return [key for key in self._keys if key_id is None or key.get("kid") == key_id]

    async def _renew(self) -> None:
        async with self._asking:
            if time.monotonic() - self._tried < AGAIN:
                return
            self._tried = time.monotonic()
            try:
                self._keys = await fetch(self._trust)
                self._fetched, self._failed = time.monotonic(), False
            except NoKeys as fault:
                self._failed = True
                log.warning("no keys of %s: %s", self._trust.issuer, fault)
                if time.monotonic() - self._fetched > LONGEST:
                    self._keys = []


async def fetch(trust: Trust) -> list[dict[str, Any]]:
    """Fetches the signature keys. Raises `NoKeys`."""
    async with _client() as client:
        url = trust.jwks_url or await _discover(client, trust.issuer)
        found = (await _json(client, url)).get("keys")
    keys = [key for key in found if isinstance(key, dict)] if isinstance(found, list) else []
    if not keys:
        raise NoKeys(f"{url} holds no keys")
    return [key for key in keys if key.get("use", "sig") == "sig"]


async def _discover(client: aiohttp.ClientSession, issuer: str) -> str:
    """Returns the keys' URL from the issuer's metadata (RFC 8414, 3, or OpenID Connect Discovery)."""
    for url in discovery_urls(issuer):
        try:
            document = await _json(client, url)
        except NoKeys as fault:
            log.info("%s", fault)
            continue
        if document.get("issuer") != issuer:  # has to be identical (RFC 8414, 3.3)
            raise NoKeys(f"{url} speaks for another issuer")
        return _safe(str(document.get("jwks_uri", "")), issuer)
    raise NoKeys("it has no metadata; set OAUTH_JWKS_URL")


def discovery_urls(issuer: str) -> Iterator[str]:
    """Yields the URLs at which an issuer's metadata may be (RFC 8414, 3.1, and OpenID Connect
    Discovery, 4).
    """
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    yield f"{origin}/.well-known/oauth-authorization-server{path}"
    yield f"{origin}/.well-known/openid-configuration{path}"
    if path:
        yield f"{origin}{path}/.well-known/openid-configuration"


def _safe(url: str, issuer: str) -> str:
    scheme = urlsplit(url).scheme
    if scheme != "https" and (scheme != "http" or urlsplit(issuer).scheme != "http"):
        raise NoKeys("its keys are not at an https URL")
    return url


@contextlib.asynccontextmanager
async def _client() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as client:
        yield client


async def _json(client: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    try:
        async with client.get(url, allow_redirects=False) as response:
            body = await _whole(response)
            found = orjson.loads(body) if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as fault:
        raise NoKeys(f"{url}: {fault or type(fault).__name__}") from fault
    if not isinstance(found, dict):
        raise NoKeys(f"{url}: status {response.status}, no JSON object")
    return found


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
    return body
