"""Sessions of the legacy era (≤ 2025-11-25): whose they are, and which deployment holds them."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace

IDLE_SECONDS = 24 * 3600.0
MOST = 50_000


@dataclass(frozen=True)
class Session:
    """`client` and `version` are what `initialize` said, for the records of later calls."""

    token_id: int
    deployment_id: int
    client: str = ""
    version: str = ""
    used: float = field(default_factory=time.monotonic)


class Sessions:
    """A bounded table: what is idle longest goes first. A session that is not in it is merely not known here:
    another gateway process may have opened it, so that the upstream has the last word."""

    def __init__(self, most: int = MOST, idle: float = IDLE_SECONDS) -> None:
        self._most, self._idle = most, idle
        self._table: OrderedDict[tuple[int, str], Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._table)

    def get(self, server_id: int, session_id: str) -> Session | None:
        self._expire()
        session = self._table.get((server_id, session_id))
        if session is not None:
            self.put(server_id, session_id, replace(session, used=time.monotonic()))
        return session

    def put(self, server_id: int, session_id: str, session: Session) -> None:
        self._table[server_id, session_id] = session
        self._table.move_to_end((server_id, session_id))
        if len(self._table) > self._most:
            self._table.popitem(last=False)

    def drop(self, server_id: int, session_id: str) -> None:
        self._table.pop((server_id, session_id), None)

    def _expire(self) -> None:
        stale = time.monotonic() - self._idle
        while self._table and next(iter(self._table.values())).used < stale:
            self._table.popitem(last=False)
