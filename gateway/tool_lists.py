"""The answer to `tools/list` without the tools that are denied, as one JSON body or as events."""

from __future__ import annotations

import json
from typing import Any

from bridge.event_stream import Splitter, TooLong, data_of, with_data
from gateway.http1 import Broken
from gateway.policy import Policy

LARGEST = 4 * 1024**2


class ListFilter:
    """Holds back one event, or a body that is no event stream until its end; gives back the same bytes
    wherever no denied tool is in them. Raises `Broken` past `LARGEST`.
    """

    def __init__(self, policy: Policy, *, events: bool) -> None:
        self._policy = policy
        self._splitter = Splitter(LARGEST) if events else None
        self._body = bytearray()

    def feed(self, chunk: bytes) -> bytes:
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
        """The rest. A client may take an event that was not completed for one, though it should not."""
        if self._splitter:
            return self._event(self._splitter.rest())
        return self._without_denied(bytes(self._body))

    def _event(self, event: bytes) -> bytes:
        data = data_of(event)
        changed = data if data is None else self._without_denied(data)
        return event if changed is None or changed is data else with_data(event, changed)

    def _without_denied(self, text: bytes) -> bytes:
        """The same object where there is nothing to take out."""
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
