"""Authentication with bearer tokens of the scopes `api` and `read`."""

from __future__ import annotations

from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from servers import bearer
from servers.models import Token


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer mcph_…`. Without that header the next class is asked."""

    def authenticate(self, request: Request) -> tuple[User, Token] | None:
        value = bearer.value_of(request.headers.get("Authorization", ""))
        if value is None:
            return None
        token = bearer.find(value)
        if token is None:
            raise AuthenticationFailed("This token is unknown, expired, revoked, or of another scope.")
        return token.owner, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'
