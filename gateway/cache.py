"""Keeps answers of the database for a short time, so that a call need not wait for it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Keeps the answers of `load` for `fresh` seconds after the question; None is an answer, too.

    Concurrent callers of the same key share one load. An exception of `load` is raised in each of them and
    not kept. At most `size` answers are kept; the oldest are removed first.
    """

    def __init__(self, load: Callable[[K], Awaitable[V]], fresh: float, size: int = 10_000) -> None:
        self._load, self._fresh, self._size = load, fresh, size
        self._held: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._loading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K) -> V:
        """Returns the answer for the key; raises what `load` raises."""
        held = self._held.get(key)
        if held is not None and time.monotonic() < held[0]:
            return held[1]
        return await asyncio.shield(self._loading.get(key) or self._start(key))

    def forget(self, key: K) -> None:
        """Removes the answer, so that the next `get` loads it again."""
        self._held.pop(key, None)

    def _start(self, key: K) -> asyncio.Task[V]:
        task = asyncio.create_task(self._fill(key))
        self._loading[key] = task
        task.add_done_callback(self._observe)
        return task

    async def _fill(self, key: K) -> V:
        until = time.monotonic() + self._fresh
        try:
            value = await self._load(key)
        finally:
            del self._loading[key]
        self._keep(key, until, value)
        return value

    def _keep(self, key: K, until: float, value: V) -> None:
        self._held[key] = (until, value)
        self._held.move_to_end(key)
        if len(self._held) > self._size:
            self._held.popitem(last=False)

    @staticmethod
    def _observe(task: asyncio.Task[V]) -> None:
        """Reads the exception, so that asyncio does not log it when all callers have left."""
        if not task.cancelled():
            task.exception()
