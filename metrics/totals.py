"""Calls by the minute and by the hour: of each server, of each of its clients, and of the whole platform."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from metrics.buckets import Buckets, bucket_of, empty, merged, quantile
from metrics.methods import FAILURES
from metrics.models import CallTotal

MINUTE, HOUR = 60, 3600
KEEP_MINUTES = timedelta(hours=3)
MOST_CLIENTS = 50  # kept apart, per server and hour
LONGEST_CLIENT = 200  # characters that are looked at
OTHER_CLIENTS, NO_NAME = "*", "(no name)"
_VERSION = re.compile(r"\s+v?\d\S*$")
Key = tuple[int | None, str, int, datetime]


@dataclass
class Total:
    calls: int = 0
    errors: int = 0
    duration_ms: int = 0
    buckets: Buckets = field(default_factory=empty)

    def add(self, duration_ms: int, *, failed: bool) -> None:
        self.calls += 1
        self.errors += failed
        self.duration_ms += duration_ms
        self.buckets[bucket_of(duration_ms)] += 1

    def join(self, other: Total | CallTotal) -> None:
        self.calls += other.calls
        self.errors += other.errors
        self.duration_ms += other.duration_ms
        self.buckets = merged(self.buckets, other.buckets)

    @property
    def p50_ms(self) -> int | None:
        return quantile(self.buckets, 0.5)

    @property
    def p95_ms(self) -> int | None:
        return quantile(self.buckets, 0.95)

    @property
    def error_share(self) -> float | None:
        return self.errors / self.calls if self.calls else None


def fold(events: Iterable[tuple[int, datetime, dict[str, Any], int]]) -> None:
    """Adds events (server, when, details, duration in ms); the caller's transaction folds each once."""
    sums: dict[Key, Total] = defaultdict(Total)
    for server_id, at, details, duration in events:
        failed = details.get("outcome") in FAILURES
        minute, hour = at.replace(second=0, microsecond=0), at.replace(minute=0, second=0, microsecond=0)
        for who in (None, server_id):
            sums[who, "", MINUTE, minute].add(duration, failed=failed)
            sums[who, "", HOUR, hour].add(duration, failed=failed)
        sums[server_id, client_of(details), HOUR, hour].add(duration, failed=failed)
    _save(sums)


def client_of(details: dict[str, Any]) -> str:
    """The client's name without its version: versions come and go."""
    return _VERSION.sub("", str(details.get("client", ""))[:LONGEST_CLIENT])[:100] or NO_NAME


def trim(now: datetime, before: datetime) -> None:
    """Takes away minutes that are old by `now`, and everything from before `before`."""
    old = Q(seconds=MINUTE, start__lt=now - KEEP_MINUTES) | Q(start__lt=before)
    CallTotal.objects.filter(old).delete()


def by_time(rows: QuerySet[CallTotal], starts: Sequence[datetime]) -> list[Total]:
    """One total for each interval that begins at `starts` (evenly spaced, oldest first)."""
    step = starts[1] - starts[0]
    seconds = MINUTE if step < timedelta(hours=1) else HOUR
    found = [Total() for _ in starts]
    wanted = rows.filter(client="", seconds=seconds, start__gte=starts[0], start__lt=starts[-1] + step)
    for row in wanted.only("start", "calls", "errors", "duration_ms", "buckets"):
        found[(row.start - starts[0]) // step].join(row)
    return found


def by_client(server_id: int, since: datetime, until: datetime) -> dict[str, Total]:
    """Most calls first."""
    rows = CallTotal.objects.filter(server=server_id, seconds=HOUR, start__gte=since, start__lt=until)
    found: dict[str, Total] = defaultdict(Total)
    for row in rows.exclude(client=""):
        found[row.client].join(row)
    return dict(sorted(found.items(), key=lambda item: -item[1].calls))


def of_platform() -> QuerySet[CallTotal]:
    return CallTotal.objects.filter(server=None)


def sum_of(totals: Iterable[Total]) -> Total:
    whole = Total()
    for each in totals:
        whole.join(each)
    return whole


def starts(until: datetime, step: timedelta, count: int) -> list[datetime]:
    """The beginnings of `count` intervals on the step's own grid, the last of which holds `until`."""
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    last = epoch + (until - epoch) // step * step
    return [last - step * back for back in reversed(range(count))]


def _save(sums: dict[Key, Total]) -> None:
    known = _known(sums)
    _bound_clients(sums, known)
    made: list[CallTotal] = []
    grown: list[CallTotal] = []
    for key, total in sums.items():
        row = known.get(key)
        (grown if row else made).append(_increased(row or CallTotal(buckets=empty(), **_columns(key)), total))
    CallTotal.objects.bulk_create(made, batch_size=500)
    CallTotal.objects.bulk_update(grown, ["calls", "errors", "duration_ms", "buckets"], batch_size=200)


def _known(sums: dict[Key, Total]) -> dict[Key, CallTotal]:
    times = {key[3] for key in sums}
    servers = {key[0] for key in sums}
    rows = CallTotal.objects.filter(Q(server__in=servers - {None}) | Q(server=None), start__in=times)
    return {(row.server_id, row.client, row.seconds, row.start): row for row in rows}


def _bound_clients(sums: dict[Key, Total], known: dict[Key, CallTotal]) -> None:
    """Where a server has too many clients in one hour, the new ones count together."""
    names: dict[tuple[int | None, datetime], set[str]] = defaultdict(set)
    for server_id, client, _, start in known:
        names[server_id, start].add(client)
    for key in [key for key in sums if key[1]]:
        kept = names[key[0], key[3]]
        if key[1] not in kept and len(kept) > MOST_CLIENTS:
            sums[key[0], OTHER_CLIENTS, key[2], key[3]].join(sums.pop(key))
        else:
            kept.add(key[1])


def _columns(key: Key) -> dict[str, Any]:
    return dict(zip(("server_id", "client", "seconds", "start"), key, strict=True))


def _increased(row: CallTotal, total: Total) -> CallTotal:
    row.calls += total.calls
    row.errors += total.errors
    row.duration_ms += total.duration_ms
    row.buckets = merged(row.buckets, total.buckets)
    return row
