"""The calls that wait for an answer, and to which of them an answer of the server belongs."""

from __future__ import annotations

from collections import deque
from typing import Any, Deque, Dict, Generic, List, Optional, Tuple, TypeVar

from bridge import jsonrpc
from bridge.jsonrpc import Key, Message
from bridge.log import log

# How many ids of closed calls are kept: a server may answer twice, or after the client has left.
ANSWERED, ABANDONED = 64, 4096
UNASKED = "server answered with an id that no request has"
Call = TypeVar("Call")


class OpenCalls(Generic[Call]):
    """The open calls by the ids under which the server knows them, in the order in which they were added."""

    def __init__(self) -> None:
        self._calls: Dict[Key, Call] = {}
        self._answered: Deque[Key] = deque(maxlen=ANSWERED)
        self._abandoned: Deque[Key] = deque(maxlen=ABANDONED)
        self._notes = 0

    def __len__(self) -> int:
        return len(self._calls)

    def __contains__(self, request_id: Any) -> bool:
        return jsonrpc.key(request_id) in self._calls

    def all(self) -> List[Call]:
        return list(self._calls.values())

    def add(self, request_id: Any, call: Call) -> None:
        self._calls[jsonrpc.key(request_id)] = call

    def get(self, request_id: Any) -> Optional[Call]:
        """The call with this id, in either type: some servers answer with "1" to 1."""
        key = jsonrpc.key(request_id)
        return self._calls.get(key) or self._calls.get(jsonrpc.in_other_type(key))

    def close(self, request_id: Any, *, answered: bool = False) -> bool:
        """Removes a call. True where it was open. `answered` means that the server itself has answered it."""
        key = jsonrpc.key(request_id)
        if self._calls.pop(key, None) is None:
            return False
        (self._answered if answered else self._abandoned).append(key)
        return True

    def notification_sent(self) -> None:
        """Counts a notification that was sent: some servers answer notifications too."""
        self._notes += 1

    def answered_by(self, message: Message) -> Tuple[Optional[Call], str]:
        """The call that a response belongs to, or None; and why it cannot be passed on, "" where it can."""
        request_id = message.get("id")
        call = self.get(request_id)
        if call:
            self._notes = 0  # the server has read the notifications before this call
            return call, ""
        key = jsonrpc.key(request_id)
        if self._was_asked(key) or self._was_asked(jsonrpc.in_other_type(key)):
            return None, ""
        if self._notes:
            self._notes -= 1
            return None, ""
        return self._only(message)

    def _was_asked(self, key: Key) -> bool:
        return key in self._answered or key in self._abandoned

    def _only(self, message: Message) -> Tuple[Optional[Call], str]:
        """The call for an id that no request has. It is the open call, where there is only one. An error
        without an id says that the server could not read the request (JSON-RPC 2.0, section 5).
        """
        calls = self.all()
        if len(calls) != 1:
            log("an answer of the server has an id that no request has: dropped")
            return None, ""
        is_error = message.get("id") is None and isinstance(message.get("error"), dict)
        return calls[0], "" if is_error else UNASKED
