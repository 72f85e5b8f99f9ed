"""The ASGI door of the live feed: `/api/servers/stream/`, `…/{id}/metrics/stream/`, `…/{id}/logs/stream/`.

No thread and no database connection is held for a client; reads share one thread.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from channels.db import database_sync_to_async
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest

from api import problems
from servers import standing
from servers.standing import Watch
from servers.streams import access, feed, pages
from servers.streams.access import Reader

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
SEND_WITHIN = 60.0
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]
LAST: Message = {"type": "http.response.body", "body": b"", "more_body": False}
logger = logging.getLogger(__name__)
_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, Watch] = WeakKeyDictionary()


class Refused(Exception):
    def __init__(self, status: int, detail: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


async def application(scope: Message, receive: Receive, send: Send) -> None:
    request = ASGIRequest(scope, io.BytesIO())
    try:
        reader = await _admit(request)
        after = _resume_from(request, reader)
    except Refused as refused:
        await _refuse(refused, request.path, send)
        return
    serving = asyncio.ensure_future(_serve(reader, after, send))
    leaving = asyncio.ensure_future(_left(receive))
    over = asyncio.ensure_future(_watch().until_over(reader.standing, lambda: _still(request, reader)))
    waited = (serving, leaving, over)
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended = over.done()
        for task in waited:
            task.cancel()
        outcome, *_ = await asyncio.gather(*waited, return_exceptions=True)
        _log(outcome, request.path)
    if ended and isinstance(outcome, asyncio.CancelledError):
        await send(LAST)


async def _serve(reader: Reader, after: int | None, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    async with aclosing(_stream(reader, after)) as chunks:
        async for chunk in chunks:
            async with asyncio.timeout(SEND_WITHIN):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send(LAST)


def _watch() -> Watch:
    """One watch for all streams of this event loop: it ends a stream when its reader loses the right to
    it."""
    loop = asyncio.get_running_loop()
    if loop not in _watches:
        _watches[loop] = Watch(database_sync_to_async(standing.facts))
    return _watches[loop]


def _log(outcome: BaseException | None, path: str) -> None:
    if isinstance(outcome, TimeoutError):
        logger.info("a client of a live feed took nothing for too long", extra={"path": path})
    elif isinstance(outcome, Exception):
        logger.error("a live feed broke off", exc_info=outcome, extra={"path": path})


def _stream(reader: Reader, after: int | None) -> AsyncGenerator[bytes, None]:
    return feed.of_this_loop().stream(reader.channel, after)


async def _admit(request: ASGIRequest) -> Reader:
    try:
        request.get_host()
    except DisallowedHost:
        raise Refused(400, "This host name is not one of ALLOWED_HOSTS.") from None
    if request.method != "GET":
        raise Refused(405, "A live feed is read with GET.", (b"allow", b"GET"))
    try:
        reader: Reader = await database_sync_to_async(access.reader_for)(request)
    except access.Unauthenticated:
        challenge = (b"www-authenticate", b'Bearer realm="api"')
        raise Refused(401, "Log in, or send a token of scope api or read.", challenge) from None
    except access.NotFound:
        raise Refused(404, "There is nothing here, or it is not yours to see.") from None
    return reader


async def _still(request: ASGIRequest, reader: Reader) -> bool:
    try:
        return await _admit(request) == reader
    except Refused:
        return False


def _resume_from(request: ASGIRequest, reader: Reader) -> int | None:
    given = request.headers.get("Last-Event-ID") or request.GET.get("lastEventId", "")
    try:
        return pages.position_in(given, reader.channel)
    except pages.BadLastEventId:
        raise Refused(400, "Last-Event-ID must be the id of an event of this feed.") from None


async def _refuse(refused: Refused, path: str, send: Send) -> None:
    body = orjson.dumps(problems.document(refused.status, refused.detail, instance=path))
    kind = (b"content-type", problems.MEDIA_TYPE.encode())
    headers = [kind, (b"cache-control", b"no-store"), *refused.headers]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
