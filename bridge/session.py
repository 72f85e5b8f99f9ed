"""A session of the revisions up to 2025-11-25: one client and one server process; messages stay unchanged."""

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
from bridge.server_output import ServerMessage
from bridge.streams import SLOW_CLIENT, ReplayLog, Stream

PATIENCE_SECONDS = 30.0  # for a client that does not read, while the server is paused
COMMIT_SECONDS = 1.0
CANCEL_SECONDS = 2.0  # in which the server may still answer a cancelled request
STANDING = 0  # the number of the GET stream
QUESTIONS = frozenset({"sampling/createMessage", "elicitation/create"})  # that a server sends during a call


class Call:
    """A request of the client that the server has not answered."""

    def __init__(self, message: Message, stream: Stream, form: str) -> None:
        self.id: RequestId = message["id"]
        self.stream = stream
        self.takes_stream = form != accept.JSON
        self.token = jsonrpc.progress_token(message)
        self.cancelled = False

    @property
    def is_awaited(self) -> bool:
        """Whether a client is connected and has not cancelled the call."""
        return self.stream.client is not None and not self.cancelled


class Session:
    """A session and its server. `on_end` is called when it ends, for any reason, maybe twice."""

    def __init__(self, session_id: str, on_end: Callable[[Session], None]) -> None:
        self.id = session_id
        self.headers: Headers = ((protocol.SESSION_HEADER, session_id),)
        self.version = ""
        self.started = False
        self.answered = False  # with a result, at least once
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
        """Starts the server. Raises what `Child.start` raises."""
        self.child = await Child.start(command, self._from_server, self._server_gone)
        self.started = True

    @property
    def connected(self) -> bool:
        """Whether the session is in use: it starts, a call is open, or a client holds the GET stream."""
        return not self.started or len(self._calls) > 0 or self._standing.client is not None

    @property
    def idle_seconds(self) -> float:
        return 0.0 if self.connected else time.monotonic() - self.last_used

    def end(self, why: str = "session ended", **how: float) -> asyncio.Task[None]:
        """Ends the session now, its server in the task that is returned. Open calls get the error `why`."""
        self._on_end(self)
        self._fail_calls(why)
        self._standing.end()
        return self.child.end(**how)

    # From the client.

    async def call(self, connection: Connection, request: Request, message: Message) -> None:
        """Passes on a request and answers it. Raises `HttpError` for a repeated id."""
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

    def forward(self, request: Request, message: Message) -> None:
        """Passes on a notification or a response of the client. Raises `HttpError` 503 (see `behind`)."""
        self.last_used = time.monotonic()
        if self.child.is_behind:
            raise behind(503)
        self.child.write(jsonrpc.one_line(request.body, message))
        if jsonrpc.is_notification(message):
            self._calls.notification_sent()
        if message.get("method") == "notifications/cancelled":
            self._expect_no_answer(jsonrpc.params(message).get("requestId"))

    async def listen(self, connection: Connection, last_event_id: Optional[str]) -> None:
        """Answers a GET: with the stream for messages that belong to no call, or, given `last_event_id`, with
        the rest of the stream of that event (2025-11-25, Streamable HTTP, "Listening for Messages from the
        Server" and "Resumability and Redelivery").

        A new GET stream replaces the one before, whose client may have left without closing it.
        """
        number, after = parse_event_id(last_event_id)
        stream = self._streams.get(number or STANDING) or self._finished(number or STANDING)
        if number is not None:
            stream.disconnect()
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
        """The stream of a call that was answered: the replay log may still have its events."""
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

    def _from_server(self, received: ServerMessage) -> None:
        if jsonrpc.is_response(received.message):
            self._deliver_response(received)
            return
        stream = self._stream_for(received.message)
        if stream is self._standing and self._cannot_be_asked(received.message):
            self._refuse_question(received.message)
            return
        stream.push(received.line)
        self._relieve(stream)

    def _deliver_response(self, received: ServerMessage) -> None:
        call, fault = self._calls.answered_by(received.message)
        if not call:
            return  # it was cancelled or answered, or there was none
        if fault:
            received = ServerMessage(jsonrpc.error(protocol.INTERNAL_ERROR, fault, call.id), {})
        elif not jsonrpc.is_same(received.message.get("id"), call.id):
            message = {**received.message, "id": call.id}
            received = ServerMessage(jsonrpc.encode(message), message)
        self._note_version(received.message)
        self._close_call(call, answered=True)
        call.stream.push(received.line, final=True)
        self._relieve(call.stream)

    def _note_version(self, message: Message) -> None:
        if not self.answered and isinstance(message.get("result"), dict):
            self.answered = True
            self.version = str(message["result"].get("protocolVersion", ""))

    def _stream_for(self, message: Message) -> Stream:
        """The stream for a message. Over stdio only a progress token says to which call it belongs. Other
        messages go to the only call that a client waits for, else to the GET stream.
        """
        calls = [call for call in self._calls.all() if call.takes_stream]
        if message["method"] == "notifications/progress":
            token = jsonrpc.params(message).get("progressToken")
            owners = [call for call in self._calls.all() if jsonrpc.refers_to(token, call.token)]
            if owners:
                return owners[0].stream if owners[0].takes_stream else self._standing
        likely = [call for call in calls if call.is_awaited] or calls
        if len(likely) == 1 or (likely and not self._standing.client and jsonrpc.is_request(message)):
            return likely[-1].stream
        return self._standing

    def _cannot_be_asked(self, message: Message) -> bool:
        """Whether a request of the server would reach nobody: its call has a client that takes no stream."""
        return jsonrpc.is_request(message) and len(self._calls) > 0 and not self._standing.client

    def _refuse_question(self, message: Message) -> None:
        """Answers a request of the server that no client can receive, or the server would wait for ever.
        Where exactly one call is open, it fails with 406: it needs a client that accepts event streams.
        """
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
        """Pauses the server while the client of `stream` reads too slowly."""
        if stream.full and not self._relief:
            self.child.pause()
            self._relief = asyncio.get_running_loop().create_task(self._await_room(stream))

    async def _await_room(self, stream: Stream) -> None:
        if not await stream.wait_for_room(PATIENCE_SECONDS):
            log(SLOW_CLIENT)
            stream.disconnect()
        self._relief = None
        self.child.resume()

    def _server_gone(self, child: Child) -> None:
        self._on_end(self)
        self._fail_calls(child.how_it_ended)
        self._standing.end()
        self._log.clear()  # nobody can resume now; free the memory at once

    def _fail_calls(self, why: str) -> None:
        status = 200 if self.answered else 502
        calls: List[Call] = self._calls.all()
        for call in calls:
            self._close_call(call)
            call.stream.push(jsonrpc.error(protocol.SERVER_GONE, why, call.id), final=True, status=status)


def cannot_start(error: Exception, request_id: RequestId) -> HttpError:
    """The error for a server whose process cannot be created."""
    why = getattr(error, "strerror", None) or error
    text = f"server cannot start: {why}"
    return HttpError(502, text, code=protocol.SERVER_GONE, request_id=request_id)


def behind(status: int, request_id: Optional[RequestId] = None) -> HttpError:
    """The error for a server that does not read its stdin."""
    text = "server does not read what it is sent"
    return HttpError(status, text, code=protocol.SERVER_GONE, request_id=request_id)


def parse_event_id(value: Optional[str]) -> Union["tuple[int, int]", "tuple[None, None]"]:
    """The stream and the number of the event; (None, None) for an id that this bridge has not made."""
    stream, _, number = (value or "").partition("-")
    with suppress(ValueError):
        return int(stream), int(number)
    return None, None
