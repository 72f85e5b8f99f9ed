"""Limits the calls that a server answers at a time; further calls wait, in the order of their arrival."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from gateway import errors


@dataclass
class _Room:
    places: asyncio.Semaphore
    callers: int = 0


class Places:
    """At most `most` calls per server run at a time in this process; 0 means no limit.

    `patience` are the seconds for which a further call waits.
    """

    def __init__(self, most: int, patience: float) -> None:
        self._most, self._patience = most, patience
        self._rooms: dict[int, _Room] = {}

    def __len__(self) -> int:
        """Returns the number of servers that have a caller now."""
        return len(self._rooms)

    async def enter(self, server_id: int, name: str) -> None:
        """Waits for a free place; call `leave` afterwards, unless this raises.

        `name` is the server's name for errors. Raises `Refusal` (503) after `patience` seconds.
        """
        if not self._most:
            return
        room = self._rooms.get(server_id) or self._open(server_id)
        room.callers += 1
        try:
            if room.places.locked():
                await self._wait(room, name)
            else:
                await room.places.acquire()
        except BaseException:
            self._go(server_id, room)
            raise

    def leave(self, server_id: int) -> None:
        """Frees the place."""
        if room := self._rooms.get(server_id):
            room.places.release()
            self._go(server_id, room)

    def _open(self, server_id: int) -> _Room:
        room = self._rooms[server_id] = _Room(asyncio.Semaphore(self._most))
        return room

    def _go(self, server_id: int, room: _Room) -> None:
        room.callers -= 1
        if not room.callers:
            del self._rooms[server_id]

    async def _wait(self, room: _Room, name: str) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await room.places.acquire()
        except TimeoutError:
            raise errors.busy(name, self._most) from None
