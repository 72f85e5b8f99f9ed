"""Sums calls by the hour and by the minute.

`roll_up` adds each new `mcp_call` event once, to rows of `CallRollup` and `CallTotal`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from metrics.methods import client_of, method_of, name_of
from metrics.models import HOUR, MINUTE, CallRollup, CallTotal, RollupPosition, UsageMetric
from metrics.sums import Call, Sum, empty

CHUNK = 10_000
# Rows get ids before they are committed. A row that is missing after this time will not come.
SETTLED = timedelta(seconds=10)
KEEP_MINUTES = timedelta(hours=3)
MOST_NAMES, MOST_CLIENTS = 200, 50  # that are counted apart, per server and hour
OTHERS = "*"  # the names, or the clients, beyond those
Key = tuple[Any, ...]  # server, time, what callers choose, and more
Folded = tuple[int, datetime, dict[str, Any]]  # server, when, details of an event


@dataclass(frozen=True)
class _Table:
    """A table of sums. `columns` identify a row, in the order of a `Key`."""

    model: type[CallRollup | CallTotal]
    columns: tuple[str, ...]

    def known(self, keys: Iterable[Key]) -> dict[Key, Any]:
        servers, times = {key[0] for key in keys}, {key[1] for key in keys}
        of_all = Q(server=None) if None in servers else Q(pk__in=[])
        rows = self.model._default_manager.filter(Q(server__in=servers - {None}) | of_all)
        found = rows.filter(**{f"{self.columns[1]}__in": times})
        return {tuple(getattr(row, column) for column in self.columns): row for row in found}

    def new(self, key: Key) -> CallRollup | CallTotal:
        return self.model(buckets=empty(), **dict(zip(self.columns, key, strict=True)))

    def add(self, sums: Mapping[Key, Sum], most: int) -> None:
        """Adds to rows that exist, and makes the others.

        Nobody else writes them, because the position is locked.
        """
        known = self.known(sums)
        names: dict[Key, set[str]] = defaultdict(set)
        for key in known:
            names[key[:2]].add(key[2])
        changed: dict[Key, CallRollup | CallTotal] = {}
        for key, total in sums.items():
            key = _bounded(key, names[key[:2]], most)
            total.add_to(changed.setdefault(key, known.get(key) or self.new(key)))
        self._save(changed.values())

    def _save(self, rows: Iterable[Any]) -> None:
        made = [row for row in rows if row.pk is None]
        grown = [row for row in rows if row.pk is not None]
        self.model._default_manager.bulk_create(made, batch_size=500)
        self.model._default_manager.bulk_update(grown, [*self.model.SUMS, "buckets"], batch_size=100)


ROLLUPS = _Table(CallRollup, ("server_id", "hour", "name", "method", "outcome"))
TOTALS = _Table(CallTotal, ("server_id", "start", "client", "seconds"))


def roll_up(now: datetime) -> int:
    """Adds the events that were committed some time before `now`, and returns how many.

    Several processes may call it at once. Each event is added once, in order, and a crash loses none.
    """
    folded = 0
    while events := _fold_chunk(now):
        folded += events
    return folded


def trim(now: datetime, before: datetime) -> None:
    """Deletes sums of minutes that are older than KEEP_MINUTES, and all sums from before `before`."""
    CallRollup.objects.filter(hour__lt=before).delete()
    old = Q(seconds=MINUTE, start__lt=now - KEEP_MINUTES) | Q(start__lt=before)
    CallTotal.objects.filter(old).delete()


def _fold_chunk(now: datetime) -> int:
    """Adds at most CHUNK events, and returns how many; 0 if none is left that is old enough."""
    with transaction.atomic():
        position = _locked_position()
        if position.done >= position.seen:
            _look(position, now)
        if position.seen_at is None or position.seen_at > now - SETTLED:
            return 0
        return _fold(position)


def _locked_position() -> RollupPosition:
    RollupPosition.objects.get_or_create(pk=1)
    return RollupPosition.objects.select_for_update().get(pk=1)


def _look(position: RollupPosition, now: datetime) -> None:
    """Stores the newest id. Events up to it are added when SETTLED has passed."""
    newest = UsageMetric.objects.order_by("-id").values_list("id", flat=True).first() or 0
    if newest > position.seen:
        position.seen, position.seen_at = newest, now
        position.save(update_fields=["seen", "seen_at"])


def _fold(position: RollupPosition) -> int:
    due = UsageMetric.objects.filter(id__gt=position.done, id__lte=position.seen, event_type="mcp_call")
    rows = list(due.order_by("id").values_list("id", "server_id", "timestamp", "details")[:CHUNK])
    rollups, totals = _sums((server, at, details) for _, server, at, details in rows)
    ROLLUPS.add(rollups, MOST_NAMES)
    TOTALS.add(totals, MOST_CLIENTS + 1)  # and "", which stands for all
    position.done = rows[-1][0] if len(rows) == CHUNK else position.seen
    position.save(update_fields=["done"])
    return len(rows)


def _sums(events: Iterable[Folded]) -> tuple[dict[Key, Sum], dict[Key, Sum]]:
    """Returns the sums for ROLLUPS and TOTALS."""
    rollups: dict[Key, Sum] = defaultdict(Sum)
    totals: dict[Key, Sum] = defaultdict(Sum)
    for server, at, details in events:
        call = Call.of(details)
        minute = at.replace(second=0, microsecond=0)
        hour = minute.replace(minute=0)
        outcome = str(details.get("outcome", ""))[:16]
        rollups[server, hour, name_of(details), method_of(details), outcome].add(call)
        for who in (None, server):
            totals[who, minute, "", MINUTE].add(call)
            totals[who, hour, "", HOUR].add(call)
        totals[server, hour, client_of(details), HOUR].add(call)
    return rollups, totals


def _bounded(key: Key, kept: set[str], most: int) -> Key:
    """Returns the key, or that of OTHERS if this server and hour has too many names already."""
    server, at, name, *more = key
    if name and name not in kept and len(kept) >= most:
        return server, at, OTHERS, *more
    kept.add(name)
    return key
