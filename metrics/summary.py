"""Summarises the calls of one server over time and by tool, from `CallRollup`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from metrics.methods import FAILURES
from metrics.models import CallRollup
from metrics.sums import quantile

INTERVALS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
MOST_ROWS = 1000


def of_server(server_id: int, *, since: datetime, until: datetime, interval: str) -> dict[str, Any]:
    """Returns the sums `total`, `series` (by interval) and `by_name` (by method and tool, most calls first).

    Intervals without calls are left out. Durations are in ms. `interval` is a key of INTERVALS. `since` is
    rounded down to the start of its interval; `until` is not included.
    """
    since = floor(since, interval)
    rows = list(CallRollup.objects.filter(server_id=server_id, hour__gte=since, hour__lt=until))
    by_time = _grouped(rows, lambda row: floor(row.hour, interval))
    by_name = _grouped(rows, lambda row: (row.method, row.name))
    named = [{"method": key[0], "name": key[1], **figures(group)} for key, group in by_name.items()]
    return {
        "total": figures(rows),
        "series": [{"time": time, **figures(by_time[time])} for time in sorted(by_time)],
        "by_name": sorted(named, key=lambda found: -found["calls"])[:MOST_ROWS],
    }


def floor(moment: datetime, interval: str) -> datetime:
    """Returns the start of the hour or day, in UTC."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour.replace(hour=0) if interval == "day" else hour


def figures(rows: Sequence[CallRollup]) -> dict[str, Any]:
    """Returns the sums of these rows, with quantiles of the duration in ms (None without calls)."""
    outcomes: dict[str, int] = defaultdict(int)
    for row in rows:
        outcomes[row.outcome] += row.calls
    buckets = [sum(column) for column in zip(*(row.buckets for row in rows), strict=True)]
    calls = sum(outcomes.values())
    return {
        "calls": calls,
        "errors": sum(count for outcome, count in outcomes.items() if outcome in FAILURES),
        "outcomes": dict(outcomes),
        "bytes_in": sum(row.bytes_in for row in rows),
        "bytes_out": sum(row.bytes_out for row in rows),
        "mean_ms": round(sum(row.duration_ms for row in rows) / calls) if calls else None,
        **{f"p{share}_ms": quantile(buckets, share / 100) for share in (50, 95, 99)},
    }


def _grouped(rows: Iterable[CallRollup], key: Callable[[CallRollup], Any]) -> dict[Any, list[CallRollup]]:
    groups: dict[Any, list[CallRollup]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups
