"""One call: the caller's request to the hosted server and its response back, both as they come."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from gateway import errors, headers, upstream
from gateway.admission import Admission
from gateway.calls import Call, Outcome, describe, judge
from gateway.errors import Refusal
from gateway.inbox import CallerLeft, Inbox
from gateway.options import Options
from gateway.places import Places
from gateway.request import Request
from gateway.sse import COMMENT, KEEP_ALIVE, Tail
from gateway.tool_lists import ListFilter
from gateway.types import RawHeaders, Send
from gateway.upstream import Upstream

if TYPE_CHECKING:
    from gateway.tracing import CallSpan, Tracing

SMALL = 64 * 1024
EVENT_STREAM = "text/event-stream"
SESSION = b"mcp-session-id"
ENDLESS = "subscriptions/listen"  # the modern era's GET stream
Message = dict[str, Any]


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
        self,
        *,
        request: Request,
        inbox: Inbox,
        send: Send,
        call: Call,
        admission: Admission,
        upstream: Upstream,
        places: Places,
        tracing: Tracing | None,
        options: Options,
    ) -> None:
        self._request, self._inbox, self._send, self.call = request, inbox, send, call
        self._admission, self._upstream, self._places = admission, upstream, places
        self._options, self._tracing = options, tracing
        self._clock = asyncio.timeout(options.call_timeout)
        self._began = False
        self._tail = Tail(events=False)
        self._filter: ListFilter | None = None
        self._span: CallSpan | None = None

    async def run(
        self,
        find: Callable[[Message | None], Awaitable[Target]],
        seal: Callable[[bytes], bytes],
    ) -> None:
        """`find` says where to, given the body where it is one small JSON-RPC object; `seal` what the caller
        sees of a session id."""
        self._seal = seal
        call, name = self.call, "The server"
        try:
            async with self._clock:
                beginning, message = await self._read()
                async with self._watched():
                    target = await find(message)
                    call.deployment_id, name = target.deployment_id, target.name
                    await self._in_turn(target, beginning)
        except Refusal as refusal:
            await self._refuse(refusal, Outcome.RPC_ERROR if refusal.code else Outcome.HTTP_ERROR)
        except CallerLeft:
            pass
        except TimeoutError:
            await self._give_up(name)
        finally:
            call.bytes_in, call.ended = self._inbox.size, time.perf_counter()
            call.sse_messages = self._tail.messages
            if self._span:
                self._span.end(call)

    async def _read(self) -> tuple[bytes, Message | None]:
        """All of a small body, the beginning of a large one; all of any where a policy has to see it."""
        if self._request.announced_length > self._options.body_limit:
            raise errors.too_large(self._options.body_limit)
        if self._request.method != "POST":
            self._inbox.skip()
        beginning = await self._inbox.read(self._options.body_limit if self._admission.policy else SMALL)
        message = describe(self.call, self._request, beginning if self._inbox.over else None)
        if self._tracing and self.call.counts:
            self._span = self._tracing.begin(self.call, self._request, message)
        self._admission.check(self.call, self._request, beginning)
        return beginning, message

    @property
    def _endless(self) -> bool:
        return self._request.method == "GET" or self.call.method == ENDLESS

    async def _in_turn(self, target: Target, beginning: bytes) -> None:
        """Only calls take a place: an endless stream would keep it, and a call may wait for the caller's
        own response to a question of the server."""
        if self.call.counts and not self._endless:
            async with self._places.one_of(self.call.server_id, target.name):
                await self._relay(target, beginning)
        else:
            await self._relay(target, beginning)

    async def _relay(self, target: Target, beginning: bytes) -> None:
        self._restart_clock()
        response = await self._open(target, beginning)
        try:
            await self._pass_on(response, target.name)
        finally:
            response.close()  # read to its end it has given its connection back: this cuts all others

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        watcher = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watcher.cancel()

    async def _watch(self) -> None:
        """Ends the exchange at once when the caller leaves."""
        await self._inbox.wait_until_left()
        if not self._clock.expired():
            self._clock.reschedule(asyncio.get_running_loop().time())

    def _restart_clock(self) -> None:
        """The server has said something: it has all its time again. Not so when the caller has left."""
        if not self._inbox.left and not self._clock.expired():
            now = asyncio.get_running_loop().time()
            self._clock.reschedule(None if self._endless else now + self._options.call_timeout)

    async def _open(self, target: Target, beginning: bytes) -> aiohttp.ClientResponse:
        while True:
            try:
                return await self._send_to(target, beginning)
            except upstream.NotConnected:  # nothing was sent
                target = await target.moved()
                self.call.deployment_id = target.deployment_id
            except upstream.Broken as fault:
                raise self._fault(target.name) from fault

    async def _send_to(self, target: Target, beginning: bytes) -> aiohttp.ClientResponse:
        sent = headers.to_upstream(self._request.headers)
        if self._admission.may_list(self.call, self._request):
            sent = headers.uncompressed(sent)
        if self._request.method != "POST":
            sent = headers.without_body(sent)
            return await self._upstream.open(target.endpoint, self._request, sent, None)
        whole = beginning if self._inbox.over else None
        if self._span:
            sent, whole = self._span.pass_on(sent, whole)
        body = self._inbox.rest(beginning) if whole is None else whole
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
        self._filter = self._admission.filter(self.call, self._request, response, events=events, name=name)
        raw = self._response_headers(response, events=events)
        await self._begin(response.status, headers.of_any_length(raw) if self._filter else raw)
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
        if not chunk.startswith(COMMENT):
            self._restart_clock()
        if self._filter:
            chunk = self._filter.feed(chunk) + (self._filter.end() if content.at_eof() else b"")
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
            await self._time_out(errors.too_slow(name, self._options.call_timeout))
            return
        answered = self._tail.message()  # clients close a stream as soon as they have what they asked for
        self.call.outcome = judge(self.call, answered) if "id" in answered else Outcome.CANCELLED

    async def _time_out(self, refusal: Refusal) -> None:
        """Within an event stream the error is an event: were it only cut, a client would resume it."""
        if not self._began:
            await self._refuse(refusal, Outcome.TIMEOUT)
            return
        self.call.outcome = Outcome.TIMEOUT
        if self._tail.events:
            event = b"data: " + refusal.body(self.call.request_id) + b"\n\n"
            begun = b"" if self._tail.between_events else b"\n\n"
            await self._send({"type": "http.response.body", "body": begun + event})

    async def _refuse(self, refusal: Refusal, outcome: Outcome) -> None:
        self.call.status, self.call.outcome = refusal.status, outcome
        self.call.bytes_out = await errors.answer(self._send, refusal, self.call.request_id)

    def _response_headers(self, response: aiohttp.ClientResponse, *, events: bool) -> RawHeaders:
        passed = [
            (name, self._seal(value) if name == SESSION else value)
            for name, value in headers.to_caller(list(response.raw_headers))
        ]
        if not events:
            return passed
        unbuffered = (b"x-accel-buffering", b"no")  # or nginx would hold events back
        return [*(header for header in passed if header[0] != unbuffered[0]), unbuffered]
