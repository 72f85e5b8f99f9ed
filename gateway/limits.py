"""How many calls a token makes and a server answers per minute, counted by this process for itself."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable

from access.buckets import Buckets
from gateway import errors

MOST = 50_000
Bound = tuple[Hashable, int]


class Limits:
    def __init__(self, most: int = MOST) -> None:
        self._buckets = Buckets(most)

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
        limited = [(key, rate) for key, rate in bounds if rate]
        wait = max((self._buckets.wait(key, rate, cost) for key, rate in limited), default=0.0)
        if wait > 0:
            raise errors.too_many_calls(math.ceil(wait))
        for key, rate in limited:
            self._buckets.take(key, rate, cost)
