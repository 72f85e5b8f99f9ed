from __future__ import annotations

import hashlib
import secrets
from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from access import roles
from servers.models import tool_patterns
from servers.models.server import MOST_CALLS, Server

PREFIX = "mcph_"


def digest_of(value: str) -> str:
    """Returns the SHA-256. A slow hash is not needed: a token has 256 random bits, which nobody can guess."""
    return hashlib.sha256(value.encode()).hexdigest()


class Scope(models.TextChoices):
    MCP = "mcp", "Call servers through the gateway"
    READ = "read", "Read the REST API as its owner"
    API = "api", "Use the REST API as its owner"


# The scopes that the REST API and the live feeds accept. `read` may change nothing.
REST = (Scope.READ, Scope.API)


class TokenQuerySet(models.QuerySet["Token"]):
    def valid(self) -> TokenQuerySet:
        """Not expired, not revoked, and the owner is active."""
        now = timezone.now()
        alive = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
        return self.filter(alive, revoked_at__isnull=True, owner__is_active=True)

    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> TokenQuerySet:
        """The user's own; all for an administrator."""
        return self if roles.is_administrator(user) else self.filter(owner_id=user.pk)

    def matching(self, value: str, *scopes: str) -> TokenQuerySet:
        """The valid token with this value, if it has one of `scopes`."""
        return self.valid().filter(digest=digest_of(value), scope__in=scopes)


class Token(models.Model):
    """A bearer token. Only its digest is kept, so its value can be shown only when it is made.

    An `mcp` token opens its `server`; without one, every server that its owner sees. `made_with` is the token
    that was used to make this one, and bounds it (`servers.token_bounds`).
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="tokens")
    server = models.ForeignKey(Server, models.CASCADE, null=True, blank=True, related_name="tokens")
    scope = models.CharField(max_length=4, choices=Scope.choices, default=Scope.MCP)
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    calls_per_minute = models.PositiveIntegerField(
        default=0,
        validators=[MaxValueValidator(MOST_CALLS)],
        help_text="Calls per minute with this token; 0: RATE_LIMIT_PER_TOKEN.",
    )
    tools_allowed = models.JSONField(
        default=list,
        blank=True,
        validators=[tool_patterns.validate],
        help_text="Names or patterns such as read_*; empty: all that the server allows.",
    )
    tools_denied = models.JSONField(
        default=list,
        blank=True,
        validators=[tool_patterns.validate],
        help_text="Names or patterns of tools that this token neither sees nor calls.",
    )
    made_with = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="made", editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[models.Manager[Token]] = TokenQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def set_new_value(self) -> str:
        """Gives the token a new random value, and returns it. The value is not stored."""
        value = PREFIX + secrets.token_urlsafe(32)
        self.prefix, self.digest = value[:12], digest_of(value)
        return value
