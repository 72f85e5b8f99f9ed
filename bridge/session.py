"""A session of the revisions up to 2025-11-25: one client, one server process, nothing rewritten."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Callable, Dict, List, Optional, Sequence, Union

from bridge import accept, jsonrpc, protocol, relay
from bridge.child import Child
from bridge.http1 import Connection, Headers, HttpError, Request
from bridge.jsonrpc import Message, RequestId
from bridge.log import log
from bridge.open_calls import OpenCalls
from bridge.reading import Said
from bridge.streams import SLOW_CLIENT, ReplayLog, Stream

PATIENCE_SECONDS = 30.0  # with a client that takes nothing, while the server waits
COMMIT_SECONDS = 1.0
CANCEL_SECONDS = 2.0  # for the server to answer a cancelled request itself
STANDING = 0  # number of the GET stream
QUESTIONS = frozenset({"sampling/createMessage", "elicitation/create"})  # a server asks them within a call


class Call:
    """A request that the server has not answered."""

    def __init__(self, message: Message, stream: Stream, form: str) -> None:
        self.id: RequestId = message["id"]
        self.stream = stream
        self.takes_stream = form != accept.JSON
        self.token = jsonrpc.progress_token(message)
        self.cancelled = False

    @property
    def is_awaited(self) -> bool:
        return self.stream.client is not None and not self.cancelled


class Session:
    def __init__(self, session_id: str, on_end: Callable[[Session], None]) -> None:
        self.id = session_id
        self.headers: Headers = ((protocol.SESSION_HEADER, session_id),)
        self.version = ""
        self.started = False
        self.answered = False  # anything at all
        self.last_used = time.monotonic()
        self._on_end = on_end
        self._log = ReplayLog()
        self._standing = Stream(STANDING, self._log)
        self._standing.commit()
        self._calls: OpenCalls[Call] = OpenCalls()
        self._streams: Dict[int, Stream] = {STANDING: self._standing}
        self._opened = STANDING
        self._relief: Optional[asyncio.Task[None]] = None

    async def start(self, command: Sequence[str]) -> None:
        """Raises as `Child.start` does."""
        self.child = await Child.start(command, self._from_server, self._server_gone)
        self.started = True

    @property
    def connected(self) -> bool:
        return not self.started or len(self._calls) > 0 or self._standing.client is not None

    @property
    def idle_seconds(self) -> float:
        return 0.0 if self.connected else time.monotonic() - self.last_used

    def end(self, why: str = "session ended", **how: float) -> asyncio.Task[None]:
        """Forgets the session at once and ends its server; returns the task of the latter."""
        self._on_end(self)
        self._fail_calls(why)
        self._standing.end()
        return self.child.end(**how)

    # From the client.

    async def call(self, connection: Connection, request: Request, message: Message) -> None:
        opening = message["method"] == "initialize"
        if self.child.is_behind:  # status 200: see `_fail_calls`
            raise behind(200, message["id"])
        form = accept.form(request)
        call = self._open_call(message, form)
        call.stream.attach(connection)
        connection.watch(lambda: self._client_left(call.stream, connection))
        self.child.write(jsonrpc.one_line(request.body, message))
        await relay.answer(
            connection,
            call.stream,
            headers=self.headers,
            commit_seconds=relay.KEEP_ALIVE_SECONDS if opening else COMMIT_SECONDS,
            prime=self._primes(message),
            form=form,
        )
        self._client_left(call.stream, connection)

    def tell(self, request: Request, message: Message) -> None:
        """Passes on a notification, or the client's response to a request of the server."""
        self.last_used = time.monotonic()
        if self.child.is_behind:
            raise behind(503)
        self.child.write(jsonrpc.one_line(request.body, message))
        if jsonrpc.is_notification(message):
            self._calls.note()
        if message.get("method") == "notifications/cancelled":
            self._expect_no_answer(jsonrpc.params(message).get("requestId"))

    async def listen(self, connection: Connection, last_event_id: Optional[str]) -> None:
        """The GET stream, or what remains of the stream that `last_event_id` belongs to. A newer GET stream
        replaces the older, which ends: its client may be gone without a word, and asks again."""
        number, after = parse_event_id(last_event_id)
        stream = self._streams.get(number or STANDING) or self._finished(number or STANDING)
        if number is not None:
            stream.cut()
        stream.attach(connection, after)
        connection.watch(lambda: self._client_left(stream, connection))
        await relay.events(connection, stream, headers=self.headers)
        self._client_left(stream, connection)

    def _primes(self, message: Message) -> bool:
        asked = jsonrpc.params(message).get("protocolVersion")
        return (asked if message["method"] == "initialize" else self.version) in protocol.PRIMED_VERSIONS

    def _open_call(self, message: Message, form: str) -> Call:
        if message["id"] in self._calls:
            raise HttpError(400, "This id is in use by a request that is not answered yet")
        self._opened += 1
        call = Call(message, Stream(self._opened, self._log), form)
        self._calls.add(call.id, call)
        self._streams[self._opened] = call.stream
        return call

    def _finished(self, number: int) -> Stream:
        """A stream whose response was sent: all that is left is in the log."""
        stream = Stream(number, self._log)
        stream.commit()
        stream.end()
        return stream

    def _client_left(self, stream: Stream, connection: Connection) -> None:
        connection.watch(None)
        stream.detach(connection)
        self.last_used = time.monotonic()

    def _expect_no_answer(self, request_id: Optional[RequestId]) -> None:
        call = self._calls.get(request_id)
        if call:
            call.cancelled = True
            asyncio.get_running_loop().call_later(CANCEL_SECONDS, self._answer_cancelled, call)

    def _answer_cancelled(self, call: Call) -> None:
        if self._calls.get(call.id) is call:
            self._close_call(call)
            call.stream.push(
                jsonrpc.error(protocol.REQUEST_CANCELLED, "Request cancelled", call.id), final=True
            )

    # From the server.

    def _from_server(self, said: Said) -> None:
        if jsonrpc.is_response(said.message):
            self._deliver_response(said)
            return
        stream = self._stream_for(said.message)
        if stream is self._standing and self._cannot_be_asked(said.message):
            self._refuse_question(said.message)
            return
        stream.push(said.line)
        self._relieve(stream)

    def _deliver_response(self, said: Said) -> None:
        call, fault = self._calls.answered_by(said.message)
        if not call:
            return  # cancelled, answered, or never asked
        if fault:
            said = Said(jsonrpc.error(protocol.INTERNAL_ERROR, fault, call.id), {})
        elif not jsonrpc.is_same(said.message.get("id"), call.id):
            message = {**said.message, "id": call.id}
            said = Said(jsonrpc.encode(message), message)
        self._note_version(said.message)
        self._close_call(call, answered=True)
        call.stream.push(said.line, final=True)
        self._relieve(call.stream)

    def _note_version(self, message: Message) -> None:
        if not self.answered and isinstance(message.get("result"), dict):
            self.answered = True
            self.version = str(message["result"].get("protocolVersion", ""))

    def _stream_for(self, message: Message) -> Stream:
        """stdio does not say what a message belongs to: its token does, or there is but one candidate."""
        calls = [call for call in self._calls.all() if call.takes_stream]
        if message["method"] == "notifications/progress":
            token = jsonrpc.params(message).get("progressToken")
            owners = [call for call in self._calls.all() if jsonrpc.names(token, call.token)]
            if owners:
                return owners[0].stream if owners[0].takes_stream else self._standing
        likely = [call for call in calls if call.is_awaited] or calls
        if len(likely) == 1 or (likely and not self._standing.client and jsonrpc.is_request(message)):
            return likely[-1].stream
        return self._standing

    def _cannot_be_asked(self, message: Message) -> bool:
        """By a server in the middle of a call, while its client takes no stream at all."""
        return jsonrpc.is_request(message) and len(self._calls) > 0 and not self._standing.client

    def _refuse_question(self, message: Message) -> None:
        """Nobody would hear the server's request, and it would wait for an answer for ever. The call that it
        asks in, where there is but one, must stream."""
        if message["method"] == "ping":
            self.child.write(jsonrpc.encode({"jsonrpc": "2.0", "id": message["id"], "result": {}}))
            return
        text = "The client takes no event stream, so it cannot be asked"
        self.child.write(jsonrpc.error(protocol.METHOD_NOT_FOUND, text, message["id"]))
        calls = self._calls.all()
        if message["method"] in QUESTIONS and len(calls) == 1:
            text = f"server asks the client {message['method']}, which takes text/event-stream"
            self._close_call(calls[0])
            error = jsonrpc.error(protocol.INVALID_REQUEST, text, calls[0].id)
            calls[0].stream.push(error, final=True, status=406)

    def _close_call(self, call: Call, *, answered: bool = False) -> None:
        self._calls.close(call.id, answered=answered)
        self._streams.pop(call.stream.number, None)
        self.last_used = time.monotonic()

    def _relieve(self, stream: Stream) -> None:
        """Pauses the server while a client is behind."""
        if stream.full and not self._relief:
            self.child.pause()
            self._relief = asyncio.get_running_loop().create_task(self._await_room(stream))

    async def _await_room(self, stream: Stream) -> None:
        if not await stream.room(PATIENCE_SECONDS):
            log(SLOW_CLIENT)
            stream.cut()
        self._relief = None
        self.child.resume()

    def _server_gone(self, child: Child) -> None:
        self._on_end(self)
        self._fail_calls(child.how_it_ended)
        self._standing.end()
        self._log.clear()  # nobody can resume, and the garbage collector may take its time

    def _fail_calls(self, why: str) -> None:
        status = 200 if self.answered else 502
        calls: List[Call] = self._calls.all()
        for call in calls:
            self._close_call(call)
            call.stream.push(jsonrpc.error(protocol.SERVER_GONE, why, call.id), final=True, status=status)


def cannot_start(error: Exception, request_id: RequestId) -> HttpError:
    why = getattr(error, "strerror", None) or error
    text = f"server cannot start: {why}"
    return HttpError(502, text, code=protocol.SERVER_GONE, request_id=request_id)


def behind(status: int, request_id: Optional[RequestId] = None) -> HttpError:
    text = "server does not read what it is sent"
    return HttpError(status, text, code=protocol.SERVER_GONE, request_id=request_id)


def parse_event_id(value: Optional[str]) -> Union["tuple[int, int]", "tuple[None, None]"]:
    """(stream, number); nothing for an id that this bridge did not make."""
    stream, _, number = (value or "").partition("-")
    with suppress(ValueError):
        return int(stream), int(number)
    return None, None
