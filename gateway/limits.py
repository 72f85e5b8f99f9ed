"""How many calls a token makes and a server answers per minute: token buckets in this process's memory."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterable

from gateway import errors

MOST = 50_000
Bound = tuple[Hashable, int]


class Limits:
    """Each key has a bucket that holds a minute's worth and refills evenly, so that a burst passes and a
    steady excess does not. The buckets least used go first: they are full, or nearly so."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    async def admit(self, bounds: Iterable[Bound], cost: int = 1) -> None:
        """`take`, for who would wait for limits that are shared."""
        self.take(bounds, cost)

    async def close(self) -> None:
        """Nothing is held open."""

    def take(self, bounds: Iterable[Bound], cost: int = 1) -> None:
        """Takes `cost` from the bucket of every (key, calls per minute); 0 per minute is no limit.

        Takes nothing and raises `Refusal` (429) where one holds too little. A cost beyond a whole bucket
        is admitted by a full one, which then owes the rest.
        """
        now = time.monotonic()
        held = [(key, rate, self._level(key, rate, now)) for key, rate in bounds if rate]
        wait = max((_wait(level, rate, cost) for _, rate, level in held), default=0.0)
        if wait > 0:
            raise errors.too_many_calls(math.ceil(wait))
        for key, _, level in held:
            self._keep(key, level - cost, now)

    def _level(self, key: Hashable, rate: int, now: float) -> float:
        level, since = self._buckets.get(key, (float(rate), now))
        return min(float(rate), level + (now - since) * rate / 60)

    def _keep(self, key: Hashable, level: float, now: float) -> None:
        self._buckets[key] = (level, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)


def _wait(level: float, rate: int, cost: int) -> float:
    """Seconds until the bucket holds enough."""
    return (min(cost, rate) - level) * 60 / rate
