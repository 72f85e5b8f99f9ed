"""Sums of calls: their number, failures, bytes and durations.

Durations are counted in buckets, which are small, can be added, and allow good estimates of quantiles.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from metrics.methods import BOUNDS, FAILURES
from metrics.models import CallRollup, CallTotal

Buckets = list[int]


def empty() -> Buckets:
    """Returns buckets without calls: one for each of `methods.BOUNDS`, and one for longer calls."""
    return [0] * (len(BOUNDS) + 1)


class Call(NamedTuple):
    """What one `mcp_call` event adds to a sum. Durations are in ms."""

    failed: bool
    duration_ms: int
    bytes_in: int
    bytes_out: int

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> Call:
        numbers = (_number(details, key) for key in ("duration_ms", "bytes_in", "bytes_out"))
        return cls(details.get("outcome") in FAILURES, *numbers)


@dataclass
class Sum:
    """A sum of calls. Its columns have the names of those in `CallRollup` and `CallTotal`."""

    SUMS: ClassVar = ("calls", "errors", "duration_ms", "bytes_in", "bytes_out")

    calls: int = 0
    errors: int = 0
    duration_ms: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    buckets: Buckets = field(default_factory=empty)

    def add(self, call: Call) -> None:
        self.calls += 1
        self.errors += call.failed
        self.duration_ms += call.duration_ms
        self.bytes_in += call.bytes_in
        self.bytes_out += call.bytes_out
        self.buckets[bisect.bisect_left(BOUNDS, call.duration_ms)] += 1

    def join(self, other: Sum | CallTotal) -> None:
        """Adds another sum, or a row of `CallTotal`, to this one."""
        _add(self, other, other.SUMS)

    def add_to(self, row: CallRollup | CallTotal) -> None:
        """Adds this sum to a row."""
        _add(row, self, row.SUMS)

    @property
    def p50_ms(self) -> int | None:
        return quantile(self.buckets, 0.5)

    @property
    def p95_ms(self) -> int | None:
        return quantile(self.buckets, 0.95)

    @property
    def error_share(self) -> float | None:
        """Failures by calls, from 0 to 1; None without calls."""
        return self.errors / self.calls if self.calls else None


Summed = Sum | CallRollup | CallTotal


def sum_of(parts: Iterable[Sum]) -> Sum:
    """Returns the sum of all parts."""
    whole = Sum()
    for each in parts:
        whole.join(each)
    return whole


def quantile(buckets: Sequence[int], share: float) -> int | None:
    """Estimates a quantile in ms, by interpolation within its bucket, as Prometheus does.

    Returns the highest bound for a value above it, and None without calls.
    """
    rank, before, low = share * sum(buckets), 0, 0
    if not rank:
        return None
    for high, count in zip(BOUNDS, buckets, strict=False):
        if before + count >= rank:
            return round(low + (high - low) * (rank - before) / count)
        before, low = before + count, high
    return BOUNDS[-1]


def _add(
    to: Sum | CallRollup | CallTotal, more: Sum | CallRollup | CallTotal, columns: Sequence[str]
) -> None:
    for column in columns:
        setattr(to, column, getattr(to, column) + getattr(more, column))
    to.buckets = [was + new for was, new in zip(to.buckets, more.buckets, strict=True)]


def _number(details: Mapping[str, Any], key: str) -> int:
    value = details.get(key)
    return max(0, value) if isinstance(value, int) else 0
