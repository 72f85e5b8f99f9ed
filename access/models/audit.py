from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from django.conf import settings
from django.db import models


class Via(models.TextChoices):
    """The way in which something was done."""

    ADMIN = "admin", "Console"
    API = "api", "API"
    COMMAND = "command", "Command line"
    WEBHOOK = "webhook", "Webhook"
    PLATFORM = "platform", "The platform itself"


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    def update(self, **_: Any) -> NoReturn:
        raise TypeError("An audit entry is never changed.")


class AuditEntry(models.Model):
    """Who did what, when and in which way. An entry is never changed.

    `token` names the API token that was used. `actor`, `target_id` and `target` stay when their rows are
    deleted. `server_id` is that of the server concerned, or None. `before` and `after` hold the changed
    fields, with secrets masked.
    """

    at = models.DateTimeField(auto_now_add=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    actor = models.CharField(max_length=150, blank=True)
    via = models.CharField(max_length=8, choices=Via.choices)
    token = models.CharField(max_length=120, blank=True)
    address = models.GenericIPAddressField(null=True)
    action = models.CharField(max_length=64)
    target_kind = models.CharField(max_length=64, blank=True)
    target_id = models.BigIntegerField(null=True)
    target = models.CharField(max_length=200, blank=True)
    server_id = models.BigIntegerField(null=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)

    objects: ClassVar[models.Manager[AuditEntry]] = AuditQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["server_id", "-id"]),
            models.Index(fields=["by", "-id"]),
            models.Index(fields=["action", "-id"]),
            models.Index(fields=["at"]),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target}".strip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise TypeError("An audit entry is never changed.")
        super().save(*args, **kwargs)
