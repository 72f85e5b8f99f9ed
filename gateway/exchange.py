"""One call: the caller's request to the hosted server and its response back, both as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from gateway import errors, headers, upstream
from gateway.calls import Call, Outcome, describe, judge
from gateway.errors import Refusal
from gateway.inbox import CallerLeft, Inbox
from gateway.options import Options
from gateway.request import Request
from gateway.sse import KEEP_ALIVE, Tail
from gateway.types import RawHeaders, Send
from gateway.upstream import Upstream

SMALL = 64 * 1024
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True)
class Target:
    """Where a call goes. `moved` finds it again, past every cache, when nothing listens at `endpoint`:
    the new target, or a `Refusal` that says what became of it."""

    name: str
    deployment_id: int
    endpoint: str
    moved: Callable[[], Awaitable[Target]]


class Exchange:
    """`run` answers the caller in every case but one: a caller that left gets nothing, and neither does the
    server, whose connection is closed so that it can stop its work."""

    def __init__(
        self, *, request: Request, inbox: Inbox, send: Send, call: Call, upstream: Upstream, options: Options
    ) -> None:
        self._request, self._inbox, self._send, self.call = request, inbox, send, call
        self._upstream, self._options = upstream, options
        self._clock = asyncio.timeout(None if request.method == "GET" else options.response_start)
        self._began = False
        self._tail = Tail(events=False)

    async def run(
        self, find: Callable[[], Awaitable[Target]], opened: Callable[[aiohttp.ClientResponse], None]
    ) -> None:
        """`find` says where to; `opened` is told of the response before its first byte is passed on."""
        call, name = self.call, "The server"
        try:
            async with self._clock:
                beginning = await self._read()
                target = await find()
                call.deployment_id, name = target.deployment_id, target.name
                await self._relay(target, beginning, opened)
        except Refusal as refusal:
            await self._refuse(refusal, Outcome.HTTP_ERROR)
        except CallerLeft:
            pass
        except TimeoutError:
            await self._give_up(name)
        finally:
            call.bytes_in, call.ended = self._inbox.size, time.perf_counter()

    async def _read(self) -> bytes:
        """All of a small body, the beginning of a large one."""
        if self._request.announced_length > self._options.body_limit:
            raise errors.too_large(self._options.body_limit)
        if self._request.method != "POST":
            self._inbox.skip()
        beginning = await self._inbox.read(SMALL)
        describe(self.call, self._request, beginning if self._inbox.over else None)
        return beginning

    async def _relay(
        self, target: Target, beginning: bytes, opened: Callable[[aiohttp.ClientResponse], None]
    ) -> None:
        watcher = asyncio.create_task(self._watch())
        try:
            response = await self._open(target, beginning)
            self._clock.reschedule(None)
            try:
                opened(response)
                await self._pass_on(response, target.name)
            finally:
                response.close()  # read to its end it has given its connection back: this cuts all others
        finally:
            watcher.cancel()

    async def _watch(self) -> None:
        """Ends the exchange at once when the caller leaves."""
        await self._inbox.wait_until_left()
        self._clock.reschedule(asyncio.get_running_loop().time())

    async def _open(self, target: Target, beginning: bytes) -> aiohttp.ClientResponse:
        try:
            return await self._send_to(target, beginning)
        except upstream.NotConnected:
            fresh = await target.moved()
            self.call.deployment_id = fresh.deployment_id
        except upstream.Broken as fault:
            raise self._fault(target.name) from fault
        try:
            return await self._send_to(fresh, beginning)
        except upstream.Broken as fault:
            raise self._fault(target.name) from fault

    async def _send_to(self, target: Target, beginning: bytes) -> aiohttp.ClientResponse:
        sent = headers.to_upstream(self._request.headers)
        if self._request.method != "POST":
            return await self._upstream.open(target.endpoint, self._request, sent, None)
        body = beginning if self._inbox.over else self._inbox.rest(beginning)
        return await self._upstream.open(target.endpoint, self._request, sent, body)

    def _fault(self, name: str) -> Exception:
        """A broken connection may be the caller's doing: its body ended early, or was too large."""
        if self._inbox.left:
            return CallerLeft()
        if self._inbox.refused:
            return errors.too_large(self._options.body_limit)
        return errors.unreachable(name)

    async def _pass_on(self, response: aiohttp.ClientResponse, name: str) -> None:
        location = response.headers.get("location")
        if 300 <= response.status < 400 and location:
            raise errors.redirected(name, location)
        events = response.content_type == EVENT_STREAM
        self._tail = Tail(events=events)
        await self._begin(response.status, _response_headers(response, events=events))
        comments = events and "content-encoding" not in response.headers
        try:
            await self._body(response.content, comments=comments)
        except upstream.Broken:
            await self._cut(events=events)
        else:
            self.call.outcome = judge(self.call, self._tail.message())

    async def _begin(self, status: int, raw: RawHeaders) -> None:
        self._began, self.call.status, self.call.first_byte = True, status, time.perf_counter()
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def _body(self, content: aiohttp.StreamReader, *, comments: bool) -> None:
        """Chunk by chunk: the next is read when the caller has taken the last (back-pressure both ways)."""
        more = True
        while more:
            chunk = await (self._chunk_or_comment(content) if comments else self._chunk(content))
            more = not content.at_eof()
            if chunk or not more:
                await self._send({"type": "http.response.body", "body": chunk, "more_body": more})
            self.call.bytes_out += len(chunk)

    async def _chunk(self, content: aiohttp.StreamReader) -> bytes:
        chunk = await content.readany()
        self._tail.feed(chunk)
        return chunk

    async def _chunk_or_comment(self, content: aiohttp.StreamReader) -> bytes:
        """A comment after a silence keeps proxies from closing the stream; never inside an event."""
        try:
            async with asyncio.timeout(self._options.keep_alive):
                return await self._chunk(content)
        except TimeoutError:
            return KEEP_ALIVE if self._tail.between_events else b""

    async def _cut(self, *, events: bool) -> None:
        """The server broke off. An event stream may end anywhere: clients resume. Any other body is left
        unfinished, so that nobody takes a part for the whole."""
        self.call.outcome = Outcome.HTTP_ERROR
        if events:
            await self._send({"type": "http.response.body", "body": b""})

    async def _give_up(self, name: str) -> None:
        """The clock ran out: the caller left, or the server was too slow."""
        if not self._inbox.left:
            await self._refuse(errors.too_slow(name, self._options.response_start), Outcome.TIMEOUT)
            return
        answered = self._tail.message()  # clients close a stream as soon as they have what they asked for
        self.call.outcome = judge(self.call, answered) if "id" in answered else Outcome.CANCELLED

    async def _refuse(self, refusal: Refusal, outcome: Outcome) -> None:
        self.call.status, self.call.outcome = refusal.status, outcome
        self.call.bytes_out = await errors.answer(self._send, refusal, self.call.request_id)


def _response_headers(response: aiohttp.ClientResponse, *, events: bool) -> RawHeaders:
    passed = headers.to_caller(list(response.raw_headers))
    if not events:
        return passed
    unbuffered = (b"x-accel-buffering", b"no")  # or nginx would hold events back
    return [*(header for header in passed if header[0] != unbuffered[0]), unbuffered]
