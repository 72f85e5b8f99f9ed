"""The server process that all clients of revision 2026-07-28 share. Ids and progress tokens of the clients
are replaced by unique ones.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any, Dict, Optional, Sequence

from bridge import accept, era, jsonrpc, protocol, relay
from bridge.backoff import Backoff
from bridge.child import Child
from bridge.http1 import Connection, HttpError
from bridge.jsonrpc import Message, RequestId
from bridge.log import log, quote
from bridge.open_calls import OpenCalls
from bridge.server_output import ServerMessage
from bridge.session import behind, cannot_start
from bridge.streams import SLOW_CLIENT, Stream

PATIENCE_SECONDS = 2.0  # for a slow client: the paused server keeps the others waiting too
LISTEN = "subscriptions/listen"


class Call:
    """A request of a client. `number` is its id for the server, `id` its id for the client."""

    def __init__(self, number: int, message: Message, form: str) -> None:
        self.number = number
        self.takes_stream = form != accept.JSON
        self.id: RequestId = message["id"]
        self.method: str = message["method"]
        self.token = jsonrpc.progress_token(message)
        self.stream = Stream()


class SharedServer:
    """Starts the server with the first call; ends it on `end`. After failures it waits (see `Backoff`)."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._child: Optional[Child] = None
        self._starting = asyncio.Lock()
        self._backoff = Backoff()
        self._calls: OpenCalls[Call] = OpenCalls()
        self._count = 0
        self._answered = False  # with a result, by the process that runs now
        self._refused_discover: Optional[Dict[str, Any]] = None
        self._last_used = time.monotonic()
        self._relief: Optional[asyncio.Task[None]] = None

    @property
    def running(self) -> bool:
        return self._child is not None

    @property
    def idle_seconds(self) -> float:
        return 0.0 if len(self._calls) else time.monotonic() - self._last_used

    def end(self, why: str = "server was ended", **how: float) -> Optional[asyncio.Task[None]]:
        """Ends the process, if there is one; open calls get the error `why`. `how` is for `Child.end`."""
        child, self._child = self._child, None
        self._fail_calls(why)
        return child.end(**how) if child else None

    # From clients.

    async def call(self, connection: Connection, message: Message, form: str) -> None:
        """Passes on a request and answers it; see `accept` for `form`. Raises `HttpError`."""
        if message["method"] == "initialize":
            raise self._not_found(message)
        if message["method"] == LISTEN and form == accept.JSON:
            raise HttpError(406, "The client must accept text/event-stream", request_id=message["id"])
        if message["method"] == "server/discover" and self._refused_discover:
            await connection.respond(404, _reply(message["id"], self._refused_discover))
            return
        child = await self._running_child(message)
        if child.is_behind:
            raise behind(503, message["id"])
        call = self._open_call(message, form)
        call.stream.attach(connection)
        child.write(jsonrpc.encode(renamed(message, call)))
        connection.watch(lambda: self._client_left(call, connection))
        await relay.answer(connection, call.stream, form=form)
        self._client_left(call, connection)

    async def _running_child(self, message: Message) -> Child:
        async with self._starting:
            if not self._child:
                self._refuse_while_backing_off(message)
                self._answered = False
                try:
                    self._child = await Child.start(self._command, self._from_server, self._server_gone)
                except (OSError, RuntimeError) as error:
                    raise cannot_start(error, message["id"]) from None
            return self._child

    def _refuse_while_backing_off(self, message: Message) -> None:
        wait = math.ceil(self._backoff.remaining)
        if wait:
            raise HttpError(
                503,
                f"server keeps failing; next start in {wait} s",
                code=protocol.SERVER_GONE,
                headers=(("Retry-After", str(wait)),),
                request_id=message["id"],
            )

    def _not_found(self, message: Message) -> HttpError:
        text = "This revision of the protocol has no initialize"
        return HttpError(404, text, code=protocol.METHOD_NOT_FOUND, request_id=message["id"])

    def _open_call(self, message: Message, form: str) -> Call:
        self._count += 1
        call = Call(self._count, message, form)
        self._calls.add(call.number, call)
        return call

    def _client_left(self, call: Call, connection: Connection) -> None:
        """A client cancels by closing the response (2026-07-28, Streamable HTTP, "Cancellation")."""
        connection.watch(None)
        call.stream.detach(connection)
        if self._close_call(call) and self._child:
            self._calls.notification_sent()
            self._child.write(jsonrpc.cancelled(call.number, "The client closed the response"))

    def _close_call(self, call: Call, *, answered: bool = False) -> bool:
        """Closes a call. True where it was open."""
        self._last_used = time.monotonic()
        return self._calls.close(call.number, answered=answered)

    # From the server.

    def _from_server(self, received: ServerMessage) -> None:
        message = received.message
        if jsonrpc.is_response(message):
            self._deliver_response(message)
        elif jsonrpc.is_request(message):
            self._refuse_request(message)
        else:
            self._deliver_notification(message)

    def _deliver_response(self, message: Message) -> None:
        call, fault = self._calls.answered_by(message)
        if not call:
            return  # its client has left
        self._close_call(call, answered=True)
        if fault:
            message = {"jsonrpc": "2.0", "error": {"code": protocol.INTERNAL_ERROR, "message": fault}}
        error = message.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        self._learn(call, error, code)
        restored = _restored({**message, "id": call.id}, call)
        call.stream.push(restored, final=True, status=era.http_status(code))
        self._relieve(call.stream)

    def _learn(self, call: Call, error: Any, code: Any) -> None:
        if not error:
            self._answered = True
            self._backoff.succeeded()
        elif call.method == "server/discover" and not self._answered and not len(self._calls):
            # It supports only legacy revisions, so it needs no process for modern requests.
            if code == protocol.METHOD_NOT_FOUND:
                self._refused_discover = error
            self.end()

    def _refuse_request(self, message: Message) -> None:
        if self._child:
            text = "This revision of the protocol has no requests from the server"
            self._child.write(jsonrpc.error(protocol.METHOD_NOT_FOUND, text, message["id"]))

    def _deliver_notification(self, message: Message) -> None:
        call = self._call_for(message)
        if not call:
            log(f"{quote(message['method'].encode('utf-8', 'replace'))} belongs to no request: dropped")
        elif message["method"] == "notifications/cancelled":
            self._close_call(call)
            call.stream.end()
        elif call.takes_stream:
            call.stream.push(_restored(message, call))
            self._relieve(call.stream)

    def _call_for(self, message: Message) -> Optional[Call]:
        """The call of a notification: by subscription, token or id, else the only open call. None where
        several are open, because the message must not reach the wrong client.
        """
        params = jsonrpc.params(message)
        named = jsonrpc.meta(message).get(protocol.SUBSCRIPTION_KEY)
        if message["method"] == "notifications/progress":
            named = params.get("progressToken")
        elif message["method"] == "notifications/cancelled":
            named = params.get("requestId")
        if named is not None:
            return self._calls.get(named)
        calls = [call for call in self._calls.all() if call.method != LISTEN]
        return calls[0] if len(calls) == 1 else None

    def _relieve(self, stream: Stream) -> None:
        """Pauses the server while the client of `stream` reads too slowly."""
        if stream.full and not self._relief and self._child:
            self._child.pause()
            self._relief = asyncio.get_running_loop().create_task(self._await_room(stream, self._child))

    async def _await_room(self, stream: Stream, child: Child) -> None:
        if not await stream.wait_for_room(PATIENCE_SECONDS):
            log(SLOW_CLIENT)
            stream.disconnect()
        self._relief = None
        child.resume()

    def _server_gone(self, child: Child) -> None:
        if self._child is not child:
            return  # `end` was called
        self._child = None
        self._backoff.failed()
        log(f"the shared {child.how_it_ended}")
        self._fail_calls(child.how_it_ended)

    def _fail_calls(self, why: str) -> None:
        for call in self._calls.all():
            self._close_call(call)
            call.stream.push(jsonrpc.error(protocol.SERVER_GONE, why, call.id), final=True, status=502)


def renamed(message: Message, call: Call) -> Message:
    """The request with the id, and the progress token, that the server gets."""
    renamed = {**message, "id": call.number}
    if call.token is not None:
        meta = {**jsonrpc.meta(message), "progressToken": call.number}
        renamed["params"] = {**jsonrpc.params(message), "_meta": meta}
    return renamed


def _restored(message: Message, call: Call) -> bytes:
    """The message with the ids of the client, as JSON. Changes `message`."""
    for part in (message.get("params"), message.get("result")):
        if isinstance(part, dict):
            _restore_part(part, call)
    return jsonrpc.encode(message)


def _restore_part(part: Dict[str, Any], call: Call) -> None:
    if jsonrpc.refers_to(part.get("progressToken"), call.number):
        part["progressToken"] = call.token
    meta = part.get("_meta")
    if isinstance(meta, dict) and jsonrpc.refers_to(meta.get(protocol.SUBSCRIPTION_KEY), call.number):
        meta[protocol.SUBSCRIPTION_KEY] = call.id


def _reply(request_id: RequestId, error: Dict[str, Any]) -> bytes:
    return jsonrpc.encode({"jsonrpc": "2.0", "id": request_id, "error": error})
