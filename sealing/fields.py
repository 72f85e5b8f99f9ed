"""A column for sealed values. `manage.py rotate_secrets` finds such columns by their class."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone

import sealing

FORMER_FOR = timedelta(days=1)


class SealedField(models.BinaryField):  # type: ignore[type-arg]
    """Holds the bytes that `sealing.seal` returns; empty or None for no secret."""


class SharedSecret(models.Model):
    """A secret that another side holds as well. When it is replaced, the one before (`former`) counts beside
    it until `former_until`: the two sides need not change at the same moment.
    """

    sealed = SealedField()
    former = SealedField(null=True)
    former_until = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    def replace_secret(self, value: str, *, keep_former: bool) -> None:
        kept = self.sealed if keep_former else None
        self.former, self.former_until = kept, timezone.now() + FORMER_FOR if kept else None
        self.sealed = sealing.seal(value)

    def in_force(self, now: datetime) -> list[bytes]:
        """What is sealed and counts now, the newest first."""
        both = self.former and self.former_until and now < self.former_until
        return [bytes(self.sealed), bytes(self.former)] if both else [bytes(self.sealed)]
