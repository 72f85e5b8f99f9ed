"""As much of a response as the gateway looks at: where an event ends, and the last message."""

from __future__ import annotations

from typing import Any

import orjson

COMMENT = b":"
KEEP_ALIVE = b": keep-alive\n\n"
LOOKED_AT = 64 * 1024
_DATA = b"\ndata:"
# Two line ends in a row, each LF, CR or CRLF: an empty line, which ends an event.
_EMPTY_LINES = (b"\n\n", b"\r\r", b"\n\r", b"\n\r\n", b"\r\r\n")


class Tail:
    """Follows a response without holding it: the last event, or all of a body that is no event stream, is
    kept while it is small. `messages` counts events with data: a JSON-RPC message is one line of it."""

    def __init__(self, *, events: bool) -> None:
        self.events = events
        self._kept = b""
        self._end = b""
        self._too_long = False
        self._before = b"\n"
        self.messages = 0

    @property
    def between_events(self) -> bool:
        """A comment may be written here without cutting an event in two."""
        return not self._end or self._end.endswith(_EMPTY_LINES)

    def feed(self, chunk: bytes) -> None:
        begins = self.events and self.between_events and chunk.strip(b"\r\n")
        if begins:
            self._kept, self._too_long = b"", False
        self._too_long = self._too_long or len(self._kept) + len(chunk) > LOOKED_AT
        self._kept = b"" if self._too_long else self._kept + chunk
        self._end = (self._end + chunk)[-3:]
        if self.events:
            self._count(self._before + chunk)

    def _count(self, text: bytes) -> None:
        """`text` begins with what came before the chunk, too short to hold a line's beginning itself."""
        self.messages += text.count(_DATA)
        self._before = text[1 - len(_DATA) :]

    def message(self) -> dict[str, Any]:
        """The last JSON-RPC message; {} when there is none to be seen."""
        try:
            found = orjson.loads(_data_of_last_event(self._kept) if self.events else self._kept)
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}


def _data_of_last_event(text: bytes) -> bytes:
    data: list[bytes] = []
    lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n").split(b"\n")
    for line in reversed(lines):
        if not line:
            break
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
    return b"\n".join(reversed(data))
