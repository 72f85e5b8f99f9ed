from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import models
from django.utils import timezone


class Kept(models.Model):
    """A row into which a deployment's steps write what they make and find out, as they go."""

    class Meta:
        abstract = True

    def keep(self, **columns: object) -> None:
        for name, value in columns.items():
            setattr(self, name, value)
        self.save(update_fields=list(columns))


class Leased(Kept):
    """Work that one worker at a time holds, as long as it renews `heartbeat_at`.

    `enqueued_at` is when a message about it was sent last; None: it is to be sent.
    """

    worker = models.CharField(max_length=100, blank=True, default="")
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    enqueued_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    def held(self) -> models.QuerySet[Any]:
        """The row, while the worker that it was read with holds it: every outcome is written through this."""
        raise NotImplementedError

    def renew(self) -> bool:
        """Gives a sign of life; False when somebody else holds it, or nobody has to any more."""
        return bool(self.held().update(heartbeat_at=timezone.now()))

    def is_asked_to_stop(self) -> bool:
        return False

    def is_lost(self, since: timedelta, is_gone: Callable[[str], bool]) -> bool:
        """Its worker ran on this machine and is gone, or has given no sign of life for `since`."""
        silent = not self.heartbeat_at or self.heartbeat_at < timezone.now() - since
        return silent or is_gone(self.worker)
