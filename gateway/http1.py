"""A small HTTP/1.1 client: one exchange at a time on a kept connection; bodies are streamed in both
directions.

The parser is llhttp, that of Node.js.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import httptools

from gateway.types import RawHeaders

HIGH_WATER = 128 * 1024  # bytes that may wait for the caller; beyond, the server is read no further
MOST_HEADERS = 64 * 1024
MOST_UNREAD = 64 * 1024  # bytes that yield neither a header nor a piece of the body
MOST_INTERIM = 32  # responses (1xx) before the one that counts
BODILESS = frozenset({204, 304})


class Broken(Exception):
    """The connection ended, or the server does not speak HTTP."""


class NotConnected(Exception):
    """Nothing listens at the address, so nothing was sent."""


class Response:
    """A response. Header names are in lower case. `whole` is true once the body is complete."""

    def __init__(self, connection: Connection) -> None:
        self.status = 0
        self.headers: RawHeaders = []
        self.whole = False
        self._connection = connection
        self._parts: list[bytes] = []
        self._waiting = 0
        self._fault: BaseException | None = None
        self._waiter: asyncio.Future[bool] | None = None

    def header(self, name: bytes) -> bytes:
        """Returns the header's first value; b"" if there is none."""
        return next((value for key, value in self.headers if key == name), b"")

    async def read(self, patience: float | None = None) -> bytes | None:
        """Returns the next part of the body; b"" only at its end, None after `patience` seconds of silence.

        Raises `Broken` if the body was cut, or what sending the request raised.
        """
        while not self._parts and not self.whole:
            if not await self._anything(patience):
                return None
        taken = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts, self._waiting = [], 0
        self._connection.resume()
        return taken

    def put_back(self, taken: bytes) -> None:
        """Makes the next `read` return these bytes again."""
        self._parts.insert(0, taken)

    def close(self) -> None:
        """Closes the connection, unless the response is complete."""
        if not self.whole:
            self._connection.abort()

    async def head(self) -> None:
        """Waits until status and headers are there."""
        while not self.status:
            await self._anything(None)

    def add(self, part: bytes) -> bool:
        """Adds a part of the body; returns whether reading has to pause."""
        self._parts.append(part)
        self._waiting += len(part)
        return self._waiting > HIGH_WATER

    def end(self) -> None:
        """Completes a body that the server ends by closing the connection; not if we closed
        it after a fault.
        """
        self.whole = self.whole or (bool(self.status) and self._fault is None)

    def fail(self, fault: BaseException) -> None:
        """Makes the next `read` raise `fault`, unless the response is complete."""
        if not self.whole:
            self._fault = self._fault or fault
        self.wake()

    def wake(self, something: bool = True) -> None:
        """Wakes the task that waits in `read` or `head`."""
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(something)

    async def _anything(self, patience: float | None) -> bool:
        """Waits until something has happened; returns False after `patience` seconds."""
        if self._fault:
            raise self._fault
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(patience, self.wake, False) if patience is not None else None
        try:
            return await self._waiter
        finally:
            self._waiter = None
            if timer:
                timer.cancel()


class Connection(asyncio.Protocol):
    """A connection to a server. `on_free` is called when it can take the next exchange."""

    def __init__(self, on_free: Callable[[Connection], None]) -> None:
        self.free_since = 0.0
        self._on_free = on_free
        self._response: Response | None = None
        self._sending: asyncio.Task[None] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: RawHeaders = []
        self._header_bytes = 0
        self._unread = self._interim = 0
        self._until_eof = False
        self._paused = False
        self._room = asyncio.Event()
        self._room.set()

    @property
    def usable(self) -> bool:
        """Tells whether it can take an exchange now."""
        return self._response is None and not self._transport.is_closing()

    async def exchange(self, head: bytes, body: bytes | AsyncIterator[bytes], *, chunked: bool) -> Response:
        """Sends the request and returns once status and headers of the response are there.

        Raises `Broken`, and what `body` raises.
        """
        response = self._response = Response(self)
        self._interim = 0
        if isinstance(body, bytes):
            self._transport.write(head + body)
        else:
            self._sending = asyncio.create_task(self._send(response, head, body, chunked=chunked))
        try:
            await response.head()
        except BaseException:
            self.abort()
            raise
        return response

    def abort(self) -> None:
        """Closes the connection at once."""
        if self._sending:
            self._sending.cancel()
        self._transport.abort()

    def resume(self) -> None:
        """Reads on after the caller has taken what waited."""
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    async def _send(
        self, response: Response, head: bytes, body: AsyncIterator[bytes], *, chunked: bool
    ) -> None:
        """Sends the body. What `body` raises is raised in the reader of the response."""
        try:
            self._transport.write(head)
            async for part in body:
                await self._room.wait()
                if part:
                    self._transport.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
            if chunked:
                self._transport.write(b"0\r\n\r\n")
        except Exception as fault:  # noqa: BLE001  (raised in the task that waits for the response)
            response.fail(fault)
            self._transport.abort()
        else:
            self._sending = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class is not registered as one

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:  # no request was sent
            self._transport.abort()
            return
        self._unread += len(data)
        try:
            self._parser.feed_data(data)
            if self._unread > MOST_UNREAD:
                raise Broken("it goes on and on without saying anything")
        except (Broken, httptools.HttpParserError, httptools.HttpParserUpgrade) as fault:
            response.fail(Broken(str(fault)))
            self._transport.abort()
        response.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._room.set()
        if response := self._response:
            if self._until_eof and not exc:
                response.end()
            response.fail(Broken("the connection was lost"))

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    # httptools

    def on_message_begin(self) -> None:
        if self._response is None:  # no request was sent: it would count as the next response
            self._transport.abort()
        self._headers, self._header_bytes = [], 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._unread = 0
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MOST_HEADERS:
            raise Broken("the headers are too long")
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if not 100 <= status < 600:
            raise Broken(f"{status} is no status")
        if status < 200:
            self._interim += 1
            if self._interim > MOST_INTERIM:
                raise Broken("it announces an answer again and again")
        elif self._response:
            names = {name for name, _ in self._headers}
            self._until_eof = not (status in BODILESS or names & {b"content-length", b"transfer-encoding"})
            self._response.status, self._response.headers = status, self._headers
            self._headers = []  # trailers are no headers (RFC 9110 section 6.5.1)

    def on_body(self, part: bytes) -> None:
        self._unread = 0
        if self._response and self._response.add(part) and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        response = self._response
        if response is None or not response.status:  # 1xx: the response proper follows
            return
        response.whole = True
        keep = self._parser.should_keep_alive() and self._sending is None
        self._response = None
        if not keep or self._transport.is_closing():
            self.abort()
            return
        self.resume()
        self._on_free(self)
