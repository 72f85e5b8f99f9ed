"""Finds out who sends a request, from its headers alone: by a bearer token, or by the cookie of a session."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest
from django.utils.module_loading import import_string

from servers import bearer


@dataclass(frozen=True)
class Caller:
    """The user, with the id of their token (0: none) or the key of their session ("": none)."""

    user: AbstractBaseUser | AnonymousUser
    token_id: int = 0
    session: str = ""


def of(request: HttpRequest) -> Caller:
    """Returns the caller. If the request has a bearer token, only that counts, even if it is not valid.

    Somebody unknown is an `AnonymousUser`.
    """
    value = bearer.value_of(request.headers.get("Authorization", ""))
    if value is not None:
        token = bearer.find(value)
        return Caller(token.owner, token.pk) if token else Caller(AnonymousUser())
    session = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    request.session = session(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    return Caller(auth.get_user(request), session=request.session.session_key or "")
