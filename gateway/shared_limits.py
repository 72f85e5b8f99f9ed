"""Limits that all gateway processes share, in Redis. Each process takes a second's worth from a bucket there
and spends it without asking again: so the path waits for Redis at most once a second for a busy key."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio

from gateway import errors
from gateway.limits import MOST, Bound, Limits

log = logging.getLogger(__name__)
PATIENCE = 0.25  # seconds that a call waits for Redis
PAUSE = 5.0  # after a failure, for which each process counts for itself
KEPT = 2.0  # seconds after which what was taken and not spent is lost
# Takes between ARGV[2] and ARGV[3] from a bucket that holds and refills ARGV[1] a minute. Answers what was
# taken, or 0 and the seconds until there is enough. More than a whole bucket is given by a full one, which
# then owes the rest.
TAKE = """
local rate, need, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local held = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = rate
if held[1] then level = math.min(rate, held[1] + (now - held[2]) * rate / 60) end
if level < math.min(need, rate) then
  return {0, tostring((math.min(need, rate) - level) * 60 / rate)}
end
local taken = math.max(need, math.min(want, math.floor(level)))
level = level - taken
redis.call('HSET', KEYS[1], 'level', tostring(level), 'at', tostring(now))
redis.call('PEXPIRE', KEYS[1], math.ceil((rate - level) / rate * 60000) + 1000)
return {taken, '0'}
"""


@dataclass
class _Slice:
    """What this process may spend of a bucket."""

    rate: int
    left: float = 0.0
    taken_at: float = 0.0
    refused_until: float = 0.0
    refused: int = 0  # what was asked for then
    taking: asyncio.Task[None] | None = None


class SharedLimits:
    """`Limits` of all processes with the same Redis and `prefix`. While Redis is away, `local` counts."""

    def __init__(self, url: str, prefix: str, local: Limits) -> None:
        self._url, self._prefix, self._local = url, prefix, local
        self._redis: redis.asyncio.Redis | None = None
        self._slices: OrderedDict[Any, _Slice] = OrderedDict()
        self._away_until = 0.0

    async def admit(self, bounds: Iterable[Bound], cost: int = 1) -> None:
        """Raises `Refusal` (429) where there is too little; what was taken for it is spent later."""
        limited = [(key, rate) for key, rate in bounds if rate]
        try:
            slices = [await self._holding(key, rate, cost) for key, rate in limited]
        except (redis.RedisError, OSError, TimeoutError):
            self._local.take(limited, cost)
            return
        for held in slices:
            held.left -= cost

    async def close(self) -> None:
        if self._redis:
            with contextlib.suppress(redis.RedisError, OSError):
                await self._redis.aclose()

    async def _holding(self, key: Any, rate: int, cost: int) -> _Slice:
        held = self._slice(key, rate)
        while held.left < cost:
            now = time.monotonic()
            if now < held.refused_until and cost >= held.refused:
                raise errors.too_many_calls(math.ceil(held.refused_until - now))
            if now < self._away_until:
                raise redis.ConnectionError("away")
            held.taking = held.taking or asyncio.create_task(self._take(key, held, cost))
            await asyncio.shield(held.taking)
        return held

    def _slice(self, key: Any, rate: int) -> _Slice:
        held = self._slices.get(key)
        if held is None or held.rate != rate:
            held = self._slices[key] = _Slice(rate)
        elif held.left > 0 and time.monotonic() - held.taken_at > KEPT:
            held.left = 0.0
        self._slices.move_to_end(key)
        if len(self._slices) > MOST:
            self._slices.popitem(last=False)
        return held

    async def _take(self, key: Any, held: _Slice, cost: int) -> None:
        name = ":".join((self._prefix, *map(str, key)))
        want = max(cost, held.rate // 60)
        try:
            async with asyncio.timeout(PATIENCE):
                taken, wait = await self._client().eval(TAKE, 1, name, held.rate, cost, want)
        except (redis.RedisError, OSError, TimeoutError):
            self._away_until = time.monotonic() + PAUSE
            log.warning("Redis does not answer: limits are counted by each process for itself")
            return
        finally:
            held.taking = None
        now = time.monotonic()
        if taken:
            held.left, held.taken_at = held.left + taken, now
        else:
            held.refused_until, held.refused = now + float(wait), cost

    def _client(self) -> redis.asyncio.Redis:
        if self._redis is None:
            self._redis = redis.asyncio.Redis.from_url(
                self._url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE
            )
        return self._redis
