"""All connections of one door: how many there may be, of whom, and for how long they may keep it waiting.

A connection that does nothing costs a descriptor, and descriptors are what one runs out of first. Where there
are too many, the one that has been idle for longest goes; only where none is idle a new one is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from django.conf import settings

from servers.front.refusal import Refused
from servers.operations import descriptors

LONGEST_STEP = 2.0  # seconds that one look may count: after a pause of the whole process none is at fault


@dataclass(frozen=True)
class Limits:
    """Seconds, bytes and connections; 0 of `per_address` bounds nothing.

    head: for a complete head, from the connection or its first byte. body: before the least rate counts.
    rate: bytes a second of a body. unread: while a reader takes nothing of what waits for it. idle: between
    two requests. linger: for a sender to notice that it was refused.
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
    """Behind a proxy all connections are the proxy's: there requests are counted (`servers.front`)."""
    per_address = 0 if settings.BEHIND_PROXY else settings.CONNECTIONS_PER_ADDRESS
    return Limits(descriptors.connections_within(open_files), per_address)


class Member(Protocol):
    address: str

    def leave(self) -> None:
        """At once."""

    def look(self, seconds: float) -> None:
        """So much time has passed since the last look."""


class Crowd:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._idle: dict[Member, None] = {}  # the one that has been so for longest comes first
        self._of: dict[str, dict[Member, None]] = {}
        self._count = 0
        self._looked_at = 0.0
        self.lingers = True

    def __len__(self) -> int:
        return self._count

    def enter(self, member: Member) -> Refused | None:
        """Why it may not."""
        theirs = self._of.get(member.address, {})
        most = self.limits.per_address
        if most and len(theirs) >= most and not self._send_away(theirs):
            return Refused(429, f"Your address has {most} connections in use: close some.", retry_after=5)
        if self._count >= self.limits.connections and not self._send_away(self._idle):
            return Refused(503, "All connections that this process can have are in use.", retry_after=5)
        self._of.setdefault(member.address, {})[member] = None
        self._count += 1
        self.rests(member)
        return None

    def is_gone(self, member: Member) -> None:
        theirs = self._of.get(member.address, {})
        if member in theirs:
            del theirs[member]
            self._count -= 1
            self._idle.pop(member, None)
        if not theirs:
            self._of.pop(member.address, None)

    def works(self, member: Member) -> None:
        self._idle.pop(member, None)

    def rests(self, member: Member) -> None:
        self._idle.pop(member, None)
        if member in self._of.get(member.address, ()):
            self._idle[member] = None

    def look(self, now: float) -> None:
        """At each: call it about once a second."""
        seconds = min(now - self._looked_at, LONGEST_STEP) if self._looked_at else 0.0
        self._looked_at = now
        for theirs in list(self._of.values()):
            for member in list(theirs):
                member.look(seconds)

    def _send_away(self, among: dict[Member, None]) -> bool:
        """The first that is idle: of one address' own few, or of all that are."""
        member = next((each for each in among if each in self._idle), None)
        if member is None:
            return False
        self.is_gone(member)
        member.leave()
        return True
