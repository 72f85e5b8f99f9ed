"""How often one may knock: token buckets in this process's memory."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable

MOST = 10_000


class Buckets:
    """Each key has `per_minute` of them at once and gets them back evenly."""

    def __init__(self, per_minute: int) -> None:
        self._rate = per_minute
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, key: Hashable) -> int:
        """Seconds until `key` has one to take; 0 for now. Takes nothing."""
        with self._lock:
            level = self._level(key, time.monotonic())
        return 0 if level >= 1 else math.ceil((1 - level) * 60 / self._rate)

    def take(self, key: Hashable) -> None:
        with self._lock:
            now = time.monotonic()
            self._levels[key] = (max(self._level(key, now) - 1, 0.0), now)
            self._levels.move_to_end(key)
            if len(self._levels) > MOST:
                self._levels.popitem(last=False)

    def _level(self, key: Hashable, now: float) -> float:
        level, since = self._levels.get(key, (float(self._rate), now))
        return min(float(self._rate), level + (now - since) * self._rate / 60)
