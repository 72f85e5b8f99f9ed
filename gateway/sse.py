"""As much of a response as the gateway looks at: where an event ends, and the last message."""

from __future__ import annotations

from typing import Any

import orjson

from bridge.event_stream import BYTE_ORDER_MARK, EVENT_ENDS, Splitter, data_of

COMMENT = b":"
LOOKED_AT = 64 * 1024
_DATA, _DATA_AFTER_CR = b"\ndata:", b"\rdata:"


class Tail:
    """Follows a response without holding it: the last event, or all of a body that is no event stream, is
    kept while it is small. `messages` counts events with data: a JSON-RPC message is one line of it.

    Nothing is cut here while the bytes pass: a stream is split when its last message is asked for.
    """

    def __init__(self, *, events: bool) -> None:
        self.events = events
        self._kept = b""
        self._earlier = b""  # what was kept up to the last event with data; only comments came since
        self._end = b""
        self._too_long = False
        self._before = b"\n"
        self.messages = self._seen = 0

    @property
    def between_events(self) -> bool:
        """A comment may be written here without cutting an event in two."""
        return not self._end or self._end.endswith(EVENT_ENDS)

    def feed(self, chunk: bytes) -> None:
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
        """`text` begins with what came before the chunk, too short to hold a line's beginning itself."""
        self.messages += text.count(_DATA)
        if b"\r" in text:
            self.messages += text.count(_DATA_AFTER_CR)
        self._before = text[1 - len(_DATA) :]

    def message(self) -> dict[str, Any]:
        """The last JSON-RPC message; {} when there is none to be seen."""
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
