"""Follows a response while it passes: where an event ends, and its last message."""

from __future__ import annotations

from typing import Any

import orjson

from bridge.event_stream import BYTE_ORDER_MARK, EVENT_ENDS, Splitter, data_of

COMMENT = b":"
LOOKED_AT = 64 * 1024
_DATA, _DATA_AFTER_CR = b"\ndata:", b"\rdata:"


class Tail:
    """Keeps the last event of a stream, or another body, while it is small.

    `messages` counts events with data; a JSON-RPC message is one of them. The stream is split only when
    `message` is called, not while the bytes pass.
    """

    def __init__(self, *, events: bool) -> None:
        self.events = events
        self._kept = b""
        self._earlier = b""  # the last event with data, if only comments followed
        self._end = b""
        self._too_long = False
        self._before = b"\n"
        self.messages = self._seen = 0

    @property
    def between_events(self) -> bool:
        """Tells whether a comment can be written here without splitting an event."""
        return not self._end or self._end.endswith(EVENT_ENDS)

    def feed(self, chunk: bytes) -> None:
        """Reads the next piece of the response."""
        if self.events:
            if not self._end:
                chunk = chunk.removeprefix(BYTE_ORDER_MARK)
            if self.between_events and chunk.strip(b"\r\n"):
                if self.messages != self._seen:
                    self._earlier, self._seen = self._kept, self.messages
                self._kept, self._too_long = b"", False
            self._count(self._before + chunk)
        self._too_long = self._too_long or len(self._kept) + len(chunk) > LOOKED_AT
        self._kept = b"" if self._too_long else self._kept + chunk
        self._end = (self._end + chunk)[-3:]

    def _count(self, text: bytes) -> None:
        """Counts events.

        `text` begins with the end of the piece before, which may hold the start of a line.
        """
        self.messages += text.count(_DATA)
        if b"\r" in text:
            self.messages += text.count(_DATA_AFTER_CR)
        self._before = text[1 - len(_DATA) :]

    def message(self) -> dict[str, Any]:
        """Returns the last JSON-RPC message; {} if there is none, or if it is too long."""
        try:
            found = orjson.loads(self._last_data() if self.events else self._kept)
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    def _last_data(self) -> bytes:
        for kept in (self._kept, self._earlier):
            for event in reversed(Splitter().feed(kept)):
                data = data_of(event)
                if data is not None:
                    return data
            if self._too_long:
                break
        return b""
