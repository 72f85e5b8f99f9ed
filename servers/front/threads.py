"""The threads that serve Django: as many as there are, taken in turn, and known to be free or not."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from servers.front.refusal import Refused

T = TypeVar("T")
WAITING = 256  # requests that wait for a thread, of all and of one address
WAITING_OF_ONE = 128
PATIENCE = 5.0  # seconds after which a process whose threads are all taken is not ready


@dataclass(eq=False)
class _Waiter:
    turn: asyncio.Future[None]
    since: float


class Threads:
    """`take` or wait for a `turn`, then `run`. All but the threads themselves is the event loop's."""

    def __init__(self, count: int) -> None:
        self.executor = ThreadPoolExecutor(count, thread_name_prefix="WSGI")
        self._count, self._busy = count, 0
        self._waiting: deque[_Waiter] = deque()
        self._of: Counter[str] = Counter()
        self._moved = time.monotonic()  # when one was last free, or became so

    @property
    def _free(self) -> bool:
        return self._busy < self._count and not self._waiting

    def fault(self, patience: float | None = None) -> str:
        """Why nobody should send requests here, or ""."""
        if self._busy < self._count:
            return ""
        now = time.monotonic()
        oldest = self._waiting[0].since if self._waiting else now
        seconds = now - min(self._moved, oldest)
        if seconds < (PATIENCE if patience is None else patience):
            return ""
        return (
            f"No thread is free: all {self._count} are at work and {len(self._waiting)} requests wait, "
            f"for {seconds:.0f} s now."
        )

    def take(self) -> bool:
        """A thread, where one is free: `run` something on it."""
        if self._free:
            self._busy += 1
            self._moved = time.monotonic()
            return True
        return False

    async def turn(self, address: str) -> None:
        """Waits for one. Raises `Refused` (503) where too many wait already."""
        if len(self._waiting) >= WAITING or self._of[address] >= WAITING_OF_ONE:
            raise Refused(503, "Too many requests wait to be served. Try again.", retry_after=2)
        await self._wait(address)

    async def another(self) -> None:
        """The same for work that has begun: it waits however many do."""
        if not self.take():
            await self._wait("")

    async def run(self, work: Callable[[], T]) -> T:
        """On the thread that the caller has. Cancelled, the thread goes on, and is free once it has ended."""
        loop = asyncio.get_running_loop()
        try:
            future = self.executor.submit(work)
        except RuntimeError:  # the pool is being closed
            self.give_back()
            raise
        future.add_done_callback(lambda _: self._ended(loop))
        return await asyncio.shield(asyncio.wrap_future(future))

    def give_back(self) -> None:
        self._busy -= 1
        self._moved = time.monotonic()
        while self._waiting and self._busy < self._count:
            waiter = self._waiting.popleft()
            if not waiter.turn.done():
                self._busy += 1
                waiter.turn.set_result(None)

    def _ended(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # a loop that is closed asks for nothing
            loop.call_soon_threadsafe(self.give_back)

    async def _wait(self, address: str) -> None:
        waiter = _Waiter(asyncio.get_running_loop().create_future(), time.monotonic())
        self._waiting.append(waiter)
        self._of[address] += 1
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled():  # its turn came just now
                self.give_back()
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(waiter)
            self._of[address] -= 1
            if not self._of[address]:
                del self._of[address]
