"""Bearer tokens in requests."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from servers.models import Token
from servers.models.token import REST, Scope

USED_EVERY = timedelta(minutes=1)


def value_of(header: str) -> str | None:
    """Returns the token of an `Authorization` header (RFC 6750, section 2.1), or None."""
    scheme, _, value = header.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def find(value: str, scopes: tuple[Scope, ...] = REST) -> Token | None:
    """Returns the valid token with this value and one of `scopes`, with its owner loaded, or None.

    Sets its `last_used_at`, at most once a minute.
    """
    token = Token.objects.matching(value, *scopes).select_related("owner").first()
    if token is not None:
        _note_use(token)
    return token


def _note_use(token: Token) -> None:
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - USED_EVERY:
        stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - USED_EVERY)
        Token.objects.filter(stale, pk=token.pk).update(last_used_at=now)
