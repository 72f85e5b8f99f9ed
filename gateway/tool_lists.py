"""Removes denied tools from the answer to `tools/list`, in a JSON body or in events."""

from __future__ import annotations

import json
from typing import Any

from bridge.event_stream import Splitter, TooLong, data_of, with_data
from gateway.http1 import Broken
from gateway.policy import Policy

LARGEST = 4 * 1024**2


class ListFilter:
    """Filters a response. It holds back one event, or a JSON body until its end.

    Bytes without a denied tool are not changed. Raises `Broken` if more than `LARGEST` bytes would be held.
    """

    def __init__(self, policy: Policy, *, events: bool) -> None:
        self._policy = policy
        self._splitter = Splitter(LARGEST) if events else None
        self._body = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Returns the bytes that can be passed on after this piece."""
        if self._splitter:
            try:
                return b"".join(map(self._event, self._splitter.feed(chunk)))
            except TooLong:
                raise _too_large() from None
        self._body += chunk
        if len(self._body) > LARGEST:
            raise _too_large()
        return b""

    def end(self) -> bytes:
        """Returns the rest, filtered as well: a client may read an incomplete event, though it should not."""
        if self._splitter:
            return self._event(self._splitter.rest())
        return self._without_denied(bytes(self._body))

    def _event(self, event: bytes) -> bytes:
        data = data_of(event)
        changed = data if data is None else self._without_denied(data)
        return event if changed is None or changed is data else with_data(event, changed)

    def _without_denied(self, text: bytes) -> bytes:
        """Returns the text without denied tools; the same object if nothing was removed."""
        if b"tools" not in text and b"\\u" not in text:  # any letter may be written as an escape
            return text
        try:
            message: Any = json.loads(text)
        except ValueError:
            return text
        except RecursionError:
            raise Broken("A list of tools is nested too deep to apply a policy to.") from None
        trimmed = [self._policy.trim(each) for each in (message if isinstance(message, list) else [message])]
        return (
            json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() if any(trimmed) else text
        )


def _too_large() -> Broken:
    return Broken("A list of tools is too large to apply a policy to.")
