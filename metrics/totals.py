"""Calls over time from `CallTotal`: of each server, of each of its clients, and of the whole platform."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet

from metrics.models import HOUR, MINUTE, CallTotal
from metrics.sums import Sum


def by_time(rows: QuerySet[CallTotal], starts: Sequence[datetime]) -> list[Sum]:
    """One sum for each interval that begins at `starts` (evenly spaced, oldest first)."""
    step = starts[1] - starts[0]
    seconds = MINUTE if step < timedelta(hours=1) else HOUR
    found = [Sum() for _ in starts]
    wanted = rows.filter(client="", seconds=seconds, start__gte=starts[0], start__lt=starts[-1] + step)
    for row in wanted.only("start", "calls", "errors", "duration_ms", "buckets"):
        found[(row.start - starts[0]) // step].join(row)
    return found


def by_client(server_id: int, since: datetime, until: datetime) -> dict[str, Sum]:
    """Most calls first."""
    rows = CallTotal.objects.filter(server=server_id, seconds=HOUR, start__gte=since, start__lt=until)
    found: dict[str, Sum] = defaultdict(Sum)
    for row in rows.exclude(client=""):
        found[row.client].join(row)
    return dict(sorted(found.items(), key=lambda item: -item[1].calls))


def of_platform() -> QuerySet[CallTotal]:
    return CallTotal.objects.filter(server=None)


def starts(until: datetime, step: timedelta, count: int) -> list[datetime]:
    """The beginnings of `count` intervals on the step's own grid, the last of which holds `until`."""
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    last = epoch + (until - epoch) // step * step
    return [last - step * back for back in reversed(range(count))]
