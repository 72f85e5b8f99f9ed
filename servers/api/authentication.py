"""Who asks: bearer tokens of scope `api`."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from servers.models import Token
from servers.models.token import Scope

SCHEME = "Bearer"
USED_EVERY = timedelta(minutes=1)


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer mcph_…`. Without that header the next class is asked."""

    def authenticate(self, request: Request) -> tuple[User, Token] | None:
        value = bearer(request.headers.get("Authorization", ""))
        if value is None:
            return None
        token = find(value)
        if token is None:
            raise AuthenticationFailed("This token is unknown, expired, revoked, or not of scope api.")
        return token.owner, token

    def authenticate_header(self, request: Request) -> str:
        return f'{SCHEME} realm="api"'


def bearer(header: str) -> str | None:
    """The value of a bearer header; None for another scheme."""
    scheme, _, value = header.partition(" ")
    return value.strip() if scheme.lower() == SCHEME.lower() else None


def find(value: str) -> Token | None:
    """The valid token of scope `api` with this value, noted as used (at most once a minute)."""
    token = Token.objects.matching(value, Scope.API).select_related("owner").first()
    if token is not None:
        now = timezone.now()
        stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - USED_EVERY)
        if token.last_used_at is None or token.last_used_at < now - USED_EVERY:
            Token.objects.filter(stale, pk=token.pk).update(last_used_at=now)
    return token
