"""The ASGI application. Gateway and live feeds are ASGI; the rest is WSGI Django on a pool of threads."""

from __future__ import annotations

import asyncio
import atexit
import ipaddress
import os
import re
from importlib import import_module
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mcphost.settings")

from mcphost.wsgi import application as django

# isort: split
from django.conf import settings

from gateway import headers
from gateway.app import Gateway
from gateway.database import close_pool
from gateway.types import ASGIApp, Receive, Scope, Send
from servers.front.app import Front
from servers.operations import probes, scrape

WEB, GATEWAY = "web", "gateway"
ALL = frozenset({WEB, GATEWAY})
WEB_THREADS = 16

_GATEWAY = re.compile(r"/(mcp|\.well-known/oauth-protected-resource)(/|\Z)")
_STREAM = re.compile(r"/api/servers/(stream|[^/]+/(metrics|logs)/stream)/\Z")


class Dispatcher:
    """Gives each request to the part that serves it.

    Answers 404 for a part that this process does not serve.
    """

    def __init__(self, parts: frozenset[str]) -> None:
        self._gateway = Gateway() if GATEWAY in parts else None
        self._gateway_start: asyncio.Task[None] | None = None
        self._web = Front(django, WEB_THREADS) if WEB in parts else None
        self._readiness = probes.Readiness(self._web.threads.fault if self._web else lambda: "")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._http(behind_proxy(scope) if settings.BEHIND_PROXY else scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if has_two_readings(scope):
            said = b"A request has one Host header, and a first line of HTTP/1.\n"
            await answer(send, 400, said, (b"connection", b"close"))
        elif path in probes.PATHS:
            await probes.application(scope, receive, send, self._readiness)
        elif path == scrape.PATH:
            await scrape.application(scope, receive, send)
        elif _GATEWAY.match(path):
            await self._to_gateway(scope, receive, send)
        elif self._web is None:
            await not_here(scope, receive, send)
        elif _STREAM.match(path):
            await _live_feeds()(scope, receive, send)
        else:
            await self._web(scope, receive, send)

    async def _to_gateway(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._gateway is None:
            await not_here(scope, receive, send)
            return
        if self._gateway_start is None:
            # daphne sends no lifespan events. So the first request starts the gateway, and calls that are not
            # recorded yet are written when the process ends.
            atexit.register(self._gateway.usage.stop)
        await self._started(self._gateway)
        await self._gateway(scope, receive, send)

    async def _started(self, gateway: Gateway) -> None:
        """Starts the gateway once. Requests that come during the start wait for it."""
        if self._gateway_start is None:
            self._gateway_start = asyncio.ensure_future(gateway.start())
        await self._gateway_start

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        if self._gateway:
            await self._started(self._gateway)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _stop(self) -> None:
        if self._gateway:
            await self._gateway.stop()
        if self._web:
            await asyncio.to_thread(close_pool, self._web.threads.executor, WEB_THREADS)
            self._web.close()


def make_application(parts: frozenset[str] = ALL) -> ASGIApp:
    """Returns an application with these parts: "web", "gateway", both or none; probes and /metrics always.

    Raises `ValueError` for an unknown part.
    """
    if unknown := parts - ALL:
        raise ValueError(f"No such part: {', '.join(sorted(unknown))}. There are: {', '.join(sorted(ALL))}.")
    return Dispatcher(parts)


def _live_feeds() -> ASGIApp:
    return cast("ASGIApp", import_module("api.live").application)


def behind_proxy(scope: Scope) -> Scope:
    """Returns the scope with the client and scheme that the proxy reports.

    Only the last entry of a list is the proxy's own; a client may have sent the others.
    """
    address = _last(scope, b"x-forwarded-for")
    scheme = _last(scope, b"x-forwarded-proto")
    seen: dict[str, Any] = {}
    if _is_address(address):
        seen["client"] = (address, 0)
    if scheme in ("http", "https"):
        seen["scheme"] = scheme
    return {**scope, **seen}


def _is_address(text: str) -> bool:
    """Tells whether it is an IP address.

    Some proxies write `unknown` or add a port, which the audit cannot store.
    """
    try:
        return getattr(ipaddress.ip_address(text), "scope_id", None) is None
    except ValueError:
        return False


def _last(scope: Scope, name: bytes) -> str:
    values = [value for key, value in scope["headers"] if key == name]
    return values[-1].decode("latin-1").rpartition(",")[2].strip() if values else ""


def has_two_readings(scope: Scope) -> bool:
    """Tells whether a proxy before us may read the request in another way than we do.

    That is so with several Host headers (RFC 9112, section 3.2), and with a bare line feed in the address,
    which the parser reads as the end of an HTTP/0.9 request.
    """
    hosts = [name for name, _ in scope["headers"]].count(b"host")
    return hosts > 1 or scope.get("http_version") == "0.9"


async def not_here(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers 404: this process does not serve the path."""
    await answer(send, 404, b"This process does not serve that path.\n")


async def answer(send: Send, status: int, body: bytes, *more: tuple[bytes, bytes]) -> None:
    length = (b"content-length", str(len(body)).encode())
    head = [(b"content-type", headers.TEXT), length, *headers.GUARDS, *more]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


application = make_application()
