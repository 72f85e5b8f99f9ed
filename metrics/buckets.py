"""Durations counted in buckets: small, can be added up, and good enough for a quantile."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

Buckets = list[int]
# Upper bounds, in ms.
BOUNDS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000)


def empty() -> Buckets:
    return [0] * (len(BOUNDS) + 1)


def bucket_of(duration_ms: int) -> int:
    return bisect.bisect_left(BOUNDS, duration_ms)


def merged(one: Sequence[int], other: Sequence[int]) -> Buckets:
    return [was + more for was, more in zip(one, other, strict=True)]


def quantile(buckets: Sequence[int], share: float) -> int | None:
    """Within its bucket by proportion, as Prometheus does; the highest bound for what lies beyond it."""
    rank, before, low = share * sum(buckets), 0, 0
    if not rank:
        return None
    for high, count in zip(BOUNDS, buckets, strict=False):
        if before + count >= rank:
            return round(low + (high - low) * (rank - before) / count)
        before, low = before + count, high
    return BOUNDS[-1]
