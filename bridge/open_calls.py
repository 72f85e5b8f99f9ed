"""The calls that wait for an answer, and whose a server's answer is."""

from __future__ import annotations

from collections import deque
from typing import Any, Deque, Dict, Generic, List, Optional, Tuple, TypeVar

from bridge import jsonrpc
from bridge.jsonrpc import Key, Message
from bridge.log import log

# Ids of closed calls that are remembered: answers to some come twice, to others after nobody waits any more.
ANSWERED, ABANDONED = 64, 4096
UNASKED = "server answered with an id that no request has"
Call = TypeVar("Call")


class OpenCalls(Generic[Call]):
    """Calls by the ids that the server knows them by, in the order in which they were opened."""

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
        """By its id, or by the same in the other type: some servers answer "1" to 1."""
        key = jsonrpc.key(request_id)
        return self._calls.get(key) or self._calls.get(jsonrpc.twin(key))

    def close(self, request_id: Any, *, answered: bool = False) -> bool:
        """True if it was open. `answered`: by the server itself."""
        key = jsonrpc.key(request_id)
        if self._calls.pop(key, None) is None:
            return False
        (self._answered if answered else self._abandoned).append(key)
        return True

    def note(self) -> None:
        """A notification was sent: some servers answer those as well."""
        self._notes += 1

    def answered_by(self, message: Message) -> Tuple[Optional[Call], str]:
        """Whose answer it is, and why it cannot be passed on, if so."""
        request_id = message.get("id")
        call = self.get(request_id)
        if call:
            self._notes = 0  # before it they were read
            return call, ""
        key = jsonrpc.key(request_id)
        if self._was_asked(key) or self._was_asked(jsonrpc.twin(key)):
            return None, ""
        if self._notes:
            self._notes -= 1
            return None, ""
        return self._only(message)

    def _was_asked(self, key: Key) -> bool:
        return key in self._answered or key in self._abandoned

    def _only(self, message: Message) -> Tuple[Optional[Call], str]:
        """Nobody asked with such an id. Where one call is open it can only be meant for that; an error with
        no id says that the server could not read it (JSON-RPC 2.0, section 5)."""
        calls = self.all()
        if len(calls) != 1:
            log("an answer of the server has an id that no request has: dropped")
            return None, ""
        is_error = message.get("id") is None and isinstance(message.get("error"), dict)
        return calls[0], "" if is_error else UNASKED
