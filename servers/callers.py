"""Who sends a request, as its head alone says: a bearer token, or the cookie of a session."""

from __future__ import annotations

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest
from django.utils.module_loading import import_string

from servers import bearer


def user_of(request: HttpRequest) -> AbstractBaseUser | AnonymousUser:
    """Where a token was sent it counts, valid or not."""
    value = bearer.value_of(request.headers.get("Authorization", ""))
    if value is not None:
        token = bearer.find(value)
        return token.owner if token else AnonymousUser()
    session = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    request.session = session(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    return auth.get_user(request)
