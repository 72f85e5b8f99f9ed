"""Storage of django-eventstream in our own tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F
from django_eventstream.event import Event
from django_eventstream.storage import EventDoesNotExist, StorageBase

from servers.models import StreamEvent, StreamPosition

TRIM_BATCH = 5_000


class EventStorage(StorageBase):  # type: ignore[misc]
    """What `django_eventstream.eventstream.get_events` reads from."""

    def append_event(self, channel: str, event_type: str, data: str) -> Event:
        return Event(channel, event_type, data, id=append(channel, [(event_type, data)]))

    def get_events(self, channel: str, last_id: int, limit: int = 100) -> list[Event]:
        """Returns the events after `last_id`. Raises `EventDoesNotExist` if some of them may be gone."""
        current = self.get_current_id(channel)
        if last_id == current:
            return []
        if last_id < current:
            rows = StreamEvent.objects.filter(channel=channel, position__gt=last_id)
            found = _without_gap(rows.order_by("position")[:limit], last_id + 1)
            if found:
                return [Event(channel, row.type, row.data, id=row.position) for row in found]
        raise EventDoesNotExist(f"No event {last_id} on {channel}", current)

    def get_current_id(self, channel: str) -> int:
        return positions([channel]).get(channel, 0)


def append(channel: str, events: Sequence[tuple[str, str]]) -> int:
    """Writes (type, data) pairs in one transaction, and returns the last position.

    The row of the channel's position stays locked until the commit. So whoever sees a position also sees all
    events before it.
    """
    with transaction.atomic():
        last = _advance(channel, len(events))
        first = last - len(events) + 1
        StreamEvent.objects.bulk_create(
            StreamEvent(channel=channel, position=first + index, type=kind, data=data)
            for index, (kind, data) in enumerate(events)
        )
    return last


def positions(channels: Iterable[str]) -> dict[str, int]:
    """Returns the last position of each channel that has one."""
    rows = StreamPosition.objects.filter(channel__in=list(channels))
    return dict(rows.values_list("channel", "last"))


def trim(older_than: datetime) -> int:
    """Deletes events older than `older_than`, and returns how many. For a periodic task."""
    old = StreamEvent.objects.filter(created_at__lt=older_than).order_by("pk")
    gone = 0
    while batch := list(old.values_list("pk", flat=True)[:TRIM_BATCH]):
        gone += StreamEvent.objects.filter(pk__in=batch).delete()[0]
    return gone


def _advance(channel: str, count: int) -> int:
    row = StreamPosition.objects.filter(channel=channel)
    if not row.update(last=F("last") + count):
        StreamPosition.objects.bulk_create([StreamPosition(channel=channel)], ignore_conflicts=True)
        row.update(last=F("last") + count)
    return row.values_list("last", flat=True).get()


def _without_gap(rows: Iterable[StreamEvent], first: int) -> list[StreamEvent]:
    found: list[StreamEvent] = []
    for row in rows:
        if row.position != first + len(found):
            break
        found.append(row)
    return found
