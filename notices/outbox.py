"""What is to be told is written here, in the transaction of what it tells; `notices.sender` sends it.

One “failed” until “recovered”. “Recovered” waits for SETTLE: what fails again before that was never over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from notices.models import Channel, Event, Matter, Notice, State

SETTLE = timedelta(seconds=60)


def begins(matter: str) -> bool:
    """Notes that something is wrong. True where that is news, and has to be told."""
    row, is_new = Matter.objects.select_for_update().get_or_create(key=matter)
    if is_new:
        return True
    over_at, now = row.over_at, timezone.now()
    if over_at is None:
        return False
    if now - over_at < SETTLE:
        Matter.objects.filter(pk=row.pk).update(over_at=None)
        _withdraw(matter)
        return False
    Matter.objects.filter(pk=row.pk).update(since=now, over_at=None)
    return True


def ends(matter: str) -> bool:
    """Notes that it is well again. True where something was wrong, and that has to be told."""
    open_one = Matter.objects.filter(key=matter, over_at__isnull=True)
    return bool(open_one.update(over_at=timezone.now()))


def forget(matter: str) -> None:
    """There is nothing more to tell of it: a person stopped it."""
    Matter.objects.filter(key=matter).delete()
    _withdraw(matter)


def write(channels: Iterable[Channel], event: Event, matter: str, payload: Mapping[str, Any]) -> list[Notice]:
    """One notice for each channel."""
    due_at = timezone.now() + (SETTLE if event == Event.RECOVERED else timedelta())
    rows = [
        Notice(channel=channel, event=event, matter=matter, payload=payload, due_at=due_at)
        for channel in channels
    ]
    return Notice.objects.bulk_create(rows)


def withdraw(notice: Notice) -> None:
    """Its channel's owner no longer sees what it tells of."""
    waiting = Notice.objects.filter(pk=notice.pk, state=State.PENDING)
    waiting.update(state=State.WITHDRAWN, ended_at=timezone.now())


def trim(before: datetime) -> None:
    """Forgets what is that old; of it only a channel that is off can still have something to send."""
    Notice.objects.filter(created_at__lt=before).delete()
    Matter.objects.filter(over_at__lt=before).delete()


def _withdraw(matter: str) -> None:
    """“Recovered” that was not tried yet; what may have arrived stays."""
    waiting = Notice.objects.filter(matter=matter, event=Event.RECOVERED, state=State.PENDING, attempts=0)
    waiting.update(state=State.WITHDRAWN, ended_at=timezone.now())
