"""Channels, notices for them, and matters that are not in order now.

This package knows nothing of servers; a notice is about a matter with a key such as `server-7`.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import ClassVar
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models
from django.db.models import F, OuterRef, Q
from django.utils import timezone

import sealing
from notices import kinds
from outbound.origin import origin_of
from sealing.fields import SealedField, SharedSecret


class Scope(models.TextChoices):
    ALL = "all", "Every server that the channel's owner sees"
    CHOSEN = "chosen", "The chosen servers, teams and owners"


class Event(models.TextChoices):
    FAILED = "failed", "Failed"
    RECOVERED = "recovered", "Recovered"
    HELD = "held", "Held for approval"
    TEST = "test", "Test"


class State(models.TextChoices):
    PENDING = "pending", "On its way"
    SENT = "sent", "Sent"
    FAILED = "failed", "Given up"
    WITHDRAWN = "withdrawn", "Withdrawn"


# Channels that were turned off because nothing arrived, or where the newest tries failed.
AILING = Q(failing_since__isnull=False) | ~Q(disabled_reason="")


class ChannelQuerySet(models.QuerySet["Channel"]):
    def listening(self, event: str, *, server: int, owner: int, team: int | None) -> ChannelQuerySet:
        """Channels that are enabled and want this event of a server.

        Whether their owners see it is not checked.
        """
        chosen = Q(servers=server) | Q(owners=owner) | (Q(teams=team) if team else Q(pk__in=[]))
        wanted = self.filter(Q(scope=Scope.ALL) | chosen, enabled=True, **{f"on_{event}": True})
        return self.filter(pk__in=wanted.values("pk")).select_related("owner")


class Channel(SharedSecret):
    """One receiver of notices. Its URL is secret (Slack's holds a token), so only its host is shown.

    `secret_origin` is the origin of the URL for which the signing secret was made. After a rotation,
    `former`, the secret before, signs as well for a while.
    """

    name = models.CharField(max_length=100)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="channels")
    kind = models.CharField(max_length=8, choices=kinds.choices, default=kinds.DEFAULT)
    sealed_url = SealedField()
    secret_origin = models.CharField(max_length=2000, blank=True, default="", editable=False)
    host = models.CharField(max_length=255, editable=False)
    scope = models.CharField(max_length=6, choices=Scope.choices, default=Scope.ALL)
    servers = models.ManyToManyField("servers.Server", blank=True, related_name="+")
    teams = models.ManyToManyField("access.Team", blank=True, related_name="+")
    owners = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="+")
    on_failed = models.BooleanField(default=True)
    on_recovered = models.BooleanField(default=True)
    on_held = models.BooleanField(default=True)
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=300, blank=True, default="", editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    last_ok_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[Channel]] = ChannelQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = "notice channel"

    def __str__(self) -> str:
        return self.name

    def is_signed(self) -> bool:
        return kinds.of(self.kind).signed

    def set_url(self, url: str) -> None:
        """Seals the URL, and stores its host to be shown."""
        self.sealed_url, self.host = sealing.seal(url), urlsplit(url).hostname or ""

    def url(self) -> str:
        """Returns the URL. Raises `sealing.Unsealable`."""
        return sealing.open_sealed(bytes(self.sealed_url))

    def give_secret(self, value: str, origin: str) -> None:
        """Sets the signing secret for a receiver at `origin`.

        The former one is kept only if it has the same origin.
        """
        self.replace_secret(value, keep_former=origin == self.secret_origin)
        self.secret_origin = origin

    def secrets(self, now: datetime) -> list[str]:
        """Returns the secrets that sign now, newest first; none if they were made for another origin.

        Raises `sealing.Unsealable`.
        """
        if not self.secret_origin or self.secret_origin != origin_of(self.url()):
            return []
        return [sealing.open_sealed(one) for one in self.in_force(now)]


def new_message_id() -> str:
    return f"msg_{secrets.token_hex(16)}"


class NoticeQuerySet(models.QuerySet["Notice"]):
    def next(self) -> NoticeQuerySet:
        """Notices that are sent when they are due.

        Only the oldest of each channel and matter: "recovered" must not come before "failed".
        """
        before = Notice.objects.filter(
            channel=OuterRef("channel"), matter=OuterRef("matter"), state=State.PENDING, pk__lt=OuterRef("pk")
        )
        return self.filter(
            ~models.Exists(before),
            state=State.PENDING,
            channel__enabled=True,
            channel__owner__is_active=True,
        )

    def due(self, now: datetime) -> NoticeQuerySet:
        """Notices to send now."""
        return self.next().filter(due_at__lte=now)

    def claim(self, notice: Notice, until: datetime) -> bool:
        """Claims one try of the notice, and tells whether that worked.

        After `until`, another process may try.
        """
        mine = self.filter(pk=notice.pk, state=State.PENDING, due_at=notice.due_at, attempts=notice.attempts)
        return bool(mine.update(attempts=F("attempts") + 1, due_at=until))


class Notice(models.Model):
    """The outbox: one message to one channel.

    It is written in the transaction of what it reports, and sent until it has arrived. `payload` is the body
    for a generic receiver. `message_id` is the same in all tries.
    """

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="notices")
    message_id = models.CharField(max_length=40, unique=True, default=new_message_id, editable=False)
    event = models.CharField(max_length=9, choices=Event.choices)
    matter = models.CharField(max_length=60)
    payload = models.JSONField()
    state = models.CharField(max_length=9, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now)
    last_status = models.PositiveIntegerField(null=True, blank=True)
    last_answer = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager[Notice]] = NoticeQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "due_at"]), models.Index(fields=["created_at"])]

    def __str__(self) -> str:
        return f"{self.get_event_display()}: {self.matter}"


class Matter(models.Model):
    """Something that is not in order, or was not until `over_at`."""

    key = models.CharField(max_length=60, unique=True)
    since = models.DateTimeField(default=timezone.now)
    over_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.key
