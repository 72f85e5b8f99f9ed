"""An HTTP/1.1 protocol for uvicorn that needs fewer system calls.

What is written in one turn of the event loop (head, body and end of an answer) is sent as one piece.
"""

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
    """Removes the offer of HTTP/2 that Java's client makes in its first request; `data` begins with a head.

    An offer may be ignored (RFC 9110, section 7.8), but the parser would read what follows as HTTP/2.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return H2C.sub(b"\r\n", head + end, count=1) + rest


class Corked:
    """A transport that collects what is written, and whose `close` may wait for the peer.

    `close` asks `lingers` whether the peer may still be sending. If it may, an immediate close would reset
    the connection, and the peer might never read the answer. So only our side is ended, and `ended` is set;
    the caller has to abort the connection later.
    """

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
        """The number of bytes that have left this process."""
        return self._written - self._transport.get_write_buffer_size()

    def is_closing(self) -> bool:
        return self.ended or self._transport.is_closing()

    def close(self) -> None:
        """Closes the connection, or only our side if the peer may still be sending."""
        if self.ended or self._transport.is_closing() or not self._lingers():
            self.close_at_once()
            return
        self._flush()
        self.ended = True
        self._transport.write_eof()

    def close_at_once(self) -> None:
        """Sends what was collected and closes the connection."""
        if not self.ended:
            self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held, size, self._size = self._held, [], self._size, 0
        if held and not self.is_closing():
            self._transport.write(b"".join(held))
            self._written += size


class CorkedProtocol(HttpToolsProtocol):
    """Collects writes, and limits how much data of one connection waits in memory.

    A connection is ended if its head, or the next piece of a body, grows without becoming complete. The
    parser would collect such data before anybody has checked who sends it.
    """

    _unread = 0
    _in_message = False

    corked: Corked

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.corked = Corked(transport, self.may_still_send)
        super().connection_made(cast("asyncio.Transport", self.corked))

    def may_still_send(self) -> bool:
        """Whether `close` waits for the peer.

        False here, because nobody aborts connections that wait too long.
        """
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
