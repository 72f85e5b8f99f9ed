"""How many calls a server answers at a time; the others wait a little, first come, first served."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway import errors


@dataclass
class _Room:
    places: asyncio.Semaphore
    callers: int = 0


class Places:
    """At most `most` calls of one server at once in this process, 0 for no limit. Raises `Refusal` (503)
    for a call that waits longer than `patience` seconds: the server is busy, the caller did nothing wrong."""

    def __init__(self, most: int, patience: float) -> None:
        self._most, self._patience = most, patience
        self._rooms: dict[int, _Room] = {}

    def __len__(self) -> int:
        """Servers that have a caller now."""
        return len(self._rooms)

    @contextlib.asynccontextmanager
    async def one_of(self, server_id: int, name: str) -> AsyncIterator[None]:
        if not self._most:
            yield
            return
        room = self._rooms.setdefault(server_id, _Room(asyncio.Semaphore(self._most)))
        room.callers += 1
        try:
            await self._take(room, name)
            try:
                yield
            finally:
                room.places.release()
        finally:
            room.callers -= 1
            if not room.callers:
                del self._rooms[server_id]

    async def _take(self, room: _Room, name: str) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await room.places.acquire()
        except TimeoutError:
            raise errors.busy(name, self._most) from None
