"""One call: passes the caller's request to the server, and its response back, both while they arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from gateway import era, errors, headers, sessions
from gateway.admission import Admission
from gateway.answer import Answer
from gateway.body_scan import Skeleton
from gateway.calls import Call, Outcome, describe, describe_message, judge
from gateway.concurrency import Places
from gateway.errors import Refusal
from gateway.http1 import BODILESS, Broken, NotConnected, Response
from gateway.in_flight import InFlight
from gateway.options import Options
from gateway.request import Request
from gateway.request_body import CallerLeft, Inbox
from gateway.sse import COMMENT
from gateway.tool_lists import ListFilter
from gateway.types import RawHeaders, Send
from gateway.upstream import Upstream

if TYPE_CHECKING:
    from gateway.tracing import CallSpan, Tracing

SMALL = 64 * 1024
PIECE = 16 * 1024  # bytes of a long body that are scanned without a pause
SESSION = b"mcp-session-id"
UNBUFFERED = (b"x-accel-buffering", b"no")  # otherwise nginx would buffer events
ENDLESS = "subscriptions/listen"  # the modern era's GET stream
WATCHED_AFTER = 0.05
Message = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """Where a call goes.

    `moved` is called when nothing listens at `endpoint`: it returns the new target, without caches, or raises
    `Refusal`. `why` is called when the server broke off: it returns a `Refusal` if the platform ended it.
    `host` is the Host header that the server accepts, "" for the usual one.
    """

    name: str
    deployment_id: int
    run_id: int
    endpoint: str
    moved: Callable[[], Awaitable[Target]]
    why: Callable[[], Awaitable[Refusal | None]]
    host: str = ""


class Exchange:
    """One exchange between a caller and a server.

    `run` answers the caller, unless the caller has left: then the connection to the server is closed, so that
    it can stop its work.
    """

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
        in_flight: InFlight,
        tracing: Tracing | None,
        options: Options,
    ) -> None:
        self._request, self._inbox, self.call = request, inbox, call
        self._admission, self._upstream, self._places = admission, upstream, places
        self._options, self._tracing, self._in_flight = options, tracing, in_flight
        self._clock = asyncio.timeout(options.call_timeout)
        self._restarts_at = 0.0
        self._watcher: asyncio.Task[None] | None = None
        self._sent_to: Target | None = None
        self._answer = Answer(send, call)
        self._filter: ListFilter | None = None
        self._over: Refusal | None = None
        self._streamed = False  # a long body, which cannot be sent again
        self._span: CallSpan | None = None

    async def run(
        self,
        find: Callable[[Message | None], Awaitable[Target]],
        seal: Callable[[bytes], bytes],
    ) -> None:
        """Runs the exchange, and completes the record of the call.

        `find` returns the target; it gets the body if it is one small JSON-RPC object. `seal` returns the
        session id for the caller from the server's own.
        """
        self._seal = seal
        call, name = self.call, "The server"
        watching: asyncio.TimerHandle | None = None
        try:
            async with self._clock:
                beginning, message = await self._read()
                # Most calls end before it is worth a task that notices when the caller leaves.
                watching = asyncio.get_running_loop().call_later(WATCHED_AFTER, self._begin_to_watch)
                target = await find(message)
                name = target.name
                self._goes_to(target)
                await self._in_turn(target, beginning)
        except Refusal as refusal:
            if self._answer.began:  # the server answered before it had the whole body
                await self._answer.cut(refusal)
            else:
                await self._answer.refuse(refusal, Outcome.RPC_ERROR if refusal.code else Outcome.HTTP_ERROR)
        except CallerLeft:
            pass
        except TimeoutError:
            await self._give_up(name)
        except asyncio.CancelledError:
            await self._stop()
            raise
        finally:
            if watching:
                watching.cancel()
            if self._watcher:
                self._watcher.cancel()
            call.bytes_in, call.ended = self._inbox.size, time.perf_counter()
            call.sse_messages = self._answer.tail.messages
            if self._span:
                self._span.end(call)

    async def _read(self) -> tuple[bytes, Message | None]:
        """Reads a small body completely, of a large one the beginning; with a policy, any body completely."""
        if self._request.announced_length > self._options.body_limit:
            raise errors.too_large(self._options.body_limit)
        if self._request.method != "POST":
            self._inbox.skip()
        beginning = await self._inbox.read(self._options.body_limit if self._admission.policy else SMALL)
        message = describe(self.call, self._request, beginning if self._inbox.over else None)
        unread = message is None and bool(beginning) and not self.call.counts
        if unread:
            message = await self._looked_at(beginning)
        if self._tracing and self.call.counts:
            self._span = self._tracing.begin(self.call, self._request, message)
        await self._admission.check(self.call, self._request, beginning)
        if unread:
            era.check_passed(self._request, message)
        return beginning, message

    async def _looked_at(self, body: bytes) -> Message | None:
        """Describes a body that our parser refuses: a server may accept it, for example with very deep
        arguments.
        """
        skeleton = Skeleton()
        await _look(skeleton, body)
        if message := skeleton.message:
            describe_message(self.call, message)
        else:
            describe(self.call, self._request, None)
        return message

    @property
    def _endless(self) -> bool:
        return self._request.method == "GET" or self.call.method == ENDLESS

    async def _in_turn(self, target: Target, beginning: bytes) -> None:
        """Waits for a place and passes the call on.

        Only calls take a place. An endless stream would keep one, and a call may wait for the caller's own
        answer to a question of the server.
        """
        if not self.call.counts or self._endless:
            await self._relay(target, beginning)
            return
        await self._places.enter(self.call.server_id, target.name)
        self._in_flight.begin(self.call)
        try:
            await self._relay(target, beginning)
        finally:
            self._in_flight.end(self.call)
            self._places.leave(self.call.server_id)

    async def _relay(self, target: Target, beginning: bytes) -> None:
        self._restart_clock()
        response, target = await self._open(target, beginning)
        try:
            await self._pass_on(response, target)
        finally:
            response.close()  # after a complete response the connection is free again; any other is closed

    def end(self, why: Refusal) -> None:
        """Ends the exchange, also at the server: the caller may no longer call it."""
        self._over = why
        with suppress(RuntimeError):  # it has just ended
            self._clock.reschedule(asyncio.get_running_loop().time())

    def _begin_to_watch(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """Ends the exchange when the caller leaves."""
        await self._inbox.wait_until_left()
        if not self._clock.expired():
            self._clock.reschedule(asyncio.get_running_loop().time())

    def _restart_clock(self) -> None:
        """Restarts the time limit after the server sent something, unless the caller has left.

        The clock is moved only once in a tenth of the limit, so a call may take up to a tenth longer.
        """
        now, seconds = asyncio.get_running_loop().time(), self._options.call_timeout
        if now < self._restarts_at or self._inbox.left or self._over or self._clock.expired():
            return
        self._restarts_at = now + seconds / 10
        self._clock.reschedule(None if self._endless else self._restarts_at + seconds)

    async def _open(self, target: Target, beginning: bytes) -> tuple[Response, Target]:
        while True:
            try:
                return await self._send_to(target, beginning), target
            except NotConnected as fault:  # nothing reached the server
                if self._streamed:
                    raise errors.unreachable(target.name) from fault
                target = await target.moved()
                self._goes_to(target)
            except Broken as fault:
                raise await target.why() or errors.unreachable(target.name) from fault

    def _goes_to(self, target: Target) -> None:
        self.call.deployment_id, self.call.run_id = target.deployment_id, target.run_id

    async def _send_to(self, target: Target, beginning: bytes) -> Response:
        sent = headers.to_upstream(self._request.headers)
        if self._admission.may_list(self.call, self._request):
            sent = headers.uncompressed(sent)
        whole = beginning if self._inbox.over else None
        if self._span:
            sent, whole = self._span.pass_on(sent, whole)
        body = self._compared(beginning) if whole is None else whole
        self._sent_to = target
        return await self._upstream.open(target.endpoint, self._request, sent, body, target.host)

    async def _compared(self, beginning: bytes) -> AsyncIterator[bytes]:
        """Yields a long body while it arrives, but holds the last piece back until headers and body are
        compared.

        A server that never gets the end of a request cannot have acted on it.
        """
        self._streamed, skeleton, held = True, Skeleton(), beginning
        await _look(skeleton, beginning)
        while not self._inbox.over:
            if piece := await self._inbox.next():
                yield held
                held = piece
                await _look(skeleton, piece)
        if message := skeleton.message:
            describe_message(self.call, message)
        era.check_passed(self._request, skeleton.message)
        yield held

    async def _pass_on(self, response: Response, target: Target) -> None:
        if 300 <= response.status < 400:
            location = response.header(b"location").decode("latin-1")
            raise errors.redirected(target.name, response.status, location)
        events = headers.media_type(response.header(b"content-type")) == headers.EVENT_STREAM
        self._filter = self._admission.filter(
            self.call, self._request, response, events=events, name=target.name
        )
        raw = self._response_headers(response, target.name, events=events)
        if self._filter or events or response.status in BODILESS:
            raw = headers.of_any_length(raw)
        await self._answer.begin(response.status, raw, events=events, endless=events and self._endless)
        comments = events and not response.header(b"content-encoding")
        try:
            await self._body(response, patience=self._options.keep_alive if comments else None)
        except Broken:
            await self._answer.cut(await target.why())
        else:
            self.call.outcome = judge(self.call, self._answer.tail.message())

    async def _body(self, response: Response, *, patience: float | None) -> None:
        """Passes the body on, piece by piece: the next is read when the caller has taken the last one.

        After `patience` seconds of silence a comment is sent, so that proxies do not close the stream.
        """
        while (chunk := await response.read(patience)) is None or not response.whole:
            if chunk is None:
                await self._answer.comment()
            else:
                await self._answer.piece(self._let_through(chunk), more=True)
        last = self._let_through(chunk)
        await self._answer.piece(last + self._filter.end() if self._filter else last, more=False)

    def _let_through(self, chunk: bytes) -> bytes:
        if not chunk.startswith(COMMENT):
            self._restart_clock()
        return self._filter.feed(chunk) if self._filter else chunk

    async def _give_up(self, name: str) -> None:
        """Ends the exchange after its time: the caller was refused, the caller left, or the server was too
        slow.

        In the legacy era a server is told to cancel only if it was too slow: a caller that left may come back
        for the rest.
        """
        if self._over:
            self._cancel()
            if self._answer.began:
                await self._answer.cut(self._over)
            else:
                await self._answer.refuse(self._over, Outcome.HTTP_ERROR)
            return
        if not self._inbox.left:
            self._cancel()
            await self._answer.time_out(errors.too_slow(name, self._options.call_timeout))
            return
        # Clients close a stream as soon as they have the result.
        answered = self._answer.tail.message()
        over = "result" in answered or "error" in answered
        self.call.outcome = judge(self.call, answered) if over else Outcome.CANCELLED

    async def _stop(self) -> None:
        """Ends the exchange because the process ends.

        An endless stream just ends, and so does the stream of a session: clients resume both at another
        gateway.
        """
        if not self._answer.began:
            await self._answer.refuse(errors.stopping(), Outcome.HTTP_ERROR)
        elif not self._endless:
            resumed = self._request.one(SESSION) and not era.is_modern(self._request)
            await self._answer.cut(None if resumed else errors.stopping())

    def _cancel(self) -> None:
        """Tells the server of a session that nobody waits any more (notifications/cancelled).

        In the modern era the closed connection says so, and `initialize` must not be cancelled.
        """
        request, call, target = self._request, self.call, self._sent_to
        may_be = call.request_id is not None and call.method != "initialize"
        if not target or not may_be or era.is_modern(request) or not request.one(SESSION):
            return
        why = {"requestId": call.request_id, "reason": "The call timed out."}
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": why}
        passed = headers.to_upstream(request.headers)
        self._upstream.tell(target.endpoint, request, passed, orjson.dumps(note), target.host)

    def _response_headers(self, response: Response, name: str, *, events: bool) -> RawHeaders:
        passed = headers.to_caller(response.headers)
        if inner := response.header(SESSION):
            passed = [header for header in passed if header[0] != SESSION]
            if not era.is_modern(self._request):  # which knows no sessions
                passed.append((SESSION, self._session_id(inner, name)))
        return [*passed, UNBUFFERED] if events else passed

    def _session_id(self, inner: bytes, name: str) -> bytes:
        """Returns the sealed id. Raises `Refusal` (502) for an id that no caller could send back."""
        sealed = self._seal(inner)
        if not sessions.is_id(inner) or len(sealed) > sessions.LONGEST:
            raise errors.no_session_id(name)
        return sealed


async def _look(skeleton: Skeleton, piece: bytes) -> None:
    """Scans a piece in parts, so that the event loop can run other tasks in between."""
    for at in range(0, len(piece), PIECE):
        skeleton.feed(piece[at : at + PIECE])
        await asyncio.sleep(0)
