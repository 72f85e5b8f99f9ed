"""Routes requests by protocol revision and session to the server processes."""

from __future__ import annotations

import asyncio
import math
import re
import uuid
from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Set

from bridge import accept, era, jsonrpc, protocol
from bridge.backoff import Backoff
from bridge.http1 import Connection, HttpError, Request
from bridge.jsonrpc import Message
from bridge.log import log
from bridge.session import Session, cannot_start
from bridge.shared import SharedServer

HEALTH_PATH = "/.bridge/healthz"
ROOM_SECONDS = 5  # Retry-After when every session is in use
LAST_ANSWERS_SECONDS = 1.0  # for clients to receive the last answers when the bridge ends
STOPPED = "server was ended: it was stopped or deployed anew while it answered"
LOOPBACK = re.compile(r"^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Settings:
    """The options of the command line (see cli.py): times in seconds, `max_body` in bytes."""

    command: Sequence[str]
    host: str = "127.0.0.1"
    port: int = 8000
    unix: Optional[str] = None
    path: str = "/mcp"
    max_sessions: int = 32
    idle_timeout: float = 900.0
    max_body: int = 4 << 20

    @property
    def guards_host(self) -> bool:
        """Whether to check Host and Origin: on the loopback address, against DNS rebinding by web pages
        (2025-11-25, Streamable HTTP, "Security Warning").
        """
        return self.unix is None and bool(LOOPBACK.match(f"[{self.host}]" if ":" in self.host else self.host))


class App:
    """Answers the requests of all connections, and owns the server processes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shared = SharedServer(settings.command)
        self._sessions: Dict[str, Session] = {}
        self._backoff = Backoff()
        self._connections: Set[Connection] = set()

    # Connections and the life of servers.

    async def serve(self, connection: Connection) -> None:
        """Answers the requests of one connection until it ends."""
        self._connections.add(connection)
        try:
            while await self._exchange(connection):
                pass
        except ConnectionError:
            pass  # the client left during a write
        finally:
            self._connections.discard(connection)
            connection.writer.close()

    async def sweep(self) -> None:
        """Ends servers that were idle for longer than `idle_timeout`. It runs until it is cancelled."""
        limit = self._settings.idle_timeout
        while True:
            await asyncio.sleep(min(15.0, max(0.1, limit / 4)))
            try:
                self._end_idle(limit)
            except Exception as error:  # noqa: BLE001  (the next round may succeed)
                log(f"idle servers could not be ended: {error!r}")

    def _end_idle(self, limit: float) -> None:
        for session in list(self._sessions.values()):
            if session.idle_seconds > limit:
                session.end()
        if self._shared.running and self._shared.idle_seconds > limit:
            self._shared.end()

    async def close(self) -> None:
        """Ends every server, with SIGTERM soon after the end of stdin, and then every connection."""
        started = [session for session in self._sessions.values() if session.started]
        ends = [session.end(STOPPED, close_seconds=0.2) for session in started]
        shared = self._shared.end(STOPPED, close_seconds=0.2)
        await asyncio.gather(*ends, *([shared] if shared else []))
        await self._last_answers()
        for connection in list(self._connections):
            connection.writer.close()

    async def _last_answers(self) -> None:
        """Waits for the answers that are being written. By now every open call has an error as its answer."""
        busy = [connection for connection in self._connections if connection.answering]
        for connection in busy:
            connection.request.keep_alive = False
        if busy:
            await asyncio.wait([connection.task for connection in busy], timeout=LAST_ANSWERS_SECONDS)

    async def _exchange(self, connection: Connection) -> bool:
        """Reads one request and answers it. True when the connection can be used for another."""
        try:
            request = await connection.read_request(self._settings.max_body)
            if not request:
                return False
            connection.answering = True
            await self._route(connection, request)
        except HttpError as error:
            if error.fatal:
                connection.request.keep_alive = False
            await connection.respond(error.status, error.body, error.headers)
        finally:
            connection.answering = False
        return connection.request.keep_alive and not connection.lost

    # Routing.

    async def _route(self, connection: Connection, request: Request) -> None:
        if self._settings.guards_host:
            check_host(request)
        if request.path == HEALTH_PATH:
            await self._health(connection, request)
        elif request.path.rstrip("/") != self._settings.path.rstrip("/"):
            raise HttpError(404, "There is nothing at this path")
        elif request.method == "POST":
            await self._post(connection, request)
        elif request.method in ("GET", "DELETE") and not era.header_is_modern(request):
            await self._session_stream_or_end(connection, request)
        else:
            raise _method_not_allowed(request)

    async def _health(self, connection: Connection, request: Request) -> None:
        if request.method != "GET":
            raise HttpError(405, "Method not allowed", headers=(("Allow", "GET"),))
        state = {"status": "ok", "sessions": len(self._sessions), "shared": self._shared.running}
        await connection.respond(200, jsonrpc.encode(state))

    async def _post(self, connection: Connection, request: Request) -> None:
        check_media_types(request)
        message = parse_body(request.body)
        modern = era.is_modern(request, message)
        if jsonrpc.is_request(message):
            await (self._modern_call if modern else self._session_call)(connection, request, message)
            return
        if not modern:
            self._session(request).forward(request, message)
        elif jsonrpc.is_response(message):
            raise HttpError(400, "This revision of the protocol has no responses from the client")
        # A modern notification has no effect: a client cancels by closing the response.
        await connection.respond(202)

    async def _modern_call(self, connection: Connection, request: Request, message: Message) -> None:
        era.check_envelope(request, message)
        await self._shared.call(connection, message, accept.form(request))

    async def _session_call(self, connection: Connection, request: Request, message: Message) -> None:
        if message["method"] == "initialize" and request.header(protocol.SESSION_HEADER) is None:
            await self._initialize(connection, request, message)
        else:
            await self._session(request).call(connection, request, message)

    async def _initialize(self, connection: Connection, request: Request, message: Message) -> None:
        leaving = self._make_room()
        session = Session(uuid.uuid4().hex, self._session_ended)
        self._sessions[session.id] = session
        try:
            if leaving:
                await leaving
            await session.start(self._settings.command)
        except (OSError, RuntimeError) as error:
            raise cannot_start(error, message["id"]) from None
        finally:
            if not session.started:
                del self._sessions[session.id]
        await session.call(connection, request, message)
        if not session.answered and session.id in self._sessions:
            session.end()

    def _session_ended(self, session: Session) -> None:
        if self._sessions.pop(session.id, None) and not session.answered:
            self._backoff.failed()
        elif session.answered:
            self._backoff.succeeded()

    def _make_room(self) -> Optional["asyncio.Task[None]"]:
        """When there are `max_sessions`, ends the one that was idle longest; returns the task of its end,
        else None.

        If its client still exists, it gets 404 and opens a new session (2025-11-25, "Session Management").
        """
        if self._backoff.remaining:
            raise _try_later("server keeps failing", self._backoff.remaining)
        if len(self._sessions) < self._settings.max_sessions:
            return None
        idle = [session for session in self._sessions.values() if not session.connected]
        if not idle:
            raise _try_later("too many sessions, and each is in use", ROOM_SECONDS)
        log("too many sessions: the one that was idle longest is ended")
        return max(idle, key=lambda session: session.idle_seconds).end()

    async def _session_stream_or_end(self, connection: Connection, request: Request) -> None:
        session = self._session(request)
        if request.method == "DELETE":
            session.end()
            await connection.respond(204)
            return
        accept.check_events(request)
        await session.listen(connection, request.header("last-event-id"))

    def _session(self, request: Request) -> Session:
        session_id = request.header(protocol.SESSION_HEADER)
        if session_id is None:
            raise HttpError(400, "The Mcp-Session-Id header is missing")
        session = self._sessions.get(session_id)
        if session is None:
            raise HttpError(404, "Session not found")
        return session


def check_host(request: Request) -> None:
    """Raises `HttpError` 403 for a Host or an Origin that is not on the loopback address."""
    host, origin = request.header("host"), request.header("origin")
    if (host and not LOOPBACK.match(host)) or (origin is not None and not is_local_origin(origin)):
        raise HttpError(403, "This Host or Origin may not speak to a local server")


def is_local_origin(origin: str) -> bool:
    scheme, _, host = origin.partition("://")
    return scheme in ("http", "https") and bool(LOOPBACK.match(host))


def check_media_types(request: Request) -> None:
    """Raises `HttpError` 415 for the Content-Type, 406 for the Accept header."""
    content_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise HttpError(415, "Content-Type must be application/json")
    accept.form(request)


def parse_body(body: bytes) -> Message:
    """The JSON-RPC message in a body. Raises `HttpError` 400 for anything else, also for a batch."""
    try:
        message = jsonrpc.decode(body)
    except ValueError:
        raise HttpError(400, "The body is not JSON", code=protocol.PARSE_ERROR) from None
    if not jsonrpc.is_message(message):
        raise HttpError(400, "The body must be one JSON-RPC message, and no batch of them")
    parsed: Message = message
    return parsed


def _method_not_allowed(request: Request) -> HttpError:
    allowed = "POST" if era.header_is_modern(request) else "GET, POST, DELETE"
    return HttpError(405, "Method not allowed", headers=(("Allow", allowed),))


def _try_later(why: str, seconds: float) -> HttpError:
    wait = str(math.ceil(seconds))
    return HttpError(503, why, code=protocol.SERVER_GONE, headers=(("Retry-After", wait),))
