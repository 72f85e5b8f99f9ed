"""Writes notices, in the transaction of what they report; `notices.sender` sends them.

A matter has one “failed” until its “recovered”. “Recovered” is sent after SETTLE; if the matter begins again
before that, it is withdrawn, as if the matter had never ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from notices.models import Channel, Event, Matter, Notice, State

SETTLE = timedelta(seconds=60)


def begins(matter: str) -> bool:
    """Records that something is wrong, and tells whether a notice has to be written."""
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
    """Records that all is well again, and tells whether a notice has to be written."""
    open_one = Matter.objects.filter(key=matter, over_at__isnull=True)
    return bool(open_one.update(over_at=timezone.now()))


def forget(matter: str) -> None:
    """Ends a matter without a notice, because a person stopped what it is about."""
    Matter.objects.filter(key=matter).delete()
    _withdraw(matter)


def write(channels: Iterable[Channel], event: Event, matter: str, payload: Mapping[str, Any]) -> list[Notice]:
    """Writes one notice for each channel, and returns them. `payload` is the body for a generic receiver."""
    due_at = timezone.now() + (SETTLE if event == Event.RECOVERED else timedelta())
    rows = [
        Notice(channel=channel, event=event, matter=matter, payload=payload, due_at=due_at)
        for channel in channels
    ]
    return Notice.objects.bulk_create(rows)


def withdraw(notice: Notice) -> None:
    """Withdraws a notice, because the channel's owner does not see its subject any more."""
    waiting = Notice.objects.filter(pk=notice.pk, state=State.PENDING)
    waiting.update(state=State.WITHDRAWN, ended_at=timezone.now())


def trim(before: datetime) -> None:
    """Deletes notices and matters from before `before`, also notices that a disabled channel has not sent."""
    Notice.objects.filter(created_at__lt=before).delete()
    Matter.objects.filter(over_at__lt=before).delete()


def _withdraw(matter: str) -> None:
    """Withdraws “recovered” notices that were not tried yet. One that was tried may have arrived."""
    waiting = Notice.objects.filter(matter=matter, event=Event.RECOVERED, state=State.PENDING, attempts=0)
    waiting.update(state=State.WITHDRAWN, ended_at=timezone.now())
