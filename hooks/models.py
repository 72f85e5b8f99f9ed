"""Webhooks of servers, and what arrived at them."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from hooks.push import Push
from sealing.fields import SharedSecret
from servers import secretbox
from servers.models import Deployment, Server

MOST_PATTERNS, LONGEST_PATTERN, MOST_STARS = 50, 200, 8


class Kind(models.TextChoices):
    GITHUB = "github", "GitHub"
    GITLAB = "gitlab", "GitLab"
    GITEA = "gitea", "Gitea, Forgejo or Gogs"
    GENERIC = "generic", "Generic (Standard Webhooks)"


class Outcome(models.TextChoices):
    ACCEPTED = "accepted", "Accepted"
    IGNORED = "ignored", "Ignored"
    REJECTED = "rejected", "Rejected"
    DUPLICATE = "duplicate", "Duplicate"


def validate_patterns(patterns: Any) -> None:
    """A list of globs; raises `ValidationError`."""
    if not isinstance(patterns, list) or len(patterns) > MOST_PATTERNS:
        raise ValidationError(f"Must be a list of at most {MOST_PATTERNS} patterns.")
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern.strip("! ") or not pattern.isprintable():
            raise ValidationError("A pattern is one line of text, such as release/* or src/**.")
        if len(pattern) > LONGEST_PATTERN or pattern.count("*") > MOST_STARS:
            limits = f"at most {LONGEST_PATTERN} characters and {MOST_STARS} stars"
            raise ValidationError(f"A pattern has {limits}: “{pattern[:40]}…” has more.")


def new_public_id() -> str:
    return secrets.token_urlsafe(18)


class WebHookQuerySet(models.QuerySet["WebHook"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> WebHookQuerySet:
        return self.filter(server__in=Server.objects.visible_to(user))


class WebHook(SharedSecret):
    """A door of one server for one sender: `/hooks/<public_id>/`.

    `former`, the secret before the last rotation, is accepted beside it for a while. `origin` is the forge
    that the secret was made for: where the server's source was then; "" of a generic hook, whose sender is no
    forge. `secret_by` is who was shown the secret.
    """

    server = models.ForeignKey(Server, models.CASCADE, related_name="hooks")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    public_id = models.CharField(max_length=32, unique=True, default=new_public_id, editable=False)
    origin = models.CharField(max_length=520, blank=True, default="", editable=False)
    secret_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", editable=False
    )
    branches = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_patterns],
        help_text="Globs such as main, release/* or tags/v*; empty: the ref of the server's source.",
    )
    paths = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_patterns],
        help_text="Globs of changed paths such as src/** or !docs/**; empty: any change.",
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", editable=False
    )

    objects: ClassVar[models.Manager[WebHook]] = WebHookQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        verbose_name = "webhook"

    def __str__(self) -> str:
        return f"{self.get_kind_display()} webhook of {self.server}"

    @property
    def path(self) -> str:
        return f"/hooks/{self.public_id}/"

    @property
    def here(self) -> str:
        """The forge that a secret of this hook is for now."""
        return "" if self.kind == Kind.GENERIC else self.server.source_origin

    def refusal(self) -> str:
        """Why its secret opens nothing any more; "" where it does."""
        if self.origin != self.here:
            place = self.origin or "no forge"
            return f"Its secret was made for {place}, and the source is another now. Make a new secret."
        if self.secret_by and not self.server.is_operable_by(self.secret_by):
            return (
                f"{self.secret_by} knows its secret, and does not operate this server now. Make a new secret."
            )
        return ""

    def give_secret(self, value: str, knower: User | None) -> None:
        """Sets the secret that senders use from now on, and that `knower` is shown. The one before stays
        valid for a while, unless it was refused already."""
        self.replace_secret(value, keep_former=bool(self.sealed) and not self.refusal())
        self.origin, self.secret_by = self.here, knower

    def secrets(self, now: datetime) -> list[str]:
        """Those that are accepted now, the newest first. Raises `secretbox.Unreadable`."""
        return [secretbox.open_sealed(one) for one in self.in_force(now)]


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> DeliveryQuerySet:
        return self.filter(hook__server__in=Server.objects.visible_to(user))


class Delivery(models.Model):
    """One arrival at a webhook, or its repetition by a person, and what came of it.

    `push` holds the facts (`hooks.push.Push`) of one whose signature was right. `origin` is the delivery that
    a duplicate repeats, or that a person (`requested_by`) had delivered again. Of what was not signed nothing
    is kept but its size.
    """

    hook = models.ForeignKey(WebHook, models.CASCADE, related_name="deliveries")
    delivery_id = models.CharField(max_length=100, blank=True, default="")
    event = models.CharField(max_length=40, blank=True, default="")
    ref = models.CharField(max_length=300, blank=True, default="")
    commit = models.CharField(max_length=64, blank=True, default="")
    push = models.JSONField(null=True)
    payload_digest = models.CharField(max_length=64, blank=True, default="")
    payload_size = models.PositiveIntegerField(default=0)
    excerpt = models.TextField(blank=True, default="")
    received_at = models.DateTimeField(default=timezone.now)
    outcome = models.CharField(max_length=9, choices=Outcome.choices)
    reason = models.CharField(max_length=500, blank=True, default="")
    deployment = models.ForeignKey(
        Deployment, models.SET_NULL, null=True, blank=True, related_name="deliveries"
    )
    origin = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="repeats")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    objects: ClassVar[models.Manager[Delivery]] = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["hook", "delivery_id"],
                condition=Q(outcome__in=["accepted", "ignored"]),
                name="delivery_once",
            )
        ]
        indexes = [models.Index(fields=["hook", "received_at"])]

    def __str__(self) -> str:
        return f"{self.event or 'delivery'} {self.delivery_id[:12]}".strip()

    @property
    def can_be_repeated(self) -> bool:
        return self.push is not None

    def facts(self) -> Push | None:
        return Push.of(self.push) if self.push is not None else None
