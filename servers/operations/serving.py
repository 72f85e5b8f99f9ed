"""Serves the doors until a signal comes, then ends endless streams at once and in good order."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, cast

import uvicorn

from servers.operations import descriptors
from servers.operations.crowd import Crowd, Limits, limits_from_settings
from servers.operations.guarded import GuardedProtocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
GRACE_SECONDS = 3.0
# Longer than proxies keep theirs (60 s as a rule), so that no request meets a connection that we close.
IDLE_CONNECTION_SECONDS = 75
TICKS = 10  # of uvicorn, between two looks at the connections: a second
STUCK_SECONDS = 2  # given to an answer that was cut, and whose caller does not take the rest
STOPPING = b"This process is being stopped. Try again.\n"


def serve(application: Application, listener: socket.socket, grace: float = GRACE_SECONDS) -> None:
    """Returns, or raises `KeyboardInterrupt`, when a signal has come and the last answer is written, or cut
    `grace` seconds later."""
    server_of(application, grace).run(sockets=[listener])


def server_of(application: Application, grace: float, limits: Limits | None = None) -> uvicorn.Server:
    """By default with the limits of the settings, and as many open files as this process may have."""
    crowd = Crowd(limits or limits_from_settings(descriptors.raise_limit()))
    door = Closable(application, grace)
    config = uvicorn.Config(
        door,
        http=cast("Any", partial(GuardedProtocol, crowd=crowd)),
        ws="none",  # nothing here speaks it, and its protocol would leave the crowd
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_CONNECTION_SECONDS,
        timeout_graceful_shutdown=math.ceil(grace) + STUCK_SECONDS,
    )
    return _Server(config, door, crowd)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, door: Closable, crowd: Crowd) -> None:
        super().__init__(config)
        self._door, self._crowd = door, crowd

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS == 0:
            self._crowd.look(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._door.close()
        self._crowd.lingers = False  # nobody looks at it from now on
        await super().shutdown(sockets)


class Closable:
    """`close` ends what never ends by itself, completely: live feeds and other event streams that a GET
    opened, and answers that begin with `endless`, a key of ours. All else has `grace` seconds, then it is
    cancelled (and may say so to its caller); what had begun is left unfinished, so that nobody takes a part
    for the whole."""

    def __init__(self, application: Application, grace: float) -> None:
        self._application, self._grace = application, grace
        self._closed = False
        self._answering: set[asyncio.Task[Any] | None] = set()
        self._endless: set[asyncio.Task[Any] | None] = set()

    def close(self) -> None:
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
    """What was sent of it. `began` is told the task that sends one without an end."""

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
