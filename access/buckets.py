"""Rate limits: token buckets in this process's memory. Pure."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable


class Buckets:
    """One bucket for each key. It holds a minute's amount and refills evenly.

    So a burst passes, but a steady excess does not. With more than `most` keys, the least recently used
    bucket is dropped; it is full, or nearly so.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._levels)

    def wait(self, key: Hashable, per_minute: int, cost: int = 1) -> float:
        """Returns the seconds until the bucket holds `cost`, or is full; 0 for now. Takes nothing."""
        with self._lock:
            level = self._level(key, per_minute, time.monotonic())
        return max(0.0, (min(cost, per_minute) - level) * 60 / per_minute)

    def take(self, key: Hashable, per_minute: int, cost: int = 1) -> None:
        """Takes `cost`.

        If it is more than a whole bucket, the rest is owed; otherwise the level does not go below 0.
        """
        with self._lock:
            now = time.monotonic()
            left = self._level(key, per_minute, now) - cost
            self._levels[key] = (max(left, min(0.0, per_minute - cost)), now)
            self._levels.move_to_end(key)
            if len(self._levels) > self._most:
                self._levels.popitem(last=False)

    def _level(self, key: Hashable, per_minute: int, now: float) -> float:
        level, since = self._levels.get(key, (float(per_minute), now))
        return min(float(per_minute), level + (now - since) * per_minute / 60)


class Limit:
    """Buckets with the same `per_minute` for every key."""

    def __init__(self, per_minute: int) -> None:
        self._rate, self._buckets = per_minute, Buckets()

    def wait(self, key: Hashable) -> int:
        """Returns whole seconds until one may be taken; 0 for now. Takes nothing."""
        return math.ceil(self._buckets.wait(key, self._rate))

    def take(self, key: Hashable) -> None:
        """Takes one."""
        self._buckets.take(key, self._rate)
