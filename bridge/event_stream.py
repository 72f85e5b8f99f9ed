"""Reads and writes event streams (server-sent events).

The grammar is that of the WHATWG HTML standard, section "Parsing an event stream": a line ends with CRLF,
LF or CR, an empty line ends an event, and a byte order mark may come first.
"""

from __future__ import annotations

import re
from typing import List, Optional

KEEP_ALIVE = b": keep-alive\n\n"  # a comment, which is no event for clients
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Two line ends. A stream that ends with one of these is between two events.
EVENT_ENDS = (b"\n\n", b"\r\r", b"\n\r", b"\n\r\n", b"\r\r\n")
_LINE_END = rb"(?:\r\n|\n|\r(?!\n))"
_EVENT_END = re.compile(_LINE_END + _LINE_END)
_LONGEST_END = 4


class TooLong(ValueError):
    """An event is longer than the limit of its `Splitter`."""


class Splitter:
    """Splits a stream into events while it arrives, in linear time also for small chunks.

    The pieces from `feed` and the bytes from `rest` together are exactly the stream. Some pieces are no event
    but a comment, an empty line or the byte order mark; `data_of` returns None for them.
    """

    def __init__(self, limit: Optional[int] = None) -> None:
        """`limit` is the maximum size of an unfinished event in bytes; None means no limit."""
        self._limit = limit
        self._held = bytearray()
        self._looked_at = 0  # no event ends in what is held before this
        self._begun = False

    def feed(self, chunk: bytes) -> List[bytes]:
        """The events that this chunk completes, each with its empty line. Raises `TooLong`.

        An event is complete with the CR of its empty line. Where an LF follows, the next piece begins with
        it, and it counts as another empty line.
        """
        self._held += chunk
        found = self._complete() if self._begun else self._beginning()
        if self._limit is not None and len(self._held) > self._limit:
            raise TooLong
        return found

    def rest(self) -> bytes:
        """The bytes after the last complete event. Clients ignore them when the stream ends."""
        return bytes(self._held)

    def _beginning(self) -> List[bytes]:
        """The first pieces: a byte order mark comes as a piece of its own."""
        if self._held.startswith(BYTE_ORDER_MARK):
            self._begun = True
            del self._held[: len(BYTE_ORDER_MARK)]
            return [BYTE_ORDER_MARK, *self._complete()]
        self._begun = not BYTE_ORDER_MARK.startswith(self._held)
        return self._complete() if self._begun else []

    def _complete(self) -> List[bytes]:
        events, begin = [], 0
        while found := _EVENT_END.search(self._held, max(begin, self._looked_at)):
            events.append(bytes(self._held[begin : found.end()]))
            begin = found.end()
        del self._held[:begin]
        self._looked_at = max(0, len(self._held) - _LONGEST_END)
        return events


def data_of(event: bytes) -> Optional[bytes]:
    """The data of an event, its lines joined by LF. None without data: clients then ignore the event."""
    values = [_value(line) for line in event.splitlines() if _is_data(line)]
    return b"\n".join(values) if values else None


def with_data(event: bytes, data: bytes) -> bytes:
    """The event with other data, which must have no line end. All other lines stay."""
    begin = event[: len(event) - len(event.lstrip(b"\r\n"))]
    end = event[len(event.rstrip(b"\r\n")) :]
    others = [line for line in event.splitlines() if line and not _is_data(line)]
    return begin + b"\n".join([*others, b"data: " + data]) + end


def written(data: bytes, event_id: Optional[str] = None) -> bytes:
    """An event of the type `message`. The data must have no LF; a CR in it becomes a space."""
    label = f"id: {event_id}\n".encode() if event_id else b""
    return b"event: message\n" + label + b"data: " + data.replace(b"\r", b" ") + b"\n\n"


def _is_data(line: bytes) -> bool:
    return line.startswith(b"data:") or line == b"data"


def _value(line: bytes) -> bytes:
    value = line[len(b"data:") :]
    return value[1:] if value.startswith(b" ") else value
