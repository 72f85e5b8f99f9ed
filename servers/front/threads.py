"""The threads that run Django. Their number is fixed, and addresses share them."""

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
WAITING = 256  # requests that wait for a thread, without answers that have begun
PATIENCE = 5.0  # seconds without a free thread after which a process is not ready


@dataclass(eq=False)
class _Waiter:
    turn: asyncio.Future[None]
    since: float
    begins: bool


class Queue:
    """Requests that wait for a thread.

    Addresses take turns, so that one with many requests delays only its own.

    If too many wait, the newest request of the address with the most is refused.
    """

    def __init__(self) -> None:
        self._of: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self.beginning = 0

    def __bool__(self) -> bool:
        return bool(self._of)

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    @property
    def oldest(self) -> float:
        """When the oldest one began to wait (monotonic seconds)."""
        return min(theirs[0].since for theirs in self._of.values())

    def join(self, address: str, waiter: _Waiter) -> None:
        """Adds a waiter. If too many wait, refuses one, which may be this one."""
        self._of.setdefault(address, deque()).append(waiter)
        self.beginning += waiter.begins
        if waiter.begins and self.beginning > WAITING:
            self._refuse_one()

    def next(self) -> _Waiter:
        """Removes and returns the next waiter. Its address then comes last."""
        address, theirs = self._of.popitem(last=False)
        waiter = theirs.popleft()
        self.beginning -= waiter.begins
        if theirs:
            self._of[address] = theirs  # behind all others
        return waiter

    def leave(self, address: str, waiter: _Waiter) -> None:
        """Removes a waiter, if it still waits."""
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
    """A pool of threads. `take` a thread or wait for a `turn`, then `run` work on it.

    All methods are called in the event loop.
    """

    def __init__(self, count: int) -> None:
        self.executor = ThreadPoolExecutor(count, thread_name_prefix="WSGI")
        self._count, self._busy = count, 0
        self._waiting = Queue()
        self._moved = time.monotonic()  # when a thread was free last

    def fault(self, patience: float | None = None) -> str:
        """Returns why this process should get no requests now, or ""."""
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
        """Takes a thread if one is free and nobody waits, and tells whether it did."""
        if self._busy < self._count and not self._waiting:
            self._busy += 1
            self._moved = time.monotonic()
            return True
        return False

    async def turn(self, address: str, *, begins: bool = True) -> None:
        """Waits for a thread. Raises `Refused` (503) if too many wait; never for an answer that has begun."""
        waiter = _Waiter(asyncio.get_running_loop().create_future(), time.monotonic(), begins)
        self._waiting.join(address, waiter)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled() and not waiter.turn.exception():
                self.give_back()  # its turn came at the same time
            raise
        finally:
            self._waiting.leave(address, waiter)

    async def run(self, work: Callable[[], T]) -> T:
        """Runs `work` on the caller's thread.

        If the caller is cancelled, the thread is free when the work has ended.
        """
        loop = asyncio.get_running_loop()
        try:
            future = self.executor.submit(work)
        except RuntimeError:  # the pool is being closed
            self.give_back()
            raise
        future.add_done_callback(lambda _: self._ended(loop))
        return await asyncio.shield(asyncio.wrap_future(future))

    def give_back(self) -> None:
        """Frees a thread, and gives free threads to the next waiters."""
        self._busy -= 1
        self._moved = time.monotonic()
        while self._waiting and self._busy < self._count:
            waiter = self._waiting.next()
            if not waiter.turn.done():
                self._busy += 1
                waiter.turn.set_result(None)

    def _ended(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self.give_back)
