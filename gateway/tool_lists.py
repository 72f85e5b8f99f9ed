"""The answer to `tools/list` without the tools that are denied, as one JSON body or as events."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from gateway.http1 import Broken
from gateway.policy import Policy

LARGEST = 4 * 1024**2
_LINE_END = rb"(?:\r\n|\n|\r(?!\n))"
_EVENT_END = re.compile(_LINE_END + _LINE_END)
_LINE = re.compile(rb"\r\n|\n|\r")


class ListFilter:
    """Holds back one event, or a body that is no event stream until its end; gives back the same bytes
    wherever no denied tool is in them. Raises `Broken` past `LARGEST`.

    Each byte is looked at once, however small the pieces are that a server sends.
    """

    def __init__(self, policy: Policy, *, events: bool) -> None:
        self._policy, self._events = policy, events
        self._held = bytearray()
        self._looked_at = 0  # of what is held: no event ends before

    def feed(self, chunk: bytes) -> bytes:
        self._held += chunk
        passed = b"".join(self._complete()) if self._events else b""
        if len(self._held) > LARGEST:
            raise Broken("A list of tools is too large to apply a policy to.")
        return passed

    def end(self) -> bytes:
        held, self._held = bytes(self._held), bytearray()
        return held if self._events else self._without_denied(held)

    def _complete(self) -> Iterator[bytes]:
        # A CR at the end may be the first half of a CRLF.
        end, begin = len(self._held) - self._held.endswith(b"\r"), 0
        while found := _EVENT_END.search(self._held, max(begin, self._looked_at), end):
            begin, after = found.end(), begin
            yield self._event(bytes(self._held[after:begin]))
        del self._held[:begin]
        # Its end may have begun: the longest is two CRLF.
        self._looked_at = max(0, len(self._held) - 4)

    def _event(self, event: bytes) -> bytes:
        lines = _LINE.split(event.rstrip(b"\r\n"))
        data = b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))
        changed = self._without_denied(data)
        if changed is data:
            return event
        others = [line for line in lines if not line.startswith(b"data:")]
        return b"\n".join([*others, b"data: " + changed]) + b"\n\n"

    def _without_denied(self, text: bytes) -> bytes:
        """The same object where there is nothing to take out."""
        if b"tools" not in text:
            return text
        try:
            message: Any = json.loads(text)
        except (ValueError, RecursionError):
            return text
        trimmed = [self._policy.trim(each) for each in (message if isinstance(message, list) else [message])]
        return (
            json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() if any(trimmed) else text
        )
