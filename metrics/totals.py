"""Reads `CallTotal`: calls over time of a server, of each of its clients, and of the whole platform."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet

from metrics.models import HOUR, MINUTE, CallTotal
from metrics.sums import Sum


def by_time(rows: QuerySet[CallTotal], starts: Sequence[datetime]) -> list[Sum]:
    """Returns one sum for each interval.

    `starts` are the begins of at least two, evenly spaced, oldest first.
    """
    step = starts[1] - starts[0]
    seconds = MINUTE if step < timedelta(hours=1) else HOUR
    found = [Sum() for _ in starts]
    wanted = rows.filter(client="", seconds=seconds, start__gte=starts[0], start__lt=starts[-1] + step)
    for row in wanted.only("start", "calls", "errors", "duration_ms", "buckets"):
        found[(row.start - starts[0]) // step].join(row)
    return found


def by_client(server_id: int, since: datetime, until: datetime) -> dict[str, Sum]:
    """Returns the sums of each client of a server, most calls first."""
    rows = CallTotal.objects.filter(server=server_id, seconds=HOUR, start__gte=since, start__lt=until)
    found: dict[str, Sum] = defaultdict(Sum)
    for row in rows.exclude(client=""):
        found[row.client].join(row)
    return dict(sorted(found.items(), key=lambda item: -item[1].calls))


def of_platform() -> QuerySet[CallTotal]:
    """Returns the rows for all servers together."""
    return CallTotal.objects.filter(server=None)


def starts(until: datetime, step: timedelta, count: int) -> list[datetime]:
    """Returns the begins of `count` intervals of the length `step`; the last interval contains `until`."""
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    last = epoch + (until - epoch) // step * step
    return [last - step * back for back in reversed(range(count))]
