from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import models
from django.utils import timezone


class Kept(models.Model):
    """A row that is written column by column, while a deployment's steps find the values."""

    class Meta:
        abstract = True

    def keep(self, **columns: object) -> None:
        """Sets these columns and saves only them."""
        for name, value in columns.items():
            setattr(self, name, value)
        self.save(update_fields=list(columns))


class Leased(Kept):
    """Work that one worker at a time holds, as long as it renews `heartbeat_at`.

    `worker` is the name that `workers.me` gives. `enqueued_at` is when the last message about it was sent;
    None asks for a message.
    """

    worker = models.CharField(max_length=100, blank=True, default="")
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    enqueued_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    def held(self) -> models.QuerySet[Any]:
        """Selects the row only while the worker that it was read with still holds it.

        Each outcome is written through this, so that a worker that lost its lease cannot overwrite anything.
        """
        raise NotImplementedError

    def renew(self) -> bool:
        """Renews the lease. False if another worker holds it, or the work has ended."""
        return bool(self.held().update(heartbeat_at=timezone.now()))

    def is_asked_to_stop(self) -> bool:
        """Whether a person has cancelled the work."""
        return False

    def is_lost(self, since: timedelta, is_gone: Callable[[str], bool]) -> bool:
        """Whether its worker is gone (`is_gone`), or has not renewed its lease for `since`."""
        silent = not self.heartbeat_at or self.heartbeat_at < timezone.now() - since
        return silent or is_gone(self.worker)
