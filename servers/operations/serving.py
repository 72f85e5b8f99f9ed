"""Serves requests until a signal comes, and then ends what is open in good order."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any, cast

import uvicorn

from servers.operations import descriptors
from servers.operations.connection_table import ConnectionTable, Limits, limits_from_settings
from servers.operations.guarded import GuardedProtocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
GRACE_SECONDS = 3.0
# Longer than proxies usually keep theirs (60 s), so that no request comes while we close its connection.
IDLE_CONNECTION_SECONDS = 75
TICK_SECONDS = 1.0
STUCK_SECONDS = 2  # for an answer that was cut and that the caller does not read
STOPPING = b"This process is being stopped. Try again.\n"


def serve(application: Application, listener: socket.socket, grace: float = GRACE_SECONDS) -> None:
    """Serves until a signal comes, and returns when the last answer is written.

    Answers that take longer than `grace` seconds from then on are cut. May raise `KeyboardInterrupt`, after
    the same steps.
    """
    server_of(application, grace).run(sockets=[listener])


def server_of(application: Application, grace: float, limits: Limits | None = None) -> uvicorn.Server:
    """Returns a server that is not started yet. `limits` are by default those of the settings."""
    table = ConnectionTable(limits or limits_from_settings(descriptors.raise_limit()))
    door = Closable(application, grace)
    config = uvicorn.Config(
        door,
        http=cast("Any", partial(GuardedProtocol, table=table)),
        ws="none",  # not used here, and its connections would not be limited
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_CONNECTION_SECONDS,
        timeout_graceful_shutdown=math.ceil(grace) + STUCK_SECONDS,
    )
    return _Server(config, door, table)


class _Server(uvicorn.Server):
    """Looks at its connections once a second. uvicorn's own loop wakes ten times, also if nothing goes on."""

    def __init__(self, config: uvicorn.Config, door: Closable, table: ConnectionTable) -> None:
        self._told: Callable[[], object] = lambda: None
        super().__init__(config)
        self._door, self._table = door, table

    @property
    def should_exit(self) -> bool:
        return self._should_exit

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        """May be set in any thread, and by the handler of a signal."""
        self._should_exit = value
        self._told()

    async def main_loop(self) -> None:
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        self._told = partial(loop.call_soon_threadsafe, told.set)
        while not await self.on_tick(0):
            self._table.tick(loop.time())
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._door.close()
        self._table.lingers = False  # no look aborts connections from now on
        await super().shutdown(sockets)


class Closable:
    """An ASGI application that `close` ends.

    Streams without an end are ended at once, and completely: event streams that a GET opened, and answers
    whose start has our own key `endless`. All others get `grace` seconds and are then cancelled. An answer
    that was cut is left incomplete, so that nobody takes a part for the whole.
    """

    def __init__(self, application: Application, grace: float) -> None:
        self._application, self._grace = application, grace
        self._closed = False
        self._answering: set[asyncio.Task[Any] | None] = set()
        self._endless: set[asyncio.Task[Any] | None] = set()

    def close(self) -> None:
        """Begins the end: cancels streams without an end now, and the other answers after `grace` seconds."""
        self._closed = True
        _cancel(self._endless)
        asyncio.get_running_loop().call_later(self._grace, _cancel, self._answering)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        task, answer = asyncio.current_task(), _Answer(send, self._began, by_get=scope["method"] == "GET")
        self._answering.add(task)
        try:
            await self._application(scope, receive, answer.send)
        except asyncio.CancelledError:
            if not self._closed:
                raise
            await answer.end()
        finally:
            self._answering.discard(task)
            self._endless.discard(answer.task)

    def _began(self, task: asyncio.Task[Any] | None) -> None:
        self._endless.add(task)
        if self._closed:
            _cancel({task})


class _Answer:
    """Knows how much of one answer was sent. Calls `began` with the task of an answer without an end."""

    def __init__(
        self, send: Send, began: Callable[[asyncio.Task[Any] | None], None], *, by_get: bool
    ) -> None:
        self._send, self._began, self._by_get = send, began, by_get
        self.task: asyncio.Task[Any] | None = None
        self._started = self._whole = self._events = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started, self._events = True, _is_event_stream(message)
            if message.get("endless") or (self._events and self._by_get):
                self.task = asyncio.current_task()
                self._began(self.task)
        elif message["type"] == "http.response.body":
            self._whole = not message.get("more_body", False)
        await self._send(message)

    async def end(self) -> None:
        if not self._started:
            about = [(b"content-type", b"text/plain"), (b"retry-after", b"1")]
            about.append((b"content-length", str(len(STOPPING)).encode()))
            await self._send({"type": "http.response.start", "status": 503, "headers": about})
            await self._send({"type": "http.response.body", "body": STOPPING})
        elif self._events and not self._whole:
            await self._send({"type": "http.response.body", "body": b""})


def _cancel(tasks: set[asyncio.Task[Any] | None]) -> None:
    for task in tasks:
        if task:
            task.cancel()


def _is_event_stream(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in start.get("headers", ())
    )
