"""HTTP/1.1 as uvicorn speaks it, with fewer system calls: what is written in one turn of the event loop, the
head of an answer, its body and its end, leaves as one piece."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST = 64 * 1024  # bytes that are held back
MOST_UNREAD = 64 * 1024  # bytes of a head that is not complete
H2C = re.compile(rb"\r\nupgrade:[ \t]*h2c[ \t]*\r\n", re.IGNORECASE)
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def _without_h2c(data: bytes) -> bytes:
    """`data` begins with a head. Java's client offers HTTP/2 in its first request; an offer may be ignored
    (RFC 9110 section 7.8), but the parser would take what follows it, the body first, for HTTP/2."""
    head, end, rest = data.partition(b"\r\n\r\n")
    return H2C.sub(b"\r\n", head + end, count=1) + rest


class Corked:
    """A transport but for its `write` and `close`. `lingers` is asked whether the peer may still be sending:
    closed at once, the connection would be reset, and the peer never read what it was told. Then only our
    side ends, and `ended` says so; whoever looks after the connection has to abort it some time."""

    def __init__(self, transport: asyncio.Transport, lingers: Callable[[], bool]) -> None:
        self._transport, self._lingers = transport, lingers
        self._later = asyncio.get_running_loop().call_soon
        self._held: list[bytes] = []
        self._size = self._written = 0
        self.ended = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._held:
            self._later(self._flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > MOST:
            self._flush()

    @property
    def taken(self) -> int:
        """Bytes that have left this process."""
        return self._written - self._transport.get_write_buffer_size()

    def is_closing(self) -> bool:
        return self.ended or self._transport.is_closing()

    def close(self) -> None:
        if self.ended or self._transport.is_closing() or not self._lingers():
            self.close_at_once()
            return
        self._flush()
        self.ended = True
        self._transport.write_eof()

    def close_at_once(self) -> None:
        if not self.ended:
            self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held, size, self._size = self._held, [], self._size, 0
        if held and not self.is_closing():
            self._transport.write(b"".join(held))
            self._written += size


class CorkedProtocol(HttpToolsProtocol):
    """Ends connections that go on and on without completing a head or bringing another piece of a body: the
    parser would collect that in memory, before anybody has asked who is calling."""

    _unread = 0
    _in_message = False

    corked: Corked

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.corked = Corked(transport, self.may_still_send)
        super().connection_made(cast("asyncio.Transport", self.corked))

    def may_still_send(self) -> bool:
        """Whether to linger after the last word. Here nobody looks for connections that do so too long."""
        return False

    def data_received(self, data: bytes) -> None:
        if b"h2c" in data and not self._in_message:
            data = _without_h2c(data)
        self._unread += len(data)
        super().data_received(data)
        if self._unread > MOST_UNREAD and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(TOO_LONG)
            self.transport.close()

    def on_message_begin(self) -> None:
        self._in_message = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        self._unread = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)
