"""Calls by the hour: `roll_up` folds new `mcp_call` events into `CallRollup` rows, each event once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from metrics import buckets, totals
from metrics.methods import method_of, name_of
from metrics.models import CallRollup, RollupPosition, UsageMetric

CHUNK = 10_000
# Ids are given before rows are committed: one that is not seen yet is there after this, or never.
SETTLED = timedelta(seconds=10)
MOST_NAMES = 200  # kept apart, per server and hour
OTHER_NAMES = "*"
ADDED = ["calls", "duration_ms", "bytes_in", "bytes_out", "buckets"]
Key = tuple[int, datetime, str, str, str]


@dataclass
class Sum:
    calls: int = 0
    duration_ms: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    buckets: buckets.Buckets = field(default_factory=buckets.empty)

    def add(self, details: dict[str, Any]) -> None:
        duration = _number(details, "duration_ms")
        self.calls += 1
        self.duration_ms += duration
        self.bytes_in += _number(details, "bytes_in")
        self.bytes_out += _number(details, "bytes_out")
        self.buckets[buckets.bucket_of(duration)] += 1


def roll_up(now: datetime) -> int:
    """Folds what was committed a while before `now`; how many events. Called by one loop or by many: each
    event is folded once, in order, and a crash loses nothing."""
    folded = 0
    while events := _fold_chunk(now):
        folded += events
    return folded


def trim(now: datetime, before: datetime) -> None:
    CallRollup.objects.filter(hour__lt=before).delete()
    totals.trim(now, before)


def _fold_chunk(now: datetime) -> int:
    """Folds at most CHUNK events; 0 when there is nothing left that has settled."""
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
    """Notes the newest id; it is folded up to there once that has settled."""
    newest = UsageMetric.objects.order_by("-id").values_list("id", flat=True).first() or 0
    if newest > position.seen:
        position.seen, position.seen_at = newest, now
        position.save(update_fields=["seen", "seen_at"])


def _fold(position: RollupPosition) -> int:
    due = UsageMetric.objects.filter(id__gt=position.done, id__lte=position.seen, event_type="mcp_call")
    rows = list(due.order_by("id").values_list("id", "server_id", "timestamp", "details")[:CHUNK])
    _add(_sums(rows))
    totals.fold((server, at, details, _number(details, "duration_ms")) for _, server, at, details in rows)
    position.done = rows[-1][0] if len(rows) == CHUNK else position.seen
    position.save(update_fields=["done"])
    return len(rows)


def _sums(rows: Iterable[tuple[int, int, datetime, dict[str, Any]]]) -> dict[Key, Sum]:
    sums: dict[Key, Sum] = defaultdict(Sum)
    for _, server_id, timestamp, details in rows:
        hour = timestamp.replace(minute=0, second=0, microsecond=0)
        outcome = str(details.get("outcome", ""))[:16]
        sums[server_id, hour, method_of(details), name_of(details), outcome].add(details)
    return sums


def _add(sums: dict[Key, Sum]) -> None:
    """Adds to the rows that are there and makes the others. The position is locked: nobody else does."""
    known = _known(sums)
    names: dict[tuple[int, datetime], set[str]] = defaultdict(set)
    for server_id, hour, _, name, _ in known:
        names[server_id, hour].add(name)
    changed: dict[Key, CallRollup] = {}
    for key, total in sums.items():
        key = _bounded(key, names)
        row = changed.setdefault(key, known.get(key) or _new(key))
        _increase(row, total)
    made = [row for row in changed.values() if row.pk is None]
    grown = [row for row in changed.values() if row.pk is not None]
    CallRollup.objects.bulk_create(made, batch_size=500)
    CallRollup.objects.bulk_update(grown, ADDED, batch_size=100)


def _known(sums: dict[Key, Sum]) -> dict[Key, CallRollup]:
    rows = CallRollup.objects.filter(
        server_id__in={key[0] for key in sums}, hour__in={key[1] for key in sums}
    )
    return {(row.server_id, row.hour, row.method, row.name, row.outcome): row for row in rows}


def _bounded(key: Key, names: dict[tuple[int, datetime], set[str]]) -> Key:
    """The key, or the one for all other names where a server has too many in one hour."""
    server_id, hour, method, name, outcome = key
    kept = names[server_id, hour]
    if name not in kept and len(kept) >= MOST_NAMES:
        name = OTHER_NAMES
    kept.add(name)
    return server_id, hour, method, name, outcome


def _new(key: Key) -> CallRollup:
    server_id, hour, method, name, outcome = key
    return CallRollup(
        server_id=server_id,
        hour=hour,
        method=method,
        name=name,
        outcome=outcome,
        buckets=buckets.empty(),
    )


def _increase(row: CallRollup, total: Sum) -> None:
    row.calls += total.calls
    row.duration_ms += total.duration_ms
    row.bytes_in += total.bytes_in
    row.bytes_out += total.bytes_out
    row.buckets = buckets.merged(row.buckets, total.buckets)


def _number(details: dict[str, Any], key: str) -> int:
    value = details.get(key)
    return max(0, value) if isinstance(value, int) else 0
