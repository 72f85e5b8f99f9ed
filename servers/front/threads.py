"""The threads that serve Django: so many and no more, shared among addresses, known to be free or not."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from servers.front.refusal import Refused

T = TypeVar("T")
WAITING = 256  # requests that wait for a thread; steps of answers that have begun do not count
PATIENCE = 5.0  # seconds after which a process whose threads are all taken is not ready


@dataclass(eq=False)
class _Waiter:
    turn: asyncio.Future[None]
    since: float
    begins: bool


class Queue:
    """Addresses take turns, so that one with many requests delays its own. Where too many wait, the newest of
    the address that has most has to go."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self.beginning = 0

    def __bool__(self) -> bool:
        return bool(self._of)

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    @property
    def oldest(self) -> float:
        """Since when its owner has waited."""
        return min(theirs[0].since for theirs in self._of.values())

    def join(self, address: str, waiter: _Waiter) -> None:
        self._of.setdefault(address, deque()).append(waiter)
        self.beginning += waiter.begins
        if waiter.begins and self.beginning > WAITING:
            self._refuse_one()

    def next(self) -> _Waiter:
        address, theirs = self._of.popitem(last=False)
        waiter = theirs.popleft()
        self.beginning -= waiter.begins
        if theirs:
            self._of[address] = theirs  # behind all others
        return waiter

    def leave(self, address: str, waiter: _Waiter) -> None:
        theirs = self._of.get(address, deque())
        if waiter in theirs:
            theirs.remove(waiter)
            self.beginning -= waiter.begins
        if not theirs:
            self._of.pop(address, None)

    def _refuse_one(self) -> None:
        address = max(self._of, key=lambda each: sum(waiter.begins for waiter in self._of[each]))
        waiter = next(waiter for waiter in reversed(self._of[address]) if waiter.begins)
        self.leave(address, waiter)
        if not waiter.turn.done():
            busy = Refused(503, "Too many requests wait to be served. Try again.", retry_after=2)
            waiter.turn.set_exception(busy)


class Threads:
    """`take` or wait for a `turn`, then `run`. All but the threads themselves is the event loop's."""

    def __init__(self, count: int) -> None:
        self.executor = ThreadPoolExecutor(count, thread_name_prefix="WSGI")
        self._count, self._busy = count, 0
        self._waiting = Queue()
        self._moved = time.monotonic()  # when one was last free, or became so

    def fault(self, patience: float | None = None) -> str:
        """Why nobody should send requests here, or ""."""
        if self._busy < self._count:
            return ""
        now = time.monotonic()
        seconds = now - min(self._moved, self._waiting.oldest if self._waiting else now)
        if seconds < (PATIENCE if patience is None else patience):
            return ""
        return (
            f"No thread is free: all {self._count} are at work and {len(self._waiting)} requests wait, "
            f"for {seconds:.0f} s now."
        )

    def take(self) -> bool:
        """A thread, where one is free and nobody waits: `run` something on it."""
        if self._busy < self._count and not self._waiting:
            self._busy += 1
            self._moved = time.monotonic()
            return True
        return False

    async def turn(self, address: str, *, begins: bool = True) -> None:
        """Waits for one. Raises `Refused` (503) where too many do; not of an answer that has begun."""
        waiter = _Waiter(asyncio.get_running_loop().create_future(), time.monotonic(), begins)
        self._waiting.join(address, waiter)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled() and not waiter.turn.exception():
                self.give_back()  # its turn came just now
            raise
        finally:
            self._waiting.leave(address, waiter)

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
            waiter = self._waiting.next()
            if not waiter.turn.done():
                self._busy += 1
                waiter.turn.set_result(None)

    def _ended(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # a loop that is closed asks for nothing
            loop.call_soon_threadsafe(self.give_back)
