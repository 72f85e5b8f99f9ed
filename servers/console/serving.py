"""Serves the doors until a signal comes, then ends endless streams at once and in good order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from servers.console.corked import CorkedProtocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
GRACE_SECONDS = 3
# Longer than proxies keep theirs (60 s as a rule), so that no request meets a connection that we close.
IDLE_CONNECTION_SECONDS = 75


def serve(application: Application, listener: socket.socket) -> None:
    """Returns, or raises `KeyboardInterrupt`, when a signal has come and the last answer is written."""
    door = Closable(application)
    config = uvicorn.Config(
        door,
        http=CorkedProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_CONNECTION_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    _Server(config, door).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, door: Closable) -> None:
        super().__init__(config)
        self._door = door

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._door.close()
        await super().shutdown(sockets)


class Closable:
    """Live feeds and other streams that a GET opened never end by themselves: `close` ends them, completely.
    Other answers have GRACE_SECONDS; then the server cancels them, which is not worth a traceback."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._closed = False
        self._streams: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        self._closed = True
        for task in self._streams:
            task.cancel()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        answer = _Answer(send, self._streams if scope["method"] == "GET" else set())
        try:
            await self._application(scope, receive, answer.send)
        except asyncio.CancelledError:
            if not self._closed:
                raise
            await answer.complete()
        finally:
            answer.forget()


class _Answer:
    """What was sent of it; `streams` gets the task that sends an event stream."""

    def __init__(self, send: Send, streams: set[asyncio.Task[None]]) -> None:
        self._send, self._streams = send, streams
        self._task: asyncio.Task[None] | None = None
        self._started = self._whole = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            if _is_event_stream(message):
                self._task = asyncio.current_task()
                self._streams.add(self._task)  # type: ignore[arg-type]
        elif message["type"] == "http.response.body":
            self._whole = not message.get("more_body", False)
        await self._send(message)

    async def complete(self) -> None:
        if not self._started:
            await self._send({"type": "http.response.start", "status": 503, "headers": []})
        if not self._whole:
            with contextlib.suppress(RuntimeError):  # it had announced more than this
                await self._send({"type": "http.response.body", "body": b""})

    def forget(self) -> None:
        self._streams.discard(self._task)


def _is_event_stream(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in start.get("headers", ())
    )
