"""Limits the connections of one process: their number, how many of one address, and how long they may wait.

Each connection needs a file descriptor, and a process runs out of these first. If there are too many
connections, the one that was idle longest is closed. A new one is refused only if none is idle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from django.conf import settings

from servers.front.refusal import Refused
from servers.operations import descriptors

LONGEST_STEP = 2.0  # seconds: after a pause of the whole process, no more than this is counted


@dataclass(frozen=True)
class Limits:
    """Limits in seconds, bytes and connections. `per_address` 0 means no limit.

    `head`: seconds for a complete head. `body`: seconds before the least `rate` of a body applies, in bytes a
    second. `unread`: seconds in which the peer reads nothing of its answer. `idle`: seconds between two
    requests. `linger`: seconds in which a sender can notice that it was refused.
    """

    connections: int
    per_address: int = 0
    head: float = 20.0
    body: float = 10.0
    rate: float = 1024.0
    unread: float = 60.0
    idle: float = 80.0
    linger: float = 5.0


def limits_from_settings(open_files: int) -> Limits:
    """Returns the limits for a process that may open `open_files` files.

    Behind a proxy there is no limit per address, because all connections come from the proxy. There
    `servers.front` limits requests.
    """
    per_address = 0 if settings.BEHIND_PROXY else settings.CONNECTIONS_PER_ADDRESS
    return Limits(descriptors.connections_within(open_files), per_address)


class Connection(Protocol):
    """What the table needs of a connection."""

    address: str

    def disconnect(self) -> None:
        """Closes the connection at once."""

    def tick(self, seconds: float) -> None:
        """Is called when `seconds` have passed since the last call."""


class ConnectionTable:
    """All connections of a process, by their addresses, and which of them are idle."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._idle: dict[Connection, None] = {}  # the longest idle first
        self._of: dict[str, dict[Connection, None]] = {}
        self._count = 0
        self._looked_at = 0.0
        self.lingers = True

    def __len__(self) -> int:
        return self._count

    def add(self, connection: Connection) -> Refused | None:
        """Adds a connection, or returns why it is refused."""
        theirs = self._of.get(connection.address, {})
        most = self.limits.per_address
        if most and len(theirs) >= most and not self._disconnect_idle(theirs):
            return Refused(429, f"Your address has {most} connections in use: close some.", retry_after=5)
        if self._count >= self.limits.connections and not self._disconnect_idle(self._idle):
            return Refused(503, "All connections that this process can have are in use.", retry_after=5)
        self._of.setdefault(connection.address, {})[connection] = None
        self._count += 1
        self.mark_idle(connection)
        return None

    def remove(self, connection: Connection) -> None:
        """Removes a connection, if it is there."""
        theirs = self._of.get(connection.address, {})
        if connection in theirs:
            del theirs[connection]
            self._count -= 1
            self._idle.pop(connection, None)
        if not theirs:
            self._of.pop(connection.address, None)

    def mark_busy(self, connection: Connection) -> None:
        """Says that a connection has a request, so that it is not closed for a new one."""
        self._idle.pop(connection, None)

    def mark_idle(self, connection: Connection) -> None:
        """Says that a connection has no request."""
        self._idle.pop(connection, None)
        if connection in self._of.get(connection.address, ()):
            self._idle[connection] = None

    def tick(self, now: float) -> None:
        """Calls `tick` of each connection. Call it about once a second, with the loop's time."""
        seconds = min(now - self._looked_at, LONGEST_STEP) if self._looked_at else 0.0
        self._looked_at = now
        for theirs in list(self._of.values()):
            for connection in list(theirs):
                connection.tick(seconds)

    def _disconnect_idle(self, among: dict[Connection, None]) -> bool:
        """Closes the first idle connection of `among`; False if none is idle."""
        connection = next((each for each in among if each in self._idle), None)
        if connection is None:
            return False
        self.remove(connection)
        connection.disconnect()
        return True
